// One selector of the policy language, by kind. Identity selectors choose nodes; address selectors choose addresses and
// keep the literal as written, because the filter must carry exactly that literal.

import {
  formatAddress,
  formatPrefix,
  hasHostBits,
  parseAddressBits,
  parsePrefixBits,
  prefixRange,
  widthOf,
} from '../base/address.ts';
import type { Span } from '../base/diagnostic.ts';
import type { IpRange } from '../base/ipset.ts';
import { parseTag, type Tag } from '../base/ids.ts';
import type { Role } from './facts.ts';
import { quote } from './problems.ts';

export type Selector = SelectorKind & {
  /** As written, trimmed. */
  readonly text: string;
  readonly at: Span;
};

export type SelectorKind =
  /** `*`: the tailnet's own ranges and every approved subnet as a source, anything as a destination. */
  | { readonly kind: 'any' }
  /** The untagged devices of one person. */
  | { readonly kind: 'user'; readonly login: string }
  /** `user:*@domain`. */
  | { readonly kind: 'domain'; readonly domain: string }
  | { readonly kind: 'group'; readonly name: string }
  | { readonly kind: 'tag'; readonly tag: Tag }
  | { readonly kind: 'member' }
  | { readonly kind: 'tagged' }
  | { readonly kind: 'role'; readonly role: Role }
  /** Destination only: the source's own devices. */
  | { readonly kind: 'self' }
  /** Destination only: public addresses through an exit node. */
  | { readonly kind: 'internet' }
  /** Source only: any address at all. */
  | { readonly kind: 'danger-all' }
  /** Source only: people of other tailnets. There are none here, so it chooses nobody. */
  | { readonly kind: 'shared' }
  /** An address, a prefix, or a host alias of either. */
  | AddressSelector
  | { readonly kind: 'ipset'; readonly name: string }
  /** `svc:name`. */
  | { readonly kind: 'service'; readonly name: string };

export interface AddressSelector extends AddressLiteral {
  readonly kind: 'address';
  readonly host?: string;
}

export interface AddressLiteral {
  /** Canonical: `100.64.0.1` or `10.0.0.0/8`; a /32 or /128 is a plain address. */
  readonly literal: string;
  readonly range: IpRange;
  /** The prefix was written with bits beyond its length, which were cleared. */
  readonly hostBits?: boolean;
}

/** The names that selectors may refer to. */
export interface Names {
  readonly tags: { has(tag: string): boolean };
  readonly groups: { has(name: string): boolean };
  readonly ipsets: { has(name: string): boolean };
  readonly hosts: { get(name: string): AddressLiteral | undefined };
  readonly domains: readonly string[];
}

const AUTOGROUPS: ReadonlyMap<string, SelectorKind> = new Map<string, SelectorKind>([
  ['autogroup:member', { kind: 'member' }],
  ['autogroup:members', { kind: 'member' }],
  ['autogroup:tagged', { kind: 'tagged' }],
  ['autogroup:self', { kind: 'self' }],
  ['autogroup:internet', { kind: 'internet' }],
  ['autogroup:danger-all', { kind: 'danger-all' }],
  ['autogroup:shared', { kind: 'shared' }],
  ['autogroup:owner', { kind: 'role', role: 'owner' }],
  ['autogroup:admin', { kind: 'role', role: 'admin' }],
  ['autogroup:it-admin', { kind: 'role', role: 'it-admin' }],
  ['autogroup:network-admin', { kind: 'role', role: 'network-admin' }],
  ['autogroup:billing-admin', { kind: 'role', role: 'billing-admin' }],
  ['autogroup:auditor', { kind: 'role', role: 'auditor' }],
]);

export const AUTOGROUP_NAMES: readonly string[] = [...AUTOGROUPS.keys()];

/** An address or prefix in any usual spelling. */
export const parseLiteral = (text: string): AddressLiteral | undefined => {
  if (text.includes('/')) {
    const prefix = parsePrefixBits(text);
    if (!prefix) return undefined;
    const { family } = prefix;
    const masked = formatPrefix(prefix);
    const range = prefixRange(masked);
    const literal = prefix.length === widthOf(family) ? formatAddress({ family, bits: range.first }) : masked;
    return { literal, range, ...(hasHostBits(prefix) ? { hostBits: true } : {}) };
  }
  const address = parseAddressBits(text);
  if (!address) return undefined;
  const { family, bits } = address;
  return { literal: formatAddress(address), range: { family, first: bits, last: bits } };
};

export const foreignDomainProblem = (domain: string): string =>
  `${domain} is not associated with this Tailnet and cannot be used in user:*@<domain> expressions`;

export type SelectorProblem = 'tag' | 'group' | 'ipset' | 'autogroup' | 'domain' | 'name';

export type ParsedSelector =
  | { readonly ok: true; readonly value: SelectorKind }
  | { readonly ok: false; readonly problem: string; readonly about: SelectorProblem };

/** The meaning of a text, wherever it stands; where which kind may stand is for the sections to say. */
export const parseSelector = (text: string, names: Names): ParsedSelector => {
  const good = (value: SelectorKind): ParsedSelector => ({ ok: true, value });
  const bad = (about: SelectorProblem, problem: string): ParsedSelector => ({ ok: false, problem, about });
  if (text === '*') return good({ kind: 'any' });
  if (text.startsWith('tag:')) {
    const tag = parseTag(text);
    return tag && names.tags.has(tag) ? good({ kind: 'tag', tag }) : bad('tag', `tag not found: ${quote(text)}`);
  }
  if (text.startsWith('group:')) {
    return names.groups.has(text)
      ? good({ kind: 'group', name: text })
      : bad('group', `group not found: ${quote(text)}`);
  }
  if (text.startsWith('autogroup:')) {
    const known = AUTOGROUPS.get(text);
    return known ? good(known) : bad('autogroup', `autogroup not found: ${quote(text)}`);
  }
  if (text.startsWith('ipset:')) {
    return names.ipsets.has(text)
      ? good({ kind: 'ipset', name: text })
      : bad('ipset', `ipset not found: ${quote(text)}`);
  }
  if (text.startsWith('svc:')) {
    return /^svc:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/i.test(text)
      ? good({ kind: 'service', name: text })
      : bad('name', `invalid service name ${quote(text)}`);
  }
  if (text.startsWith('user:*@')) {
    const domain = text.slice('user:*@'.length);
    return names.domains.includes(domain)
      ? good({ kind: 'domain', domain })
      : bad('domain', foreignDomainProblem(domain));
  }
  const host = names.hosts.get(text);
  if (host) return good({ kind: 'address', ...host, host: text });
  if (/^[^\s@:]+@[^\s@:]+$/.test(text)) return good({ kind: 'user', login: text });
  const literal = parseLiteral(text);
  return literal ? good({ kind: 'address', ...literal }) : bad('name', `${quote(text)}: invalid address`);
};

/** The untagged devices of people, as far as `autogroup:self` is concerned. */
export const choosesPeople = (selector: SelectorKind): boolean =>
  selector.kind === 'user' ||
  selector.kind === 'group' ||
  selector.kind === 'domain' ||
  selector.kind === 'member' ||
  selector.kind === 'role';

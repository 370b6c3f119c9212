// Which selectors may stand where, and the service's answer to those that may not. One row of PLACES for each field that
// takes selectors.

import type { Code } from '../base/catalogue.ts';
import type { Span } from '../base/diagnostic.ts';
import type { AddressLiteral, Names, ParsedSelector, Selector, SelectorKind, SelectorProblem } from './selector.ts';
import { AUTOGROUP_NAMES, parseSelector } from './selector.ts';
import type { LocatedText } from './fields.ts';
import { didYouMean, quote, type Problems } from './problems.ts';

type Kind = SelectorKind['kind'];

export interface Place {
  readonly allowed: ReadonlySet<Kind>;
  /** The service's words for a kind that may not stand here. */
  readonly refusal: (text: string, kind: Kind) => string;
  readonly code: Code;
  readonly help: string;
}

const PEOPLE: readonly Kind[] = ['user', 'group', 'domain', 'member', 'role'];
const IDENTITIES: readonly Kind[] = [...PEOPLE, 'tag', 'tagged'];
const ADDRESSES: readonly Kind[] = ['address', 'ipset'];

const notAllowed = 'policy/selector-not-allowed';

export const PLACES = {
  source: {
    allowed: new Set<Kind>(['any', ...IDENTITIES, ...ADDRESSES, 'danger-all', 'shared']),
    refusal: (text) => `${quote(text)} not valid on the src side of a rule`,
    code: notAllowed,
    help: 'Sources are users, groups, tags, autogroups of people or devices, addresses, hosts and ip sets.',
  },
  aclDestination: {
    allowed: new Set<Kind>(['any', ...IDENTITIES, ...ADDRESSES, 'self', 'internet']),
    refusal: (text) => `cannot use ${text} as a dst`,
    code: notAllowed,
    help: 'Destinations are users, groups, tags, autogroups, addresses, hosts and ip sets, each with its ports.',
  },
  grantDestination: {
    allowed: new Set<Kind>(['any', ...IDENTITIES, ...ADDRESSES, 'self', 'internet', 'service']),
    refusal: (text) => `cannot use ${text} as a dst`,
    code: notAllowed,
    help: 'Destinations are users, groups, tags, autogroups, addresses, hosts, ip sets and services, without ports.',
  },
  sshSource: {
    allowed: new Set<Kind>(IDENTITIES),
    refusal: (text, kind) =>
      kind === 'shared' ? `${quote(text)} is not allowed in src` : `invalid src ${quote(text)}`,
    code: 'policy/bad-ssh-source',
    help: 'SSH sources are users, groups, tags, autogroup:member, autogroup:tagged and user:*@domain.',
  },
  sshDestination: {
    allowed: new Set<Kind>(['tag', 'user', 'self']),
    refusal: (text) => `invalid dst ${quote(text)}`,
    code: 'policy/bad-ssh-destination',
    help: 'SSH destinations are tags, autogroup:self, and a user where the source is that same user.',
  },
  nodeAttrs: {
    allowed: new Set<Kind>(['any', ...IDENTITIES, 'address']),
    refusal: (text, kind) => (kind === 'self' ? 'internal server error' : `${quote(text)}: invalid target`),
    code: notAllowed,
    help: 'Targets are *, users, groups, tags, autogroups of people or devices, hosts, addresses and prefixes.',
  },
  approver: {
    allowed: new Set<Kind>(IDENTITIES),
    refusal: (text) => `${quote(text)} cannot approve`,
    code: notAllowed,
    help: 'Approvers are users, groups, tags, roles and autogroup:member.',
  },
} as const satisfies Record<string, Place>;

const CODES: Record<SelectorProblem, Code> = {
  tag: 'policy/unknown-tag',
  group: 'policy/unknown-name',
  ipset: 'policy/unknown-name',
  autogroup: 'policy/unknown-name',
  domain: 'policy/foreign-domain',
  name: 'policy/unknown-name',
};

const HELP: Partial<Record<SelectorProblem, string>> = {
  tag: 'Every tag must be a key of tagOwners.',
  group: 'Every group must be a key of groups.',
  domain: 'Only the domains of this tailnet can be used, in the case in which they are declared.',
  name: 'It is no address, no prefix, and no name in hosts; users are written as logins, with an @.',
};

/** Reports a text that is no selector. `prefix` is the service's way of naming the field. */
export const reportSelector = (
  problems: Problems,
  { problem, about }: Extract<ParsedSelector, { ok: false }>,
  { text, at }: LocatedText,
  prefix: string,
  names: Names,
): void => {
  const candidates = about === 'autogroup' ? AUTOGROUP_NAMES : undefined;
  const known = about === 'tag' ? names.tags : about === 'group' ? names.groups : undefined;
  const help =
    (candidates && didYouMean(text, candidates)) ??
    (known instanceof Set ? didYouMean(text, known as Set<string>) : undefined) ??
    HELP[about];
  problems.error(CODES[about], at, `${prefix}${problem}`, help);
};

const WITHOUT_EFFECT = 'This server has no Services and no nodes shared from other tailnets.';

/**
 * A selector that may stand in a place, or undefined after the report. `prefix` comes before the problems of the text
 * itself, such as a tag that doesn't exist; refusals of the place have none.
 */
export const readSelector = (
  problems: Problems,
  located: LocatedText,
  place: Place,
  prefix: string,
  names: Names,
): Selector | undefined => {
  const { text, at } = located;
  const parsed = parseSelector(text, names);
  if (!parsed.ok) {
    reportSelector(problems, parsed, located, prefix, names);
    return undefined;
  }
  if (!place.allowed.has(parsed.value.kind)) {
    problems.error(place.code, at, place.refusal(text, parsed.value.kind), place.help);
    return undefined;
  }
  if (parsed.value.kind === 'service' || parsed.value.kind === 'shared') {
    problems.warn('policy/without-effect', at, `${quote(text)} chooses nobody here.`, WITHOUT_EFFECT);
  }
  if (parsed.value.kind === 'address' && parsed.value.host === undefined) {
    warnHostBits(problems, at, text, parsed.value);
  }
  return { ...parsed.value, text, at };
};

export const warnHostBits = (problems: Problems, at: Span, text: string, literal: AddressLiteral): void => {
  if (!literal.hostBits) return;
  problems.warn(
    'policy/host-bits',
    at,
    `${quote(text)} has bits beyond its prefix length; it is read as ${literal.literal}.`,
    `Write ${literal.literal}.`,
  );
};

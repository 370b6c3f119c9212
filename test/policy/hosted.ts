// The packet filter and the SSH rules of one node as the language's description says it, read rule by rule and text by text: no classes, no
// bitsets, nothing kept. Slow and plain, so that the compiler's form can be held against it to the letter, order and all.
// Postures are left out: the service's words for them are unknown.

import { hostPrefix, isExitRoute, type Address } from '../../src/base/address.ts';
import { ipSetRanges } from '../../src/base/ipset.ts';
import type { UserId } from '../../src/base/ids.ts';
import type { AccessRule, PolicyDocument } from '../../src/policy/document.ts';
import type { PolicyNode, PolicyUser } from '../../src/policy/facts.ts';
import { createMatching, subnetsOf, type Subject } from '../../src/policy/matching.ts';
import { formatSpan, INTERNET_RANGES, TAILNET_RANGES } from '../../src/policy/ranges.ts';
import type { Selector } from '../../src/policy/selector.ts';
import type { CapMap, FilterRule, NetPortRange, PortRange } from '../../src/wire/filter.ts';
import { textHolds, textsOverlap } from './client.ts';

/** A rule of the list before it is cut down to a node. */
type Listed =
  | {
      readonly kind: 'ports';
      readonly rule: AccessRule;
      readonly protocol: number | null;
      readonly destinations: readonly { readonly selector: Selector; readonly ports: readonly PortRange[] }[];
      readonly self: boolean;
    }
  | {
      readonly kind: 'capability' | 'companion';
      readonly rule: AccessRule;
      readonly self: boolean;
      readonly caps: CapMap;
    };

const COMPANIONS = [
  ['tailscale.com/cap/drive', 'tailscale.com/cap/drive-sharer'],
  ['tailscale.com/cap/relay', 'tailscale.com/cap/relay-target'],
] as const;

const listOf = (document: PolicyDocument): Listed[] =>
  [...(document.grants ?? []), ...(document.acls ?? [])].flatMap((rule): Listed[] => {
    if (rule.sources.length === 0 || rule.destinations.length === 0) return [];
    const listed: Listed[] = [];
    for (const { protocol, ports: shared } of rule.traffic) {
      const all = gather(rule.destinations.map(({ selector, ports }) => ({ selector, ports: ports ?? shared })));
      const partOf = (self: boolean): Listed[] => {
        const destinations = all.filter(({ selector }) => (selector.kind === 'self') === self);
        return destinations.length > 0 ? [{ kind: 'ports', rule, protocol, destinations, self }] : [];
      };
      const first =
        all[0]?.selector.kind === 'self' && all.every(({ selector }) => selector.text.startsWith('autogroup:'));
      listed.push(...partOf(first), ...partOf(!first));
    }
    if (rule.app.length === 0 || rule.via.length > 0) return listed;
    const parts = [false, true].filter((self) =>
      rule.destinations.some(({ selector }) => (selector.kind === 'self') === self),
    );
    const caps = Object.fromEntries(rule.app.map(({ name, values }) => [name, values]));
    for (const self of parts) listed.push({ kind: 'capability', rule, self, caps });
    for (const [name, companion] of COMPANIONS) {
      if (!rule.app.some((one) => one.name === name)) continue;
      for (const self of parts) listed.push({ kind: 'companion', rule, self, caps: { [companion]: null } });
    }
    return listed;
  });

/** Equal selectors at the place of the first, with the ports of all. */
const gather = (
  destinations: readonly { readonly selector: Selector; readonly ports: readonly PortRange[] }[],
): { readonly selector: Selector; readonly ports: readonly PortRange[] }[] => {
  const meaning = ({ kind, text, ...rest }: Selector): string =>
    kind === 'address' ? (rest as { literal: string }).literal : kind === 'user' ? text.toLowerCase() : text;
  return destinations
    .filter(({ selector }, i) => destinations.findIndex((one) => meaning(one.selector) === meaning(selector)) === i)
    .map(({ selector }) => ({
      selector,
      ports: destinations.flatMap((one) => (meaning(one.selector) === meaning(selector) ? one.ports : [])),
    }));
};

export const hostedFilterOf = (
  document: PolicyDocument,
  nodes: readonly PolicyNode[],
  userOf: (id: UserId) => PolicyUser | undefined,
  node: PolicyNode,
): readonly FilterRule[] => {
  const approved = nodes.flatMap(({ approvedRoutes }) => approvedRoutes.filter((route) => !isExitRoute(route)));
  const matching = createMatching(document, subnetsOf(approved));
  const subjectOf = ({ user, tags, addresses }: PolicyNode): Subject => {
    const owner = user === null ? null : (userOf(user) ?? null);
    return { isNode: true, owner, untagged: user !== null, tags, addresses, posture: undefined };
  };
  const named = (selector: Selector, one: PolicyNode): boolean => matching.identifies(selector, subjectOf(one));
  const literalsOf = (selector: Selector): readonly string[] | undefined => {
    if (selector.kind === 'address') return [selector.literal];
    return selector.kind === 'ipset' ? ipSetRanges(matching.addressesOf(selector)!).map(formatSpan) : undefined;
  };
  const sorted = (texts: readonly string[]): string[] => [...new Set(texts)].sort();
  const textsOf = (selectors: readonly Selector[]): string[] =>
    sorted(
      selectors.flatMap((selector): readonly string[] => {
        if (selector.kind === 'any') return [...TAILNET_RANGES, ...approved];
        if (selector.kind === 'danger-all') return ['*'];
        return (
          literalsOf(selector) ?? nodes.filter((one) => named(selector, one)).flatMap(({ addresses }) => addresses)
        );
      }),
    );
  const holds = (selector: Selector, address: Address): boolean =>
    literalsOf(selector)?.some((text) => textHolds(text, address)) === true;
  const isSource = (rule: AccessRule, one: PolicyNode): boolean =>
    rule.sources.some(
      (selector) =>
        selector.kind === 'any' ||
        selector.kind === 'danger-all' ||
        named(selector, one) ||
        one.addresses.some((address) => holds(selector, address)),
    );
  const kin = node.user === null ? [] : nodes.filter(({ user }) => user === node.user);
  const kinIn = (rule: AccessRule): string[] =>
    sorted(kin.filter((one) => isSource(rule, one)).flatMap(({ addresses }) => addresses));
  const own = node.addresses;
  const routes = node.approvedRoutes.filter((route) => !isExitRoute(route));
  const isExit = node.approvedRoutes.some((route) => isExitRoute(route));

  const kept = (selector: Selector, steered: boolean): readonly string[] => {
    if (selector.kind === 'internet') return isExit || node.connector === true ? INTERNET_RANGES : [];
    const literals = literalsOf(selector);
    if (literals) {
      const carries = routes.some((route) => literals.some((text) => textsOverlap(text, route)));
      return carries || (!steered && own.some((address) => holds(selector, address))) ? literals : [];
    }
    if (steered) return [];
    if (selector.kind === 'any') return ['*'];
    return named(selector, node) ? own : [];
  };

  const list = listOf(document);
  /** The place of the first rule with these sources and protocol, on whatever node; steered and own rules hold none. */
  const firstPlace = new Map<string, number>();
  const keyOf = (sources: readonly string[], protocol: number | null): string => `${protocol} ${sources.join(' ')}`;
  for (const [i, listed] of list.entries()) {
    if (listed.kind !== 'ports' || listed.self || listed.rule.via.length > 0) continue;
    const key = keyOf(textsOf(listed.rule.sources), listed.protocol);
    if (!firstPlace.has(key)) firstPlace.set(key, i);
  }
  const made = new Map<string, { place: number; readonly rule: FilterRule & { DstPorts?: NetPortRange[] } }>();
  for (const [i, listed] of list.entries()) {
    const { rule, self } = listed;
    if (self && node.user === null) continue;
    if (listed.kind === 'ports') {
      const sources = self ? kinIn(rule) : textsOf(rule.sources);
      const steered = rule.via.length > 0;
      if (sources.length === 0 || (steered && !rule.via.some((tag) => node.tags.includes(tag)))) continue;
      const to = listed.destinations.flatMap(({ selector, ports }) =>
        (self ? own : kept(selector, steered)).flatMap((IP) => ports.map((Ports): NetPortRange => ({ IP, Ports }))),
      );
      if (to.length === 0) continue;
      const key = keyOf(sources, listed.protocol);
      const place = Math.min(firstPlace.get(key) ?? i, i);
      const known = made.get(key);
      if (known) {
        known.rule.DstPorts?.push(...to);
        known.place = Math.min(known.place, place);
      } else {
        const IPProto = listed.protocol === null ? {} : { IPProto: [listed.protocol] };
        made.set(key, { place, rule: { SrcIPs: sources, DstPorts: to, ...IPProto } });
      }
      continue;
    }
    const others = rule.destinations.flatMap(({ selector }) => (selector.kind === 'self' ? [] : [selector]));
    const add = (SrcIPs: string[], on: readonly Address[]): void => {
      made.set(`whole ${i}`, {
        place: i,
        rule: { SrcIPs, CapGrant: [{ Dsts: on.map(hostPrefix), CapMap: listed.caps }] },
      });
    };
    if (listed.kind === 'companion') {
      if (isSource(rule, node)) add(self ? sorted(kin.flatMap(({ addresses }) => addresses)) : textsOf(others), own);
      continue;
    }
    if (self) {
      const from = kinIn(rule);
      if (from.length > 0) add(from, own);
      continue;
    }
    const whole = others.some((selector) => selector.kind === 'any' || named(selector, node));
    const on = own.filter((address) => whole || others.some((selector) => holds(selector, address)));
    if (on.length > 0) add(textsOf(rule.sources), on);
  }
  return [...made.values()].sort((a, b) => a.place - b.place).map(({ rule }) => rule);
};

/** The SSH rules of one node in the same plain way, for people who have one device each. Recorders are left out as well. */
export const hostedShellsOf = (
  document: PolicyDocument,
  nodes: readonly PolicyNode[],
  userOf: (id: UserId) => PolicyUser | undefined,
  node: PolicyNode,
): readonly {
  readonly principals: readonly string[];
  readonly sshUsers: Record<string, string>;
  readonly check: boolean;
}[] => {
  const matching = createMatching(document, subnetsOf([]));
  const named = (selectors: readonly Selector[], one: PolicyNode): boolean => {
    const owner = one.user === null ? null : (userOf(one.user) ?? null);
    const subject = {
      isNode: true,
      owner,
      untagged: one.user !== null,
      tags: one.tags,
      addresses: [],
      posture: undefined,
    };
    return selectors.some((selector) => matching.identifies(selector, subject));
  };
  const ordered = [...document.ssh].sort((a, b) => Number(b.action === 'check') - Number(a.action === 'check'));
  return ordered.flatMap(({ action, sources, destinations, users }) => {
    const out: { principals: readonly string[]; sshUsers: Record<string, string>; check: boolean }[] = [];
    const isSource = (one: PolicyNode): boolean => named(sources, one);
    // «All tagged devices» lists a device once for each of its tags.
    const times = (one: PolicyNode): number =>
      one.user === null && sources.some(({ kind }) => kind === 'tagged') ? one.tags.length : 1;
    const add = (from: readonly PolicyNode[], sshUsers: Record<string, string>): void => {
      const principals = from.flatMap((one) => Array.from({ length: times(one) }, () => one.addresses).flat()).sort();
      if (principals.length > 0) out.push({ principals, sshUsers, check: action === 'check' });
    };
    const common: Record<string, string> = { root: '' };
    for (const login of users) {
      if (login.kind === 'login') common[login.name] = login.name;
      else if (login.kind === 'nonroot') common['*'] = '=';
    }
    const domains = new Set(users.flatMap((login) => (login.kind === 'localpart' ? [login.domain] : [])));
    const isAll = named(
      destinations.filter(({ kind }) => kind !== 'self'),
      node,
    );
    const isSelf = node.user !== null && destinations.some(({ kind }) => kind === 'self');
    const reached = isAll ? nodes : isSelf ? nodes.filter(({ user }) => user === node.user) : [];
    const from = reached.filter(isSource);
    if (domains.size === 0) {
      add(from, common);
      return out;
    }
    const addOwner = (one: PolicyNode): void => {
      add([one], common);
      const login = one.user === null ? '' : (userOf(one.user)?.login ?? '');
      const at = login.lastIndexOf('@');
      for (const domain of domains) {
        if (login.slice(at + 1) === domain) add([one], { [login.slice(0, at)]: login.slice(0, at) });
      }
    };
    if (!isAll && !isSelf) {
      // The service gives a source these rules as well, for itself.
      if (isSource(node)) addOwner(node);
      return out;
    }
    const people = from.filter(({ user }) => user !== null).sort((a, b) => (a.user ?? 0) - (b.user ?? 0));
    for (const one of people) addOwner(one);
    add(
      from.filter(({ user }) => user === null),
      common,
    );
    return out;
  });
};

// Differences in reach as a person reads them: who may now (or may no more) reach what, by which traffic, and which lines
// say so. Units that gain the same are told together; each group is traced back to rules by asking the evaluator.

import { prefixContains } from '../base/address.ts';
import type { Span } from '../base/diagnostic.ts';
import type { NodeId } from '../base/ids.ts';
import { formatRange, ipSetRanges } from '../base/ipset.ts';
import type { NodeSelector } from '../config/selector.ts';
import {
  addAll,
  addBit,
  bitsOf,
  createBitset,
  hasBit,
  intersectBitsets,
  isEmptyBitset,
  type Bitset,
} from '../policy/bitset.ts';
import type { AccessRule, PolicyDocument, SshAccessRule } from '../policy/document.ts';
import { createEvaluator, type Evaluator, type Party as Asked, type RuleReference } from '../policy/evaluate.ts';
import type { Selector } from '../policy/selector.ts';
import type { ResolvedNode } from '../snapshot/resolve.ts';
import type { PortRange } from '../wire/filter.ts';
import type { Comparison, Direction } from './comparison.ts';
import type { Party } from './naming.ts';
import type { ReviewedNode, ReviewedTailnet } from './tailnet.ts';
import { diffTraffic } from './traffic.ts';
import type { Unit } from './units.ts';

/** `tcp` and `22`; ports are `*` for all and for protocols without ports. */
export interface Traffic {
  readonly protocol: string;
  readonly ports: string;
}

/** A place in the files that makes the difference. */
export interface Cause {
  /** Which revision the place is in: what was added stands in the new one, what was taken away in the old one. */
  readonly side: 'before' | 'after';
  readonly at: Span;
  /** A few words: `rule 3 of grants`, `group:ops`. */
  readonly what: string;
}

export interface AccessChange {
  readonly direction: Direction;
  readonly who: readonly Party[];
  readonly what: readonly Party[];
  readonly traffic: readonly Traffic[];
  /** Pairs of nodes that the change concerns; a subnet counts as one. */
  readonly pairs: number;
  readonly causes: readonly Cause[];
}

/** Everybody's own devices, as a destination. */
export const OWN: Party = { kind: 'own', name: 'their own devices', nodes: 0 };

/** How many pairs of units of a group the evaluator is asked about, to find the rules behind it. */
const SAMPLES = 5;
const ICMP = 1;
const PROTOCOLS: Readonly<Record<number, string>> = { 1: 'icmp', 6: 'tcp', 17: 'udp', 132: 'sctp' };

interface Drawn {
  readonly direction: Direction;
  readonly sources: Bitset;
  readonly destinations: Bitset;
  readonly traffic: readonly { readonly protocol: number; readonly ports: PortRange }[];
  /** The devices of each person, where everybody reaches just their own. */
  readonly own?: Bitset[];
}

const key = (set: Bitset): string => [...bitsOf(set)].join();

const sizeOf = (unit: Unit | undefined, tailnet: ReviewedTailnet): number =>
  unit?.kind === 'nodes' ? unit.members.filter((id) => tailnet.nodes.has(id)).length : unit ? 1 : 0;

const formatPorts = ({ First, Last }: PortRange): string =>
  First === 0 && Last === 65_535 ? '*' : First === Last ? String(First) : `${First}-${Last}`;

/** Ranges that meet or overlap become one. */
const joinPorts = (ranges: readonly PortRange[]): readonly PortRange[] => {
  const joined: PortRange[] = [];
  for (const range of ranges.toSorted((a, b) => a.First - b.First)) {
    const last = joined.at(-1);
    if (last && range.First <= last.Last + 1)
      joined[joined.length - 1] = { First: last.First, Last: Math.max(last.Last, range.Last) };
    else joined.push(range);
  }
  return joined;
};

/** Protocols with their ports, the ports of a protocol together. */
export const formatTraffic = (traffic: Drawn['traffic']): readonly Traffic[] =>
  [...Map.groupBy(traffic, ({ protocol }) => protocol)].map(([protocol, list]) => ({
    protocol: PROTOCOLS[protocol] ?? String(protocol),
    ports: joinPorts(list.map(({ ports }) => ports))
      .map(formatPorts)
      .join(','),
  }));

/**
 * A rule between a person's own devices changes as many groups as there are people. Groups in which all devices of one
 * person reach each other by the same traffic become one.
 */
const gatherOwn = (drawn: readonly Drawn[], { before, after, units }: Comparison): Drawn[] => {
  const unitsOfOwner = (tailnet: ReviewedTailnet): ReadonlyMap<string, Bitset> => {
    const owned = new Map<string, Bitset>();
    for (const unit of units) {
      if (unit.kind !== 'nodes') continue;
      for (const id of unit.members) {
        const owner = tailnet.nodes.get(id)?.owner;
        if (owner === null || owner === undefined) continue;
        const set = owned.get(owner) ?? createBitset();
        addBit(set, unit.index);
        owned.set(owner, set);
      }
    }
    return owned;
  };
  const known = { gained: unitsOfOwner(after), lost: unitsOfOwner(before) };
  const whole = { gained: new Set<string>(), lost: new Set<string>() };
  for (const direction of ['gained', 'lost'] as const) {
    for (const set of known[direction].values()) whole[direction].add(key(set));
  }
  const own = new Map<string, Drawn>();
  const rest: Drawn[] = [];
  for (const one of drawn) {
    const text = key(one.sources);
    if (text !== key(one.destinations) || !whole[one.direction].has(text)) {
      rest.push(one);
      continue;
    }
    const id = `${one.direction} ${JSON.stringify(one.traffic)}`;
    const group = own.get(id) ?? { ...one, sources: createBitset(), destinations: createBitset(), own: [] };
    addAll(group.sources, one.sources);
    group.own?.push(one.sources);
    own.set(id, group);
  }
  return [...rest, ...own.values()];
};

/** Changes of each destination, then gathered: first destinations that change alike, then sources. */
const gather = (comparison: Comparison): Drawn[] => {
  const { before, after, units } = comparison;
  const byDestination = Map.groupBy(diffTraffic(before.side, after.side, units), ({ destination }) => destination);
  const alike = new Map<
    string,
    { direction: Direction; sources: Bitset; destinations: Bitset; traffic: { protocol: number; ports: PortRange }[] }
  >();
  for (const [destination, changes] of byDestination) {
    for (const direction of ['gained', 'lost'] as const) {
      const tailnet = direction === 'gained' ? after : before;
      // A client lets ICMP in wherever it lets in anything, so it is worth a word only where it comes alone.
      const others = createBitset();
      for (const change of changes) if (change.protocol !== ICMP) addAll(others, change[direction]);
      const bySources = new Map<string, { sources: Bitset; traffic: { protocol: number; ports: PortRange }[] }>();
      for (const change of changes) {
        const sources = createBitset();
        for (const bit of bitsOf(change[direction])) {
          if (change.protocol === ICMP && hasBit(others, bit)) continue;
          // One node alone has nobody but itself in its unit.
          if (bit === destination.index && sizeOf(destination, tailnet) < 2) continue;
          addBit(sources, bit);
        }
        if (isEmptyBitset(sources)) continue;
        const traffic = { protocol: change.protocol, ports: change.ports };
        const known = bySources.get(key(sources));
        if (known) known.traffic.push(traffic);
        else bySources.set(key(sources), { sources, traffic: [traffic] });
      }
      for (const [name, { sources, traffic }] of bySources) {
        traffic.sort((a, b) => a.protocol - b.protocol || a.ports.First - b.ports.First);
        const id = `${direction} ${name} ${JSON.stringify(traffic)}`;
        const group = alike.get(id) ?? { direction, sources, destinations: createBitset(), traffic };
        addBit(group.destinations, destination.index);
        alike.set(id, group);
      }
    }
  }
  const merged = new Map<string, Drawn>();
  for (const group of alike.values()) {
    const id = `${group.direction} ${key(group.destinations)} ${JSON.stringify(group.traffic)}`;
    const known = merged.get(id);
    if (known) addAll(known.sources, group.sources);
    else merged.set(id, group);
  }
  return gatherOwn([...merged.values()], comparison);
};

const textOf = (tailnet: ReviewedTailnet, at: Span): string =>
  (tailnet.snapshot.policyFile?.text ?? '').slice(at.start.offset, at.end.offset).replace(/\s+/g, ' ');

/** Whether an entry of nodes.json5 or routes.json5 means the node. */
const matchesNode = (selector: NodeSelector, { record, owner, tags }: ResolvedNode<ReviewedNode>): boolean => {
  if (selector.by === 'id') return record.stableId === selector.id;
  if (selector.name !== undefined && record.name !== selector.name) return false;
  return selector.by === 'owner' ? owner?.toLowerCase() === selector.owner.toLowerCase() : tags.includes(selector.tag);
};

type Rule = AccessRule | SshAccessRule;

const ruleOf = (document: PolicyDocument | null, { section, index }: RuleReference): Rule | undefined =>
  section === 'default' ? undefined : document?.[section]?.[index];

const rulesOf = (document: PolicyDocument | null): readonly Rule[] =>
  document ? [...(document.grants ?? []), ...(document.acls ?? []), ...document.ssh] : [];

const selectorsOf = (rule: Rule): readonly Selector[] => [
  ...rule.sources,
  ...rule.destinations.map((destination) => ('selector' in destination ? destination.selector : destination)),
];

interface Definition {
  readonly name: string;
  readonly at: Span;
  readonly parts: readonly { readonly text: string; readonly at: Span }[];
}

/** What a selector leans on: a group with its members, an ip set, a host. */
const definitionOf = (document: PolicyDocument | null, selector: Selector): Definition | undefined => {
  if (selector.kind === 'group') {
    const group = document?.groups.get(selector.name);
    return group && { name: group.name, at: group.at, parts: group.members };
  }
  if (selector.kind === 'ipset') {
    const ipset = document?.ipsets.get(selector.name);
    return (
      ipset && {
        name: ipset.name,
        at: ipset.at,
        parts: ipSetRanges(ipset.set).map((range) => ({ text: formatRange(range), at: ipset.at })),
      }
    );
  }
  if (selector.kind === 'address' && selector.host !== undefined) {
    const host = document?.hosts.get(selector.host);
    return host && { name: host.name, at: host.at, parts: [{ text: host.literal, at: host.at }] };
  }
  return undefined;
};

/** Parts that only one side has; the whole where the other side has the name for nothing or only for more. */
const differences = (mine: Definition, theirs: Definition | undefined): readonly { what: string; at: Span }[] => {
  const whole = { what: mine.name, at: mine.at };
  if (!theirs) return [whole];
  const others = new Set(theirs.parts.map(({ text }) => text));
  const own = mine.parts.filter(({ text }) => !others.has(text));
  if (own.length > 0) return own.map(({ text, at }) => ({ what: `${text} in ${mine.name}`, at }));
  return mine.parts.length === theirs.parts.length ? [] : [whole];
};

/** Outside of the policy: a person who comes or goes, a declared tag, an approved route. */
const declaredCauses = (
  party: Asked,
  here: ReviewedTailnet,
  there: ReviewedTailnet,
  side: Cause['side'],
): readonly Cause[] => {
  if ('address' in party) {
    const carriers = ({ nodes }: ReviewedTailnet) =>
      [...nodes.values()].filter(({ approvedRoutes }) =>
        approvedRoutes.some((route) => prefixContains(route, party.address)),
      );
    if (carriers(there).length > 0) return [];
    return carriers(here).flatMap((node) =>
      here.snapshot.routes.flatMap(({ node: selector, at, subnets, exitNode }) =>
        matchesNode(selector, node) && (exitNode || subnets.some((route) => prefixContains(route, party.address)))
          ? [{ side, at, what: `the route of ${node.record.standsFor ?? node.label}` }]
          : [],
      ),
    );
  }
  const [mine, theirs] = [here.nodes.get(party.node), there.nodes.get(party.node)];
  if (mine && !theirs && mine.owner !== null) {
    const owner = here.snapshot.userByLogin.get(mine.owner.toLowerCase());
    return owner?.at ? [{ side, at: owner.at, what: owner.login }] : [];
  }
  if (mine && theirs && mine.tags.join() !== theirs.tags.join()) {
    return here.snapshot.nodes.flatMap(({ node: selector, at, tags }) =>
      tags && matchesNode(selector, mine) ? [{ side, at, what: `tags of ${mine.record.standsFor ?? mine.label}` }] : [],
    );
  }
  return [];
};

/**
 * Why the side allows it and the other doesn't: the rule, if the other side hasn't the same; else what the rule names and
 * the other side defines otherwise; else the rule all the same, because people, nodes or routes have changed around it.
 */
const causesOf = (
  rule: Rule,
  parties: readonly Asked[],
  here: ReviewedTailnet,
  there: ReviewedTailnet,
  side: Cause['side'],
): readonly Cause[] => {
  const own: Cause = {
    side,
    at: rule.at,
    what: `rule ${rule.index + 1} of ${'section' in rule ? rule.section : 'ssh'}`,
  };
  const text = textOf(here, rule.at);
  const kept = rulesOf(there.side.policy.document).some((other) => textOf(there, other.at) === text);
  if (!kept) return [own];
  const definitions = selectorsOf(rule).flatMap((selector) => {
    const mine = definitionOf(here.side.policy.document, selector);
    if (!mine) return [];
    const theirs = definitionOf(there.side.policy.document, selector);
    return differences(mine, theirs).map(({ what, at }) => ({ side, at, what }));
  });
  if (definitions.length > 0) return definitions;
  const declared = parties.flatMap((party) => declaredCauses(party, here, there, side));
  return declared.length > 0 ? declared : [own];
};

const firstOf = (unit: Unit, tailnet: ReviewedTailnet, skip?: NodeId): Asked | undefined => {
  if (unit.kind === 'addresses') return { address: unit.sample };
  const node = unit.members.find((id) => id !== skip && tailnet.nodes.has(id));
  return node === undefined ? undefined : { node };
};

/** Every change of reach, the largest first. */
export const diffAccess = (comparison: Comparison): readonly AccessChange[] => {
  const { before, after, units, names } = comparison;
  const evaluators = new Map<Direction, Evaluator>();
  const evaluatorOf = (direction: Direction): Evaluator => {
    let evaluator = evaluators.get(direction);
    if (!evaluator) {
      const { policy, nodes, userOf } = (direction === 'gained' ? after : before).side;
      evaluators.set(direction, (evaluator = createEvaluator(policy, nodes.values(), userOf)));
    }
    return evaluator;
  };

  const trace = ({ direction, sources, destinations, traffic, own }: Drawn): readonly Cause[] => {
    const [here, there] = direction === 'gained' ? [after, before] : [before, after];
    const found = new Map<string, Cause>();
    const probe = traffic[0];
    if (!probe) return [];
    const asked = (own ?? [])
      .slice(0, SAMPLES)
      .flatMap((set) => [...bitsOf(set)].slice(0, 2).map((unit) => [unit, unit] as const));
    if (!own)
      for (const destination of [...bitsOf(destinations)].slice(0, SAMPLES))
        for (const source of [...bitsOf(sources)].slice(0, SAMPLES)) asked.push([source, destination]);
    for (const [source, destination] of asked) {
      const to = firstOf(units[destination] as Unit, here);
      const from = firstOf(units[source] as Unit, here, to && 'node' in to ? to.node : undefined);
      if (!from || !to) continue;
      const verdict = evaluatorOf(direction).evaluate(from, to, probe.ports.First, probe.protocol);
      const rule = verdict.allowed ? ruleOf(here.side.policy.document, verdict.rule) : undefined;
      if (!rule) continue;
      for (const cause of causesOf(rule, [from, to], here, there, direction === 'gained' ? 'after' : 'before')) {
        found.set(`${cause.at.file} ${cause.at.start.offset}`, cause);
      }
    }
    return [...found.values()].sort((a, b) => a.at.start.offset - b.at.start.offset);
  };

  return gather(comparison)
    .flatMap((drawn): AccessChange[] => {
      const { direction, sources, destinations } = drawn;
      const tailnet = direction === 'gained' ? after : before;
      const name = names[direction];
      const who = name(sources);
      const what = drawn.own ? [OWN] : name(destinations);
      // Addresses of the tailnet's own ranges that no node has concern nobody.
      if (who.length === 0 || what.length === 0) return [];
      const count = (set: Bitset): number =>
        [...bitsOf(set)].reduce((sum, bit) => sum + sizeOf(units[bit], tailnet), 0);
      const pairs = (drawn.own ? drawn.own.map((set) => [set, set] as const) : [[sources, destinations] as const])
        .map(([from, to]) => count(from) * count(to) - count(intersectBitsets(from, to)))
        .reduce((sum, each) => sum + each, 0);
      return [{ direction, who, what, traffic: formatTraffic(drawn.traffic), pairs, causes: trace(drawn) }];
    })
    .sort((a, b) => (a.direction === b.direction ? b.pairs - a.pairs : a.direction === 'gained' ? -1 : 1));
};

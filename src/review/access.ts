// Differences in reach as a person reads them: who may now (or may no more) reach what, by which traffic, and which lines
// say so. Units that gain the same are told together; each group is traced back to rules by asking the evaluator.

import type { Span } from '../base/diagnostic.ts';
import type { NodeId } from '../base/ids.ts';
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
import type { PortRange } from '../wire/filter.ts';
import type { Comparison, Direction } from './comparison.ts';
import type { Party } from './naming.ts';
import type { ReviewedTailnet } from './tailnet.ts';
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

/** How many pairs of units of a group the evaluator is asked about, to find the rules behind it. */
const SAMPLES = 5;
const ICMP = 1;
const PROTOCOLS: Readonly<Record<number, string>> = { 1: 'icmp', 6: 'tcp', 17: 'udp', 132: 'sctp' };

interface Drawn {
  readonly direction: Direction;
  readonly sources: Bitset;
  readonly destinations: Bitset;
  readonly traffic: readonly { readonly protocol: number; readonly ports: PortRange }[];
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

/** Changes of each destination, then gathered: first destinations that change alike, then sources. */
const gather = ({ before, after, units }: Comparison): Drawn[] => {
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
  return [...merged.values()];
};

const textOf = (tailnet: ReviewedTailnet, at: Span): string =>
  (tailnet.snapshot.policyFile?.text ?? '').slice(at.start.offset, at.end.offset).replace(/\s+/g, ' ');

type Rule = AccessRule | SshAccessRule;

const ruleOf = (document: PolicyDocument | null, { section, index }: RuleReference): Rule | undefined =>
  section === 'default' ? undefined : document?.[section]?.[index];

const rulesOf = (document: PolicyDocument | null): readonly Rule[] =>
  document ? [...(document.grants ?? []), ...(document.acls ?? []), ...document.ssh] : [];

const selectorsOf = (rule: Rule): readonly Selector[] => [
  ...rule.sources,
  ...rule.destinations.map((destination) => ('selector' in destination ? destination.selector : destination)),
];

/** Named things of the policy that a selector leans on, with their places. */
const definitionOf = (document: PolicyDocument | null, selector: Selector): { name: string; at: Span } | undefined => {
  if (selector.kind === 'group') return document?.groups.get(selector.name);
  if (selector.kind === 'ipset') return document?.ipsets.get(selector.name);
  if (selector.kind === 'address' && selector.host !== undefined) return document?.hosts.get(selector.host);
  return undefined;
};

/**
 * Why the side allows it and the other doesn't: the rule, if the other side hasn't the same; else what the rule names and
 * the other side defines otherwise; else the rule all the same, because people, nodes or routes have changed around it.
 */
const causesOf = (rule: Rule, here: ReviewedTailnet, there: ReviewedTailnet, side: Cause['side']): readonly Cause[] => {
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
    return theirs && textOf(here, mine.at) === textOf(there, theirs.at) ? [] : [{ side, at: mine.at, what: mine.name }];
  });
  return definitions.length > 0 ? definitions : [own];
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

  const trace = ({ direction, sources, destinations, traffic }: Drawn): readonly Cause[] => {
    const [here, there] = direction === 'gained' ? [after, before] : [before, after];
    const found = new Map<string, Cause>();
    const probe = traffic[0];
    if (!probe) return [];
    for (const destination of [...bitsOf(destinations)].slice(0, SAMPLES)) {
      for (const source of [...bitsOf(sources)].slice(0, SAMPLES)) {
        const to = firstOf(units[destination] as Unit, here);
        const from = firstOf(units[source] as Unit, here, to && 'node' in to ? to.node : undefined);
        if (!from || !to) continue;
        const verdict = evaluatorOf(direction).evaluate(from, to, probe.ports.First, probe.protocol);
        const rule = verdict.allowed ? ruleOf(here.side.policy.document, verdict.rule) : undefined;
        if (!rule) continue;
        for (const cause of causesOf(rule, here, there, direction === 'gained' ? 'after' : 'before')) {
          found.set(`${cause.at.file} ${cause.at.start.offset}`, cause);
        }
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
      const what = name(destinations);
      // Addresses of the tailnet's own ranges that no node has concern nobody.
      if (who.length === 0 || what.length === 0) return [];
      const count = (set: Bitset): number =>
        [...bitsOf(set)].reduce((sum, bit) => sum + sizeOf(units[bit], tailnet), 0);
      const pairs = count(sources) * count(destinations) - count(intersectBitsets(sources, destinations));
      return [{ direction, who, what, traffic: formatTraffic(drawn.traffic), pairs, causes: trace(drawn) }];
    })
    .sort((a, b) => (a.direction === b.direction ? b.pairs - a.pairs : a.direction === 'gained' ? -1 : 1));
};

// Differences in reach as a person reads them: who may now (or may no more) reach what, by which traffic, and which lines
// say so. Units that gain the same are told together.

import {
  addAll,
  addBit,
  bitsOf,
  createBitset,
  equalBitsets,
  hasBit,
  intersectBitsets,
  isEmptyBitset,
  subtractBitsets,
  type Bitset,
} from '../policy/bitset.ts';
import type { PortRange } from '../wire/filter.ts';
import type { Comparison, Direction } from './comparison.ts';
import type { Naming, Party } from './naming.ts';
import { samplePairs, SAMPLES, type Cause, type Tracer } from './causes.ts';
import type { ReviewedTailnet } from './tailnet.ts';
import { diffTraffic, type TrafficChange } from './traffic.ts';
import type { Unit } from './units.ts';

/** `tcp` and `22`; ports are `*` for all and for protocols without ports. */
export interface Traffic {
  readonly protocol: string;
  readonly ports: string;
}

export interface AccessChange {
  readonly direction: Direction;
  readonly who: readonly Party[];
  readonly what: readonly Party[];
  readonly traffic: readonly Traffic[];
  /** Among machines that both revisions have: there was no access at all before, or none is left. */
  readonly whole: boolean;
  /** Pairs of nodes that the change concerns; a subnet counts as one. */
  readonly pairs: number;
  readonly causes: readonly Cause[];
}

/** Everybody's own devices, as a destination. */
export const OWN: Party = { kind: 'own', name: 'their own devices', nodes: 0 };

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

/**
 * For each destination those who may send anything at all to it and could not, or the other way round: a client lets ICMP in
 * wherever it lets in anything.
 */
type Firsts = ReadonlyMap<string, Bitset>;

const firstsOf = (changes: readonly TrafficChange[]): Firsts =>
  new Map(
    changes.flatMap((change) =>
      change.protocol === ICMP
        ? (['gained', 'lost'] as const).map((way) => [`${way} ${change.destination.index}`, change[way]] as const)
        : [],
    ),
  );

/** Changes of each destination, then gathered: first destinations that change alike, then sources. */
const gather = (comparison: Comparison, changesOfAll: readonly TrafficChange[]): Drawn[] => {
  const { before, after } = comparison;
  const byDestination = Map.groupBy(changesOfAll, ({ destination }) => destination);
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

/** A machine alone is no source of its own; «every machine» may mean it all the same where that is shorter. */
const nameSources = (
  name: Naming,
  { sources, destinations, own }: Drawn,
  isLone: (unit: number) => boolean,
): readonly Party[] => {
  const plain = name(sources);
  if (own || plain.length === 0) return plain;
  const joined = createBitset();
  addAll(joined, sources);
  addAll(joined, destinations);
  const [first] = bitsOf(destinations);
  const isAlone = first !== undefined && isLone(first) && equalBitsets(destinations, only(first));
  const all = isAlone ? name(joined) : plain;
  const size = (parties: readonly Party[]): number =>
    parties.reduce((sum, { except = [] }) => sum + 1 + except.length, 0);
  return size(all) < size(plain) ? all : plain;
};

const only = (bit: number): Bitset => {
  const set = createBitset();
  addBit(set, bit);
  return set;
};

/** Every change of reach, the largest first. */
export const diffAccess = (comparison: Comparison, tracer: Tracer): readonly AccessChange[] => {
  const { before, after, units, names } = comparison;
  const trace = ({ direction, sources, destinations, traffic, own }: Drawn): readonly Cause[] => {
    const probe = traffic[0];
    if (!probe) return [];
    const pairs = own
      ? own.slice(0, SAMPLES).flatMap((set) => [...bitsOf(set)].slice(0, 2).map((unit) => [unit, unit] as const))
      : samplePairs(sources, destinations);
    return tracer.access(direction, pairs, probe.ports.First, probe.protocol);
  };

  const traffic = diffTraffic(before.side, after.side, units);
  const firsts = firstsOf(traffic);
  const isThere = (index: number): boolean => {
    const unit = units[index];
    return unit?.kind !== 'nodes' || (unit.before !== undefined && unit.after !== undefined);
  };
  const isWhole = ({ direction, sources, destinations, own }: Drawn): boolean =>
    [...bitsOf(sources), ...bitsOf(destinations)].every(isThere) &&
    (own ?? [sources]).every((from) =>
      [...bitsOf(own ? from : destinations)].every((to) => {
        const first = firsts.get(`${direction} ${to}`);
        return first !== undefined && isEmptyBitset(subtractBitsets(from, first));
      }),
    );
  return gather(comparison, traffic)
    .flatMap((drawn): AccessChange[] => {
      const { direction, sources, destinations } = drawn;
      const tailnet = direction === 'gained' ? after : before;
      const name = names[direction];
      const who = nameSources(name, drawn, (unit) => sizeOf(units[unit], tailnet) === 1);
      const what = drawn.own ? [OWN] : name(destinations);
      // Addresses of the tailnet's own ranges that no node has concern nobody.
      if (who.length === 0 || what.length === 0) return [];
      const count = (set: Bitset): number =>
        [...bitsOf(set)].reduce((sum, bit) => sum + sizeOf(units[bit], tailnet), 0);
      const pairs = (drawn.own ? drawn.own.map((set) => [set, set] as const) : [[sources, destinations] as const])
        .map(([from, to]) => count(from) * count(to) - count(intersectBitsets(from, to)))
        .reduce((sum, each) => sum + each, 0);
      const told = formatTraffic(drawn.traffic);
      return [{ direction, who, what, traffic: told, whole: isWhole(drawn), pairs, causes: trace(drawn) }];
    })
    .sort((a, b) => (a.direction === b.direction ? b.pairs - a.pairs : a.direction === 'gained' ? -1 : 1));
};

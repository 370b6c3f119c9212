// The exact difference in reach between two sides. Both are read from the packet filters that their nodes would get, so what
// is compared is what clients enforce. For each destination the filters become entries "these units, this protocol, these
// ports"; entries that both sides have cancel out, and only what is left is looked at, port by port.

import {
  isExitRoute,
  parseAddressBits,
  parsePrefixBits,
  prefixContains,
  widthOf,
  type Address,
} from '../base/address.ts';
import type { NodeId } from '../base/ids.ts';
import {
  addAll,
  addBit,
  createBitset,
  equalBitsets,
  isEmptyBitset,
  subtractBitsets,
  type Bitset,
} from '../policy/bitset.ts';
import type { PolicyNode } from '../policy/facts.ts';
import type { FilterRule, PortRange } from '../wire/filter.ts';
import type { Side } from './side.ts';
import { orderOf, type Unit } from './units.ts';

export interface TrafficChange {
  readonly destination: Unit;
  /** An IANA number. ICMP stands for both families; a client lets it in wherever it lets in anything. */
  readonly protocol: number;
  /** All ports for protocols without ports. */
  readonly ports: PortRange;
  /** Units that may now, and could not. */
  readonly gained: Bitset;
  readonly lost: Bitset;
}

const ICMP = 1;
const ICMP6 = 58;
const WITH_PORTS: ReadonlySet<number> = new Set([6, 17, 132]);
/** What a rule without a protocol means to clients. */
const DEFAULT_PROTOCOLS: readonly number[] = [6, 17, ICMP, ICMP6];
const ALL: PortRange = Object.freeze({ First: 0, Last: 65_535 });

interface Entry {
  readonly key: string;
  readonly sources: Bitset;
  readonly protocol: number;
  readonly ports: PortRange;
}

interface Span {
  readonly first: bigint;
  readonly last: bigint;
}

const V6 = 1n << 33n;
const V4_ALL: Span = { first: 0n, last: (1n << 32n) - 1n };
const V6_ALL: Span = { first: V6, last: V6 + (1n << 128n) - 1n };

/** What a text of a filter covers, as orders; one span for each family. */
const spansOf = (text: string): readonly Span[] => {
  if (text === '*') return [V4_ALL, V6_ALL];
  const dash = text.indexOf('-');
  const low = parseAddressBits(dash < 0 ? text : text.slice(0, dash));
  if (low) {
    const high = dash < 0 ? low : parseAddressBits(text.slice(dash + 1));
    const shift = low.family === 4 ? 0n : V6;
    return high ? [{ first: low.bits + shift, last: high.bits + shift }] : [];
  }
  const prefix = parsePrefixBits(text);
  if (!prefix) return [];
  const shift = prefix.family === 4 ? 0n : V6;
  const size = 1n << BigInt(widthOf(prefix.family) - prefix.length);
  return [{ first: prefix.bits + shift, last: prefix.bits + size - 1n + shift }];
};

const sampleAddresses = (unit: Unit, which: 'before' | 'after'): readonly Address[] =>
  unit.kind === 'addresses' ? [unit.sample] : (unit[which]?.addresses ?? []);

/** Turns source lists into units. Lists are shared between filters, so each is read once. */
export const createSources = (units: readonly Unit[], which: 'before' | 'after') => {
  const places = units
    .flatMap((unit) => sampleAddresses(unit, which).map((address) => ({ order: orderOf(address), unit: unit.index })))
    .sort((a, b) => (a.order < b.order ? -1 : a.order > b.order ? 1 : 0));
  const orders = places.map(({ order }) => order);
  const atOrAfter = (order: bigint): number => {
    let low = 0;
    let high = orders.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((orders[middle] as bigint) < order) low = middle + 1;
      else high = middle;
    }
    return low;
  };
  const byList = new WeakMap<readonly string[], readonly [v4: Bitset, v6: Bitset]>();
  const read = (list: readonly string[]): readonly [Bitset, Bitset] => {
    let found = byList.get(list);
    if (!found) {
      found = [createBitset(units.length), createBitset(units.length)];
      for (const text of list) {
        for (const { first, last } of spansOf(text)) {
          const set = found[first < V6 ? 0 : 1];
          for (let i = atOrAfter(first); i < orders.length && (orders[i] as bigint) <= last; i++) {
            addBit(set, (places[i] as { unit: number }).unit);
          }
        }
      }
      byList.set(list, found);
    }
    return found;
  };
  return { read };
};

type Sources = ReturnType<typeof createSources>;

/** Names of bitsets, so that equal ones have one name. */
const createNames = () => {
  const names = new Map<string, number>();
  const known = new WeakMap<Bitset, number>();
  return (set: Bitset): number => {
    const cached = known.get(set);
    if (cached !== undefined) return cached;
    let end = set.words.length;
    while (end > 0 && set.words[end - 1] === 0) end--;
    const text = set.words.subarray(0, end).join();
    const name = names.get(text) ?? names.size;
    names.set(text, name);
    known.set(set, name);
    return name;
  };
};

interface Reader {
  /** What may come in to the destination, cut into entries. */
  entriesOf(unit: Unit): readonly Entry[];
}

const createReader = (
  side: Side,
  which: 'before' | 'after',
  sources: Sources,
  nameOf: (set: Bitset) => number,
): Reader => {
  const routers = [...side.nodes.values()].filter(({ approvedRoutes }) => approvedRoutes.length > 0);
  const filters = new Map<NodeId, readonly FilterRule[]>();
  const filterOf = (id: NodeId): readonly FilterRule[] => {
    let filter = filters.get(id);
    if (!filter) filters.set(id, (filter = side.population.compactFilterFor(id)));
    return filter;
  };
  const bothFamilies = new Map<string, Bitset>();
  const join = (v4: Bitset, v6: Bitset): Bitset => {
    const key = `${nameOf(v4)} ${nameOf(v6)}`;
    let joined = bothFamilies.get(key);
    if (!joined) {
      joined = createBitset();
      addAll(joined, v4);
      addAll(joined, v6);
      bothFamilies.set(key, joined);
    }
    return joined;
  };

  const carries = (address: Address, exit: boolean) => (node: PolicyNode) =>
    node.approvedRoutes.some((route) => isExitRoute(route) === exit && prefixContains(route, address));
  /** Whose filters decide about the destination, and by which of its addresses. */
  const enforcersOf = (unit: Unit): { node: PolicyNode; addresses: readonly Address[] }[] => {
    if (unit.kind === 'nodes') {
      const node = unit[which];
      return node ? [{ node, addresses: node.addresses }] : [];
    }
    const subnet = routers.filter(carries(unit.sample, false));
    return (subnet.length > 0 ? subnet : routers.filter(carries(unit.sample, true))).map((node) => ({
      node,
      addresses: [unit.sample],
    }));
  };

  return {
    entriesOf: (unit) => {
      const entries = new Map<string, Entry>();
      const add = (set: Bitset, protocol: number, ports: PortRange): void => {
        if (isEmptyBitset(set)) return;
        const key = `${nameOf(set)} ${protocol} ${ports.First} ${ports.Last}`;
        if (!entries.has(key)) entries.set(key, { key, sources: set, protocol, ports });
      };
      for (const { node, addresses } of enforcersOf(unit)) {
        const orders = addresses.map(orderOf);
        for (const { SrcIPs, DstPorts, IPProto } of filterOf(node.id)) {
          if (!DstPorts) continue;
          const [v4, v6] = sources.read(SrcIPs);
          for (const { IP, Ports } of DstPorts) {
            const hit = orders.filter((order) =>
              spansOf(IP).some(({ first, last }) => first <= order && order <= last),
            );
            if (hit.length === 0) continue;
            const set = hit.length > 1 ? join(v4, v6) : (hit[0] as bigint) < V6 ? v4 : v6;
            add(set, ICMP, ALL);
            for (const protocol of IPProto ?? DEFAULT_PROTOCOLS) {
              if (WITH_PORTS.has(protocol)) add(set, protocol, Ports);
              else if (protocol !== ICMP && protocol !== ICMP6 && Ports.First === 0 && Ports.Last === ALL.Last) {
                add(set, protocol, ALL);
              }
            }
          }
        }
      }
      return [...entries.values()];
    },
  };
};

const unionAt = (entries: readonly Entry[], port: number): Bitset => {
  const union = createBitset();
  for (const { ports, sources } of entries) if (ports.First <= port && port <= ports.Last) addAll(union, sources);
  return union;
};

/** The changes of one destination. */
const compare = (destination: Unit, before: readonly Entry[], after: readonly Entry[]): TrafficChange[] => {
  const beforeKeys = new Set(before.map(({ key }) => key));
  const afterKeys = new Set(after.map(({ key }) => key));
  const touched = [
    ...before.filter(({ key }) => !afterKeys.has(key)),
    ...after.filter(({ key }) => !beforeKeys.has(key)),
  ];
  const changes: TrafficChange[] = [];
  for (const [protocol, changed] of Map.groupBy(touched, (entry) => entry.protocol)) {
    const was = before.filter((entry) => entry.protocol === protocol);
    const is = after.filter((entry) => entry.protocol === protocol);
    // Answers change only where some entry begins or ends; between the edges one port stands for all.
    const edges = new Set<number>();
    for (const { ports } of [...was, ...is]) edges.add(ports.First).add(ports.Last + 1);
    const sorted = [...edges].sort((a, b) => a - b);
    let open: TrafficChange | undefined;
    for (let i = 0; i + 1 < sorted.length; i++) {
      const First = sorted[i] as number;
      const Last = (sorted[i + 1] as number) - 1;
      if (!changed.some(({ ports }) => ports.First <= First && First <= ports.Last)) {
        open = undefined;
        continue;
      }
      const old = unionAt(was, First);
      const now = unionAt(is, First);
      const gained = subtractBitsets(now, old);
      const lost = subtractBitsets(old, now);
      if (isEmptyBitset(gained) && isEmptyBitset(lost)) {
        open = undefined;
      } else if (
        open &&
        open.ports.Last + 1 === First &&
        equalBitsets(open.gained, gained) &&
        equalBitsets(open.lost, lost)
      ) {
        open = { ...open, ports: { First: open.ports.First, Last } };
        changes[changes.length - 1] = open;
      } else {
        open = { destination, protocol, ports: { First, Last }, gained, lost };
        changes.push(open);
      }
    }
  }
  return changes;
};

/** Every difference in reach; empty exactly when the evaluators of both sides agree on every question. */
export const diffTraffic = (before: Side, after: Side, units: readonly Unit[]): readonly TrafficChange[] => {
  const nameOf = createNames();
  const was = createReader(before, 'before', createSources(units, 'before'), nameOf);
  const is = createReader(after, 'after', createSources(units, 'after'), nameOf);
  return units.flatMap((unit) => compare(unit, was.entriesOf(unit), is.entriesOf(unit)));
};

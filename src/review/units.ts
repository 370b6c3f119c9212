// What a comparison counts in. Nodes that neither side tells apart are one unit, and so are addresses outside the tailnet
// that no literal and no route of either side tells apart: the tables of a review grow with the policies, not with pairs.

import { addressBits, formatAddress, prefixRange, type Address, type Family } from '../base/address.ts';
import { ipSetRanges, type IpRange } from '../base/ipset.ts';
import type { NodeId } from '../base/ids.ts';
import type { PolicyNode } from '../policy/facts.ts';
import { INTERNET_SET, TAILNET_SET } from '../policy/ranges.ts';
import type { Side } from './side.ts';

export type Unit = {
  readonly index: number;
} & (
  | {
      readonly kind: 'nodes';
      readonly members: readonly NodeId[];
      /** One that stands for all, as each side has it; undefined on a side where the unit doesn't exist. */
      readonly before: PolicyNode | undefined;
      readonly after: PolicyNode | undefined;
    }
  | {
      /** Addresses that no node has. */
      readonly kind: 'addresses';
      readonly range: IpRange;
      /** One that stands for all. */
      readonly sample: Address;
    }
);

/** Ranges that every policy can name: the internet's and the tailnet's own. */
const LANDMARKS: readonly IpRange[] = [INTERNET_SET, TAILNET_SET].flatMap(ipSetRanges);

const LAST: Readonly<Record<Family, bigint>> = { 4: (1n << 32n) - 1n, 6: (1n << 128n) - 1n };

/** Ranges at whose edges an answer may change. */
const edgesOf = (side: Side): IpRange[] => [
  ...side.policy.atoms.flatMap((atom) => (atom.kind === 'address' ? ipSetRanges(atom.set) : [])),
  ...[...side.nodes.values()].flatMap(({ approvedRoutes }) => approvedRoutes.map((route) => prefixRange(route))),
];

/** The whole address space, cut at every edge, without pieces that nodes fill up. */
const pieces = (family: Family, ranges: readonly IpRange[], taken: ReadonlySet<string>): [IpRange, Address][] => {
  const starts = new Set<bigint>([0n]);
  for (const range of ranges) {
    if (range.family !== family) continue;
    starts.add(range.first);
    if (range.last < LAST[family]) starts.add(range.last + 1n);
  }
  const sorted = [...starts].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  return sorted.flatMap((first, i): [IpRange, Address][] => {
    const last = (sorted[i + 1] ?? LAST[family] + 1n) - 1n;
    for (let bits = first; bits <= last; bits++) {
      const sample = formatAddress({ family, bits });
      if (!taken.has(sample)) return [[{ family, first, last }, sample]];
    }
    return [];
  });
};

export const createUnits = (before: Side, after: Side): readonly Unit[] => {
  const groups = new Map<string, NodeId[]>();
  const taken = new Set<string>();
  for (const side of [before, after]) {
    for (const [id, { addresses }] of side.nodes) {
      for (const address of addresses) taken.add(address);
      if (side === after && before.nodes.has(id)) continue;
      const key = `${before.classKey(id) ?? ''}\n${after.classKey(id) ?? ''}`;
      const group = groups.get(key);
      if (group) group.push(id);
      else groups.set(key, [id]);
    }
  }
  const edges = [...edgesOf(before), ...edgesOf(after), ...LANDMARKS];
  const outside = ([4, 6] as const).flatMap((family) => pieces(family, edges, taken));
  let index = 0;
  return [
    ...[...groups.values()].map((members): Unit => {
      const first = members[0] as NodeId;
      return { index: index++, kind: 'nodes', members, before: before.nodes.get(first), after: after.nodes.get(first) };
    }),
    ...outside.map(([range, sample]): Unit => ({ index: index++, kind: 'addresses', range, sample })),
  ];
};

/** A number for each address such that the numbers of a range are its whole. IPv4 comes before IPv6. */
export const orderOf = (address: Address): bigint => {
  const { family, bits } = addressBits(address);
  return family === 4 ? bits : bits + (1n << 33n);
};

/** The unit of a node or an address. */
export const createFinder = (units: readonly Unit[]): ((party: NodeId | Address) => Unit | undefined) => {
  const byNode = new Map<NodeId, Unit>();
  const byAddress = new Map<Address, Unit>();
  for (const unit of units) {
    if (unit.kind !== 'nodes') continue;
    for (const id of unit.members) byNode.set(id, unit);
  }
  return (party) => {
    if (typeof party === 'number') return byNode.get(party);
    let unit = byAddress.get(party);
    if (!unit) {
      const { family, bits } = addressBits(party);
      unit = units.find(
        (one) =>
          one.kind === 'addresses' && one.range.family === family && one.range.first <= bits && bits <= one.range.last,
      );
      if (unit) byAddress.set(party, unit);
    }
    return unit;
  };
};

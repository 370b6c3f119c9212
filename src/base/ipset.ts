// Sets of IP addresses as sorted, disjoint, non-adjacent ranges, with set algebra. Every operation is linear in the
// number of ranges; membership is a binary search. Sets are frozen values and are shared between rules.

import { addressBits, formatAddress, formatPrefix, prefixRange, widthOf } from './address.ts';
import type { Address, Family, Prefix } from './address.ts';

export interface IpRange {
  readonly family: Family;
  /** First address, inclusive. */
  readonly first: bigint;
  /** Last address, inclusive. */
  readonly last: bigint;
}

export interface IpSet {
  readonly v4: readonly IpRange[];
  readonly v6: readonly IpRange[];
}

export const EMPTY_SET: IpSet = Object.freeze({ v4: Object.freeze([]), v6: Object.freeze([]) });

const normalize = (ranges: IpRange[]): readonly IpRange[] => {
  ranges.sort((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : 0));
  const out: IpRange[] = [];
  for (const range of ranges) {
    const previous = out.at(-1);
    if (previous && range.first <= previous.last + 1n) {
      if (range.last > previous.last) out[out.length - 1] = { ...previous, last: range.last };
    } else out.push(range);
  }
  return Object.freeze(out);
};

export const ipSetOfRanges = (ranges: Iterable<IpRange>): IpSet => {
  const v4: IpRange[] = [];
  const v6: IpRange[] = [];
  for (const range of ranges) if (range.first <= range.last) (range.family === 4 ? v4 : v6).push(range);
  return Object.freeze({ v4: normalize(v4), v6: normalize(v6) });
};

export const addressRange = (address: Address): IpRange => {
  const { family, bits } = addressBits(address);
  return { family, first: bits, last: bits };
};

export const ipSetOf = (members: Iterable<Address | Prefix>): IpSet =>
  ipSetOfRanges(
    [...members].map((member) =>
      member.includes('/') ? prefixRange(member as Prefix) : addressRange(member as Address),
    ),
  );

export const ipSetRanges = (set: IpSet): IpRange[] => [...set.v4, ...set.v6];

export const isEmptySet = (set: IpSet): boolean => set.v4.length === 0 && set.v6.length === 0;

export const unionSets = (...sets: readonly IpSet[]): IpSet => ipSetOfRanges(sets.flatMap(ipSetRanges));

const subtract = (from: readonly IpRange[], take: readonly IpRange[]): IpRange[] => {
  const out: IpRange[] = [];
  let j = 0;
  for (const range of from) {
    let first = range.first;
    while (j < take.length && (take[j] as IpRange).last < first) j++;
    for (let k = j; k < take.length && (take[k] as IpRange).first <= range.last && first <= range.last; k++) {
      const hole = take[k] as IpRange;
      if (hole.first > first) out.push({ family: range.family, first, last: hole.first - 1n });
      first = hole.last + 1n;
    }
    if (first <= range.last) out.push({ family: range.family, first, last: range.last });
  }
  return out;
};

/** What is in `a` and not in `b`. */
export const subtractSets = (a: IpSet, b: IpSet): IpSet =>
  ipSetOfRanges([...subtract(a.v4, b.v4), ...subtract(a.v6, b.v6)]);

const intersect = (a: readonly IpRange[], b: readonly IpRange[]): IpRange[] => {
  const out: IpRange[] = [];
  for (let i = 0, j = 0; i < a.length && j < b.length;) {
    const x = a[i] as IpRange;
    const y = b[j] as IpRange;
    const first = x.first > y.first ? x.first : y.first;
    const last = x.last < y.last ? x.last : y.last;
    if (first <= last) out.push({ family: x.family, first, last });
    if (x.last < y.last) i++;
    else j++;
  }
  return out;
};

export const intersectSets = (a: IpSet, b: IpSet): IpSet =>
  ipSetOfRanges([...intersect(a.v4, b.v4), ...intersect(a.v6, b.v6)]);

/** The first range of the set that doesn't end before the given one begins. */
const firstFrom = (set: IpSet, range: IpRange): IpRange | undefined => {
  const ranges = range.family === 4 ? set.v4 : set.v6;
  let low = 0;
  let high = ranges.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((ranges[middle] as IpRange).last < range.first) low = middle + 1;
    else high = middle;
  }
  return ranges[low];
};

/** Whether some address of the range is in the set. */
export const setTouches = (set: IpSet, range: IpRange): boolean => {
  const found = firstFrom(set, range);
  return found !== undefined && found.first <= range.last;
};

export const setHasAddress = (set: IpSet, address: Address): boolean => setTouches(set, addressRange(address));

/** Whether every address of the range is in the set. */
export const setCovers = (set: IpSet, range: IpRange): boolean => {
  const found = firstFrom(set, range);
  return found !== undefined && found.first <= range.first && range.last <= found.last;
};

export const setsEqual = (a: IpSet, b: IpSet): boolean => {
  const same = (x: readonly IpRange[], y: readonly IpRange[]): boolean =>
    x.length === y.length && x.every((range, i) => range.first === y[i]?.first && range.last === y[i]?.last);
  return same(a.v4, b.v4) && same(a.v6, b.v6);
};

/** `a`, `a/n` where a range is a whole prefix, else `a-b`: the forms that packet filters understand. */
export const formatRange = (range: IpRange): string => {
  const { family, first, last } = range;
  if (first === last) return formatAddress({ family, bits: first });
  const size = last - first + 1n;
  if ((size & (size - 1n)) === 0n && first % size === 0n) {
    return formatPrefix({ family, bits: first, length: widthOf(family) - (size.toString(2).length - 1) });
  }
  return `${formatAddress({ family, bits: first })}-${formatAddress({ family, bits: last })}`;
};

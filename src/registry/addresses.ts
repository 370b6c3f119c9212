// Addresses of new nodes: one of each family, with the same offset in both prefixes, handed out in order. Neighbours in
// time become neighbours in the prefix, which keeps packet filters short; an address that was given back is used again
// only after all others were, so that old caches and old rules don't meet a new machine.

import { addressBits, formatAddress, prefixRange, type Address, type Family, type Prefix } from '../base/address.ts';
import { ipSetOf, setHasAddress, setTouches, type IpSet } from '../base/ipset.ts';
import type { Assignment } from './event.ts';

/** Ranges that clients use for themselves: net/tsaddr of Tailscale (service addresses, 4via6) and ChromeOS containers. */
const RESERVED: IpSet = ipSetOf([
  '100.100.100.100' as Address,
  '100.100.0.0/24' as Prefix,
  '100.115.92.0/23' as Prefix,
  'fd7a:115c:a1e0::53' as Address,
  'fd7a:115c:a1e0:b1a::/64' as Prefix,
]);

interface Pool {
  readonly family: Family;
  readonly first: bigint;
  /** Offsets 1 to this are handed out: not the network's own address, nor the last, which some stacks broadcast to. */
  readonly lastOffset: bigint;
}

const poolOf = (prefix: Prefix): Pool => {
  const { family, first, last } = prefixRange(prefix);
  return { family, first, lastOffset: last - first - 1n };
};

const addressAt = (pool: Pool, offset: bigint): Address =>
  formatAddress({ family: pool.family, bits: pool.first + offset });

const isUsable = (address: Address, assignment: Assignment): boolean =>
  !setHasAddress(RESERVED, address) && !setHasAddress(assignment.reservedAddresses, address);

/** The offset behind the cursor, or 0 if the cursor isn't in the pool. */
const offsetOf = (pool: Pool, cursor: Address | null): bigint => {
  if (cursor === null) return 0n;
  const { family, bits } = addressBits(cursor);
  const offset = bits - pool.first;
  return family === pool.family && offset > 0n && offset <= pool.lastOffset ? offset : 0n;
};

/** How far to jump: past the end of a reserved range that the address is in, else one. */
const strideOf = (pool: Pool, offset: bigint, assignment: Assignment): bigint => {
  const bits = pool.first + offset;
  for (const set of [RESERVED, assignment.reservedAddresses]) {
    if (!setTouches(set, { family: pool.family, first: bits, last: bits })) continue;
    const range = (pool.family === 4 ? set.v4 : set.v6).find(({ first, last }) => first <= bits && bits <= last);
    if (range) return range.last - bits + 1n;
  }
  return 1n;
};

/**
 * The next free addresses behind `cursor`, IPv4 first, and undefined when none is left. `cursor` is the first address of
 * the node that got its addresses last.
 */
export const nextAddresses = (
  assignment: Assignment,
  cursor: Address | null,
  isTaken: (address: Address) => boolean,
): readonly Address[] | undefined => {
  const pools = assignment.prefixes.map(poolOf).sort((a, b) => a.family - b.family);
  const lead = pools[0];
  if (!lead) return [];
  const lastOffset = pools.reduce(
    (least, pool) => (pool.lastOffset < least ? pool.lastOffset : least),
    lead.lastOffset,
  );
  if (lastOffset < 1n) return undefined;
  const start = offsetOf(lead, cursor);
  let wrapped = false;
  for (let offset = start + 1n; !wrapped || offset <= start;) {
    if (offset > lastOffset) {
      if (wrapped) return undefined;
      wrapped = true;
      offset = 1n;
      continue;
    }
    const addresses = pools.map((pool) => addressAt(pool, offset));
    if (addresses.every((address) => isUsable(address, assignment) && !isTaken(address))) return addresses;
    let stride = 1n;
    for (const pool of pools) {
      const jump = strideOf(pool, offset, assignment);
      if (jump > stride) stride = jump;
    }
    offset += stride;
  }
  return undefined;
};

/** Whether a node may keep its addresses: as many as there are prefixes, each in its prefix, none reserved. */
export const addressesFit = (addresses: readonly Address[], assignment: Assignment): boolean =>
  addresses.length === assignment.prefixes.length &&
  assignment.prefixes.every((prefix) => {
    const pool = poolOf(prefix);
    return addresses.some((address) => offsetOf(pool, address) > 0n && isUsable(address, assignment));
  });

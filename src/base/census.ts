// Counts and rates by where something comes from: one IPv4 address, or one IPv6 /64, which is what one household has.

import { parseAddressBits } from './address.ts';
import { formatHex } from './bytes.ts';
import { createBucket, type Bucket } from './bucket.ts';

const MAPPED_BYTES = 16;
const PREFIX64_BYTES = 8;

/** An address as 16 bytes, IPv4 mapped (RFC 4291 section 2.5.5.2); zeros for what is no address. */
export const mappedBytes = (address: string): Uint8Array => {
  const parsed = parseAddressBits(address);
  const bits = parsed === undefined ? 0n : parsed.family === 4 ? (0xffffn << 32n) | parsed.bits : parsed.bits;
  const bytes = new Uint8Array(MAPPED_BYTES);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, bits >> 64n);
  view.setBigUint64(8, bits & 0xffff_ffff_ffff_ffffn);
  return bytes;
};

/** Takes the bytes of `mappedBytes`. */
export const prefixOf = ({ bytes }: { readonly bytes: Uint8Array }): string => {
  const isV4 = bytes[10] === 0xff && bytes[11] === 0xff && bytes.subarray(0, 10).every((byte) => byte === 0);
  return formatHex(isV4 ? bytes : bytes.subarray(0, PREFIX64_BYTES));
};

/** The same of an address in text. */
export const networkOf = (address: string): string => prefixOf({ bytes: mappedBytes(address) });

export interface Census {
  readonly of: (prefix: string) => number;
  readonly add: (prefix: string) => void;
  readonly remove: (prefix: string) => void;
}

export const createCensus = (): Census => {
  const counts = new Map<string, number>();
  const of = (prefix: string): number => counts.get(prefix) ?? 0;
  return {
    of,
    add: (prefix) => {
      counts.set(prefix, of(prefix) + 1);
    },
    remove: (prefix) => {
      const left = of(prefix) - 1;
      if (left > 0) counts.set(prefix, left);
      else counts.delete(prefix);
    },
  };
};

/** Prefixes whose rate is remembered; the one that was silent for longest is forgotten. */
const REMEMBERED = 20_000;

export interface Rates {
  /** Whether one more event of the prefix is within its rate. */
  readonly allows: (prefix: string, nowMs: number) => boolean;
}

export const createRates = (perSecond: number, burst: number): Rates => {
  const buckets = new Map<string, Bucket>();
  return {
    allows: (prefix, nowMs) => {
      const bucket = buckets.get(prefix) ?? createBucket(perSecond, burst, nowMs);
      buckets.delete(prefix);
      buckets.set(prefix, bucket);
      if (buckets.size > REMEMBERED) buckets.delete(buckets.keys().next().value as string);
      return bucket.tryTake(1, nowMs);
    },
  };
};

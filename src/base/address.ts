// IP addresses and prefixes as branded text in the canonical form of RFC 5952, which is also what Go's netip prints:
// lower case, no leading zeros, the longest run of two or more zero groups as `::`. The sort order of filters depends on it.

import type { Brand } from './ids.ts';

/** `100.64.0.1` or `fd7a:115c:a1e0::1`, canonical. Never an IPv4-mapped IPv6 address, never with a zone. */
export type Address = Brand<string, 'Address'>;
/** `10.0.0.0/8`, canonical and masked: no host bits. */
export type Prefix = Brand<string, 'Prefix'>;
export type Family = 4 | 6;

/** An address as a number: 32 bits for IPv4, 128 for IPv6. */
export interface AddressBits {
  readonly family: Family;
  readonly bits: bigint;
}

export const widthOf = (family: Family): 32 | 128 => (family === 4 ? 32 : 128);

const parseV4 = (text: string): bigint | undefined => {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  let value = 0n;
  for (const part of parts) {
    if (!/^(?:0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255) return undefined;
    value = (value << 8n) | BigInt(part);
  }
  return value;
};

const parseGroups = (text: string): bigint[] | undefined => {
  if (text === '') return [];
  const groups: bigint[] = [];
  const parts = text.split(':');
  for (const [i, part] of parts.entries()) {
    if (i === parts.length - 1 && part.includes('.')) {
      const v4 = parseV4(part);
      if (v4 === undefined) return undefined;
      groups.push(v4 >> 16n, v4 & 0xffffn);
    } else if (/^[0-9a-fA-F]{1,4}$/.test(part)) groups.push(BigInt(`0x${part}`));
    else return undefined;
  }
  return groups;
};

const parseV6 = (text: string): bigint | undefined => {
  const [head, tail, more] = text.split('::');
  if (more !== undefined || head === undefined) return undefined;
  const left = parseGroups(head);
  const right = tail === undefined ? [] : parseGroups(tail);
  if (!left || !right) return undefined;
  const missing = 8 - left.length - right.length;
  if (tail === undefined ? missing !== 0 : missing < 1) return undefined;
  return [...left, ...Array<bigint>(missing).fill(0n), ...right].reduce((value, group) => (value << 16n) | group, 0n);
};

export const parseAddressBits = (text: string): AddressBits | undefined => {
  if (text.length > 45) return undefined;
  if (!text.includes(':')) {
    const bits = parseV4(text);
    return bits === undefined ? undefined : { family: 4, bits };
  }
  const bits = parseV6(text);
  if (bits === undefined) return undefined;
  return bits >> 32n === 0xffffn ? { family: 4, bits: bits & 0xffffffffn } : { family: 6, bits };
};

export const formatAddress = ({ family, bits }: AddressBits): Address => {
  if (family === 4) {
    const value = Number(bits);
    return `${value >>> 24}.${(value >>> 16) & 255}.${(value >>> 8) & 255}.${value & 255}` as Address;
  }
  const groups = Array.from({ length: 8 }, (_, i) => Number((bits >> BigInt(112 - 16 * i)) & 0xffffn));
  let best = -1;
  let bestLength = 1;
  for (let i = 0; i < 8; i++) {
    let j = i;
    while (j < 8 && groups[j] === 0) j++;
    if (j - i > bestLength) {
      best = i;
      bestLength = j - i;
    }
    if (j > i) i = j;
  }
  const hex = groups.map((group) => group.toString(16));
  if (best < 0) return hex.join(':') as Address;
  return `${hex.slice(0, best).join(':')}::${hex.slice(best + bestLength).join(':')}` as Address;
};

/** Reads any usual spelling and gives the canonical one. IPv4-mapped IPv6 becomes IPv4. */
export const parseAddress = (text: string): Address | undefined => {
  const bits = parseAddressBits(text);
  return bits && formatAddress(bits);
};

/** The number behind an address that is already canonical. */
export const addressBits = (address: Address): AddressBits => parseAddressBits(address) as AddressBits;

export const familyOf = (text: Address | Prefix): Family => (text.includes(':') ? 6 : 4);

export interface PrefixBits extends AddressBits {
  readonly length: number;
}

/** Reads `address/length` and keeps host bits; see `maskPrefix`. */
export const parsePrefixBits = (text: string): PrefixBits | undefined => {
  const slash = text.lastIndexOf('/');
  if (slash < 0) return undefined;
  const address = parseAddressBits(text.slice(0, slash));
  const lengthText = text.slice(slash + 1);
  if (!address || !/^(?:0|[1-9]\d{0,2})$/.test(lengthText)) return undefined;
  const length = Number(lengthText);
  return length <= widthOf(address.family) ? { ...address, length } : undefined;
};

const hostMask = (family: Family, length: number): bigint => (1n << BigInt(widthOf(family) - length)) - 1n;

export const maskPrefix = ({ family, bits, length }: PrefixBits): PrefixBits => ({
  family,
  bits: bits & ~hostMask(family, length),
  length,
});

export const hasHostBits = (prefix: PrefixBits): boolean => maskPrefix(prefix).bits !== prefix.bits;

export const formatPrefix = (prefix: PrefixBits): Prefix =>
  `${formatAddress(maskPrefix(prefix))}/${prefix.length}` as Prefix;

/** Reads a prefix without host bits; undefined for anything else, host bits included. */
export const parsePrefix = (text: string): Prefix | undefined => {
  const prefix = parsePrefixBits(text);
  return prefix && !hasHostBits(prefix) ? formatPrefix(prefix) : undefined;
};

export const prefixBits = (prefix: Prefix): PrefixBits => parsePrefixBits(prefix) as PrefixBits;

/** The prefix that holds just this address: /32 or /128. */
export const hostPrefix = (address: Address): Prefix => `${address}/${widthOf(familyOf(address))}` as Prefix;

/** First and last address of a prefix. */
export const prefixRange = (prefix: Prefix): { family: Family; first: bigint; last: bigint } => {
  const { family, bits, length } = prefixBits(prefix);
  return { family, first: bits, last: bits | hostMask(family, length) };
};

export const prefixContains = (outer: Prefix, inner: Prefix | Address): boolean => {
  const a = prefixRange(outer);
  const b = inner.includes('/') ? prefixRange(inner as Prefix) : prefixRange(hostPrefix(inner as Address));
  return a.family === b.family && a.first <= b.first && b.last <= a.last;
};

export const prefixesOverlap = (x: Prefix, y: Prefix): boolean => {
  const a = prefixRange(x);
  const b = prefixRange(y);
  return a.family === b.family && a.first <= b.last && b.first <= a.last;
};

export const EXIT_ROUTES: readonly Prefix[] = ['0.0.0.0/0' as Prefix, '::/0' as Prefix];

/** A route of length zero makes its node an exit node. */
export const isExitRoute = (route: Prefix): boolean => route.endsWith('/0');

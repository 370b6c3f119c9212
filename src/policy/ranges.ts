// The address ranges that the language itself names. They are strings in filters, so their text and order are fixed.

import { formatAddress, parseAddressBits } from '../base/address.ts';
import type { AddressBits } from '../base/address.ts';
import { ipSetOfRanges, type IpRange } from '../base/ipset.ts';

const parse = (text: string): IpRange => {
  const [low, high] = text.split('-').map((part) => parseAddressBits(part) as AddressBits);
  return { family: (low as AddressBits).family, first: (low as AddressBits).bits, last: (high as AddressBits).bits };
};

/** Every address that a tailnet gives to nodes; 100.115.92.0/23 belongs to ChromeOS. As in a filter's sources for `*`. */
export const TAILNET_RANGES = [
  '100.64.0.0-100.115.91.255',
  '100.115.94.0-100.127.255.255',
  'fd7a:115c:a1e0::/48',
] as const;

export const TAILNET_SET = ipSetOfRanges(
  [
    '100.64.0.0-100.115.91.255',
    '100.115.94.0-100.127.255.255',
    'fd7a:115c:a1e0::-fd7a:115c:a1e0:ffff:ffff:ffff:ffff:ffff',
  ].map(parse),
);

/** Public addresses, as in a filter's destinations for `autogroup:internet`: always ranges, in this order. */
export const INTERNET_RANGES = [
  '0.0.0.0-9.255.255.255',
  '11.0.0.0-100.63.255.255',
  '100.128.0.0-169.253.255.255',
  '169.255.0.0-172.15.255.255',
  '172.32.0.0-192.167.255.255',
  '192.169.0.0-255.255.255.255',
  '2000::-3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff',
] as const;

export const INTERNET_SET = ipSetOfRanges(INTERNET_RANGES.map(parse));

export const EVERYTHING_SET = ipSetOfRanges(
  ['0.0.0.0-255.255.255.255', '::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'].map(parse),
);

/** `a-b`, also where a prefix would do; an address alone as itself. */
export const formatSpan = ({ family, first, last }: IpRange): string => {
  const low = formatAddress({ family, bits: first });
  return first === last ? low : `${low}-${formatAddress({ family, bits: last })}`;
};

// Behind a proxy every connection comes from the proxy. What it says in X-Forwarded-For is believed if the setting trusts it,
// and then from right to left only as far as trusted proxies go: what stands further left anybody may have written.

import type { IncomingMessage } from 'node:http';

import { parseAddress, parsePrefix, prefixContains } from '../base/address.ts';
import type { Address, Prefix } from '../base/address.ts';
import { StartFailure } from './failure.ts';

export interface TrustedProxies {
  readonly isTrusted: (address: string) => boolean;
  /** The address that a request comes from, in its usual spelling; empty if there is none. */
  readonly remoteAddressOf: (request: IncomingMessage) => string;
}

/** More hops than any chain of proxies has. */
const HOPS = 16;

const prefixOf = (text: string): Prefix => {
  const prefix = parsePrefix(text) ?? parsePrefix(`${text}/${text.includes(':') ? 128 : 32}`);
  if (prefix) return prefix;
  throw new StartFailure(
    'usage',
    'server/bad-setting',
    `«${text}» in --trusted-proxies is not an address or prefix.`,
    'Write it like 10.0.0.0/8,192.0.2.7.',
  );
};

/** Takes the setting: addresses and prefixes, with commas between them. */
export const trustedProxies = (setting: string | undefined): TrustedProxies => {
  const prefixes = (setting ?? '')
    .split(',')
    .map((text) => text.trim())
    .filter((text) => text !== '')
    .map(prefixOf);
  const isTrustedAddress = (address: Address): boolean => prefixes.some((prefix) => prefixContains(prefix, address));
  return {
    isTrusted: (text) => {
      const address = parseAddress(text);
      return address !== undefined && isTrustedAddress(address);
    },
    remoteAddressOf: ({ socket, headers }) => {
      let address = parseAddress(socket.remoteAddress ?? '');
      const header = headers['x-forwarded-for'];
      const hops = (typeof header === 'string' ? header : '').split(',').slice(-HOPS);
      while (address !== undefined && isTrustedAddress(address)) {
        const next = parseAddress(hops.pop()?.trim() ?? '');
        if (next === undefined) break;
        address = next;
      }
      return address ?? '';
    },
  };
};

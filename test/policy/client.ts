// What a client makes of the answers it is given: the packet filter as wgengine/filter applies it, and SSH rules as
// ssh/tailssh does. Read from their texts alone, so that our own understanding of classes has no part in it.

import { parseAddressBits, parsePrefixBits, widthOf, type Address } from '../../src/base/address.ts';
import { parsePrefix, prefixRange } from '../../src/base/address.ts';
import type { FilterRule } from '../../src/wire/filter.ts';
import type { SshPolicy } from '../../src/wire/ssh.ts';

export interface Range {
  readonly family: 4 | 6;
  readonly first: bigint;
  readonly last: bigint;
}

/** `a`, `a/n` or `a-b`. */
export const rangeOf = (text: string): Range => {
  const [low, high] = text.split('-');
  const one = parseAddressBits(low ?? '');
  const other = high === undefined ? undefined : parseAddressBits(high);
  if (one && other) return { family: one.family, first: one.bits, last: other.bits };
  if (one) return { family: one.family, first: one.bits, last: one.bits };
  const bits = parsePrefixBits(text);
  const prefix = parsePrefix(text);
  if (!bits || prefix === undefined || bits.length > widthOf(bits.family)) throw new Error(`no client reads ${text}`);
  return prefixRange(prefix);
};

export const textHolds = (text: string, address: Address): boolean => {
  if (text === '*') return true;
  const bits = parseAddressBits(address);
  const range = rangeOf(text);
  return bits?.family === range.family && range.first <= bits.bits && bits.bits <= range.last;
};

export const textsOverlap = (a: string, b: string): boolean => {
  if (a === '*' || b === '*') return true;
  const x = rangeOf(a);
  const y = rangeOf(b);
  return x.family === y.family && x.first <= y.last && y.first <= x.last;
};

export interface Packet {
  readonly source: Address;
  readonly destination: Address;
  readonly port: number;
  readonly protocol: number;
}

const DEFAULT_PROTOCOLS = [6, 17, 1, 58];

/** wgengine/filter: runIn4, runIn6. */
export const filterAccepts = (rules: readonly FilterRule[], { source, destination, port, protocol }: Packet): boolean =>
  rules.some(({ SrcIPs, DstPorts, IPProto }) => {
    if (!DstPorts || !SrcIPs.some((text) => textHolds(text, source))) return false;
    const isIcmp = protocol === 1 || protocol === 58;
    if (!isIcmp && !(IPProto ?? DEFAULT_PROTOCOLS).includes(protocol)) return false;
    const hasPorts = protocol === 6 || protocol === 17 || protocol === 132;
    return DstPorts.some(({ IP, Ports: { First, Last } }) => {
      if (!textHolds(IP, destination)) return false;
      return isIcmp || (hasPorts ? First <= port && port <= Last : First === 0 && Last === 65535);
    });
  });

/** ssh/tailssh: the first rule whose principal and user match decides. */
export const sshAnswers = ({ rules }: SshPolicy, source: Address, user: string): 'accept' | 'check' | 'deny' => {
  for (const { principals, sshUsers, action } of rules) {
    if (!principals.some(({ nodeIP }) => nodeIP === source)) continue;
    const mapped = sshUsers[user] ?? sshUsers['*'];
    if (mapped === undefined || mapped === '') continue;
    if (action.reject === true) return 'deny';
    return action.accept === true ? 'accept' : 'check';
  }
  return 'deny';
};

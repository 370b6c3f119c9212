// Connections from which no whole request came yet. They cost a stranger nothing, so their number is limited, in all and by
// address; who has sent a request is no longer counted here, and the limits of the relay and of control hold instead.

import type { Socket } from 'node:net';

import { createCensus, createRates, networkOf } from '../base/census.ts';

export interface NewcomerLimits {
  readonly all: number;
  /** Of one IPv4 address or one IPv6 /64. */
  readonly perPrefix: number;
  /** New connections of one prefix in a second, for a long time; ten times as many at once. */
  readonly perSecond: number;
  /** Addresses that stand for many: this machine, and proxies. */
  readonly isExempt: (address: string) => boolean;
}

export interface Newcomers {
  /** False: one too many; the socket is to be closed. */
  readonly admit: (socket: Socket) => boolean;
  /** A whole request came over the connection; `socket` may be the TLS socket over it. */
  readonly settle: (socket: Socket) => void;
  readonly count: () => number;
}

export const isLoopback = (address: string): boolean => /^(?:127\.|::1$|::ffff:127\.)/.test(address);

/** A connection by its other end: a TLS socket does not lead back to the socket below it, but both know this. */
const nameOf = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress} ${remotePort}`;

export const createNewcomers = (limits: NewcomerLimits): Newcomers => {
  const prefixes = new Map<string, string>();
  const census = createCensus();
  const rates = createRates(limits.perSecond, 10 * limits.perSecond);
  const forget = (name: string): void => {
    const prefix = prefixes.get(name);
    if (prefix === undefined) return;
    prefixes.delete(name);
    census.remove(prefix);
  };
  return {
    admit: (socket) => {
      const address = socket.remoteAddress ?? '';
      if (limits.isExempt(address)) return true;
      const prefix = networkOf(address);
      if (prefixes.size >= limits.all || census.of(prefix) >= limits.perPrefix) return false;
      if (!rates.allows(prefix, performance.now())) return false;
      const name = nameOf(socket);
      prefixes.set(name, prefix);
      census.add(prefix);
      socket.once('close', () => forget(name));
      return true;
    },
    settle: (socket) => forget(nameOf(socket)),
    count: () => prefixes.size,
  };
};

// Binding sockets, with an error that says what to do.

import { once } from 'node:events';
import type net from 'node:net';
import type { Code } from '../base/catalogue.ts';
import { StartFailure } from './failure.ts';
import { formatHostPort } from './settings.ts';
import type { HostPort } from './settings.ts';

const BACKLOG = 4_096;

const FAILURES: Readonly<Record<string, readonly [Code, string, string]>> = {
  EADDRINUSE: [
    'server/listen-in-use',
    'Another program listens on',
    'Stop it, or choose another address with --listen HOST:PORT.',
  ],
  EACCES: [
    'server/listen-denied',
    'This user may not listen on',
    'Use a port above 1023, or give the program the capability CAP_NET_BIND_SERVICE.',
  ],
  EADDRNOTAVAIL: [
    'server/listen-unknown',
    'This machine does not have the address',
    'Check --listen; 0.0.0.0:PORT means every IPv4 address.',
  ],
  ENOTFOUND: ['server/listen-unknown', 'No address is known for', 'Check the host name in --listen.'],
};

export const listenFailure = (at: string, error: NodeJS.ErrnoException): Error => {
  const known = FAILURES[error.code ?? ''];
  return known ? new StartFailure('state', known[0], `${known[1]} ${at}.`, known[2]) : error;
};

/** Resolves with the port that is really bound, which matters where 0 was asked for. */
export const listen = async (server: net.Server, at: HostPort): Promise<number> => {
  server.listen({ host: at.host, port: at.port, backlog: BACKLOG });
  try {
    await once(server, 'listening');
  } catch (error) {
    throw listenFailure(formatHostPort(at), error as NodeJS.ErrnoException);
  }
  return (server.address() as net.AddressInfo).port;
};

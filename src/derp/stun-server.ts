// STUN over UDP: tells a client the address that its packets come from. It answers clients alone, at most 44 bytes for 40,
// and no address faster than a client would ever ask, so it is of no use for reflection.

import dgram from 'node:dgram';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';

import { parseAddressBits } from '../base/address.ts';
import { createRates, networkOf } from '../base/census.ts';
import { encodeStunResponse, isStunRequest } from './stun.ts';

export interface StunServer {
  /** The bound port. */
  readonly port: number;
  readonly stats: () => StunStats;
  readonly close: () => Promise<void>;
}

export interface StunStats {
  readonly answered: number;
  /** No request of a client. */
  readonly refused: number;
  /** Over the limit of its address. */
  readonly limited: number;
}

/** Many clients may share an address behind a router, and each asks about once in 20 seconds. */
const PER_SECOND = 200;
const BURST = 1_000;

/** `host` may be `::` for both families, or an address of either. Rejects when the port is not to be had. */
export const startStunServer = async (listen: {
  readonly host: string;
  readonly port: number;
}): Promise<StunServer> => {
  const stats = { answered: 0, refused: 0, limited: 0 };
  const rates = createRates(PER_SECOND, BURST);
  const isLimited = (address: string): boolean => !rates.allows(networkOf(address), performance.now());

  const socket = dgram.createSocket(listen.host.includes(':') ? 'udp6' : 'udp4');
  socket.on('message', (message, { address, port }) => {
    if (!isStunRequest(message)) {
      stats.refused++;
      return;
    }
    const from = parseAddressBits(address.split('%', 1)[0] as string);
    if (!from || isLimited(address)) {
      stats.limited++;
      return;
    }
    stats.answered++;
    // An answer that cannot be sent is one that got lost on the way.
    socket.send(encodeStunResponse(message, from, port), port, address, () => {});
  });
  socket.bind(listen.port, listen.host);
  await once(socket, 'listening');
  // From here on errors concern single datagrams.
  socket.on('error', () => {});
  return {
    port: (socket.address() as AddressInfo).port,
    stats: () => ({ ...stats }),
    close: async () => {
      socket.close();
      await once(socket, 'close');
    },
  };
};

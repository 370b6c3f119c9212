// The relay of a region: takes connections from any listener that hands them over, speaks DERP on them (Tailscale's
// derp/derpserver), and answers the few plain requests that clients make of a relay's host. It owns no listener and no key.

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';

import type { Crypto, Random } from '../keys/crypto.ts';
import type { KeyPair } from '../keys/pair.ts';
import type { Secret } from '../base/secret.ts';
import type { NodeKey } from '../keys/text.ts';

export interface RelayPorts {
  readonly crypto: Crypto;
  readonly random: Random;
  /** Whether the node may use the relay. Asked once per connection, when the key is proven; a rejection refuses. */
  readonly admit: (nodeKey: NodeKey, remoteAddress: string) => boolean | Promise<boolean>;
  /** Addresses by DNS name, for clients whose DNS fails; absent: `{}`. Names asked for are lower case. */
  readonly bootstrapDns?: (name: string) => Readonly<Record<string, readonly string[]>>;
  /** The address to count and to show for a request; absent: the socket's. For trusted proxies. */
  readonly remoteAddressOf?: (request: IncomingMessage) => string;
}

export interface RelayLimits {
  /** Connections in all; further ones are closed at once. */
  readonly connections: number;
  /** Connections of one IPv4 address or one IPv6 /64. */
  readonly connectionsPerPrefix: number;
  /** Connections that have not yet proven a key, of one IPv4 address or one IPv6 /64. */
  readonly handshakesPerPrefix: number;
  /** What one client may send for a long time; absent: no limit. */
  readonly bytesPerSecond?: number;
  /** What it may send at once; at least one frame of the largest size. */
  readonly burstBytes?: number;
}

export interface RelayOptions {
  readonly key: KeyPair;
  /** 32 bytes that the relays of one region share; absent: no connection gets the rights of the mesh. */
  readonly meshKey?: Secret<Uint8Array>;
  readonly limits?: Partial<RelayLimits>;
}

/** Counted since the relay was made, but for the gauges `clients`, `connections` and `homeClients`. */
export interface RelayStats {
  /** Different node keys. */
  readonly clients: number;
  readonly connections: number;
  /** Keys that call this relay their home. */
  readonly homeClients: number;
  readonly accepted: number;
  readonly refused: Readonly<Record<'full' | 'handshake' | 'admission' | 'protocol', number>>;
  readonly packetsIn: number;
  readonly bytesIn: number;
  readonly packetsOut: number;
  readonly bytesOut: number;
  readonly dropped: Readonly<Record<'unknown-destination' | 'queue-full', number>>;
  readonly writeTimeouts: number;
}

export interface Relay {
  readonly publicKey: NodeKey;
  /** Takes `/derp/probe`, `/derp/latency-check`, `/generate_204`, `/bootstrap-dns` and `/derp` without an upgrade; false, and untouched, for others. */
  readonly handleRequest: (request: IncomingMessage, response: ServerResponse) => boolean;
  /** Takes an upgrade of `/derp` to DERP or WebSocket; false, and untouched, for others. */
  readonly handleUpgrade: (request: IncomingMessage, socket: Duplex, head: Buffer) => boolean;
  /** Closes the connections of a node that may no longer use the relay. */
  readonly disconnect: (nodeKey: NodeKey) => void;
  /** A warning that clients show until it is replaced; empty clears it. */
  readonly health: (text: string) => void;
  readonly stats: () => RelayStats;
  /** Tells clients to come back after `reconnectInMs`, for `tryForMs`; then closes every connection. */
  readonly close: (restart?: { readonly reconnectInMs: number; readonly tryForMs: number }) => Promise<void>;
}

export const createRelay = (_ports: RelayPorts, _options: RelayOptions): Relay => {
  throw new Error('the relay is not here yet');
};

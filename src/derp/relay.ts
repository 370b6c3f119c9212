// The relay of a region: takes connections from any listener that hands them over, speaks DERP on them (Tailscale's
// derp/derpserver), and answers the few plain requests that clients make of a relay's host. It owns no listener and no key.

import type { IncomingMessage, ServerResponse } from 'node:http';
import net from 'node:net';
import type { Duplex } from 'node:stream';

import { createWebSocketStream, WebSocketServer } from 'ws';

import { formatHex } from '../base/bytes.ts';
import type { Secret } from '../base/secret.ts';
import type { Crypto, Random } from '../keys/crypto.ts';
import type { KeyPair } from '../keys/pair.ts';
import { formatNodeKey, keyBytes, type NodeKey } from '../keys/text.ts';
import { answerRelayRequest } from './answers.ts';
import { createCensus, mappedBytes, prefixOf } from '../base/census.ts';
import { Connection, createFlusher } from './connection.ts';
import {
  encodeHealth,
  encodeRestarting,
  HEADER_BYTES,
  KEY_BYTES,
  keyName,
  PACKET_LIMIT_BYTES,
  PROTOCOL_VERSION,
} from './frame.ts';
import { openMeshLink } from './mesh.ts';
import { createRoster } from './roster.ts';
import type { Remote, Shared } from './session.ts';
import { createTally, type Tally } from './tally.ts';

export interface RelayPorts {
  readonly crypto: Crypto;
  readonly random: Random;
  /** Whether the node may use the relay. Asked once per connection, when the key is proven; a rejection refuses. */
  readonly admit: (nodeKey: NodeKey, remoteAddress: string) => boolean | Promise<boolean>;
  /** Addresses by DNS name, for clients whose DNS fails; absent: `{}`. Names asked for are lower case. */
  readonly bootstrapDns?: (name: string) => Readonly<Record<string, readonly string[]>>;
  /** The address to count and to show for a request; absent: the socket's. For trusted proxies. */
  readonly remoteAddressOf?: (request: IncomingMessage) => string;
  /** Told of a bug that ended one connection. */
  readonly onFault?: (fault: unknown, at: string) => void;
}

export interface RelayLimits {
  /** Connections in all; further ones are closed at once. */
  readonly connections: number;
  /** Connections with one key; a further one closes the one that has been silent for longest. */
  readonly connectionsPerKey: number;
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
  /** The other relays of the region, `https://host:port/derp`; this one may be among them. Wants a mesh key. */
  readonly meshWith?: readonly URL[];
  readonly limits?: Partial<RelayLimits>;
}

/** The counts of `Tally` since the relay was made, and how it is now. */
export interface RelayStats extends Readonly<Tally> {
  /** Different node keys. */
  readonly clients: number;
  readonly connections: number;
  /** Keys that call this relay their home. */
  readonly homeClients: number;
}

export interface Relay {
  readonly publicKey: NodeKey;
  /** Takes the relay's plain requests (answers.ts), and `/derp` without an upgrade; false, and untouched, for others. */
  readonly handleRequest: (request: IncomingMessage, response: ServerResponse) => boolean;
  /** Takes an upgrade of `/derp` to DERP or WebSocket; false, and untouched, for others. */
  readonly handleUpgrade: (request: IncomingMessage, socket: Duplex, head: Buffer) => boolean;
  /** Closes the connections of a node that may no longer use the relay. */
  readonly disconnect: (nodeKey: NodeKey) => void;
  /** The same for every node that is connected and not allowed any more. */
  readonly retain: (isAllowed: (nodeKey: NodeKey) => boolean) => void;
  /** A warning that clients show until it is replaced; empty clears it. */
  readonly health: (text: string) => void;
  readonly stats: () => RelayStats;
  /** Tells clients to come back after `reconnectInMs`, for `tryForMs`; then closes every connection. */
  readonly close: (restart?: { readonly reconnectInMs: number; readonly tryForMs: number }) => Promise<void>;
}

const DEFAULT_LIMITS: RelayLimits = { connections: 50_000, connectionsPerKey: 16, handshakesPerPrefix: 500 };
const LARGEST_FRAME_BYTES = HEADER_BYTES + KEY_BYTES + PACKET_LIMIT_BYTES;
const WEBSOCKET_MESSAGE_BYTES = 32 << 10;
const CLOSE_MS = 1_000;

const NOTHING = Buffer.alloc(0);

const isWebSocket = ({ headers }: IncomingMessage): boolean =>
  headers.upgrade?.toLowerCase() === 'websocket' &&
  (headers['sec-websocket-protocol'] ?? '').split(',').some((name) => name.trim() === 'derp');

export const createRelay = (ports: RelayPorts, options: RelayOptions): Relay => {
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const roster = createRoster();
  const tally = createTally();
  const { publicKey } = options.key;
  const shared: Shared = {
    crypto: ports.crypto,
    random: ports.random,
    nowMs: () => performance.now(),
    after: (delayMs, act) => {
      setTimeout(act, delayMs);
    },
    admit: ports.admit,
    privateKey: options.key.privateKey.reveal(),
    publicKey,
    meshKey: options.meshKey?.reveal(),
    roster,
    tally,
    bytesPerSecond: limits.bytesPerSecond ?? 0,
    connectionsPerKey: limits.connectionsPerKey,
    burstBytes: Math.max(limits.burstBytes ?? 0, LARGEST_FRAME_BYTES),
    healthText: '',
  };
  const connections = new Set<Connection>();
  const handshakes = createCensus();
  const flusher = createFlusher();
  const webSockets = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: LARGEST_FRAME_BYTES,
    handleProtocols: () => 'derp',
  });
  const meshLinks = shared.meshKey ? (options.meshWith ?? []).map((url) => openMeshLink(shared, url)) : [];
  let isClosing = false;

  const isFull = (prefix: string): boolean =>
    isClosing || connections.size >= limits.connections || handshakes.of(prefix) >= limits.handshakesPerPrefix;

  const connect = (socket: Duplex, head: Buffer, remote: Remote, writeLimitBytes: number): void => {
    const prefix = prefixOf(remote);
    let isHandshaking = true;
    const endHandshake = (): void => {
      if (isHandshaking) handshakes.remove(prefix);
      isHandshaking = false;
    };
    handshakes.add(prefix);
    const connection: Connection = new Connection({
      shared,
      socket,
      remote,
      writeLimitBytes,
      flusher,
      onProven: endHandshake,
      onFault: (fault) => ports.onFault?.(fault, 'relay'),
      onClosed: () => {
        endHandshake();
        connections.delete(connection);
      },
    });
    connections.add(connection);
    connection.unshift(head);
  };

  const remoteOf = (request: IncomingMessage): Remote => {
    const address = ports.remoteAddressOf?.(request) ?? request.socket.remoteAddress ?? '';
    return {
      address,
      bytes: mappedBytes(address),
      port: request.socket.remotePort ?? 0,
      isIdeal: request.headers['ideal-node'] === undefined,
    };
  };

  const upgradeHead =
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n' +
    `Derp-Version: ${PROTOCOL_VERSION}\r\nDerp-Public-Key: ${formatHex(publicKey)}\r\n\r\n`;

  const handleUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): boolean => {
    if (request.url?.split('?', 1)[0] !== '/derp') return false;
    const upgrade = request.headers.upgrade?.toLowerCase();
    if (upgrade !== 'derp' && upgrade !== 'websocket') return false;
    const remote = remoteOf(request);
    if (isFull(prefixOf(remote))) {
      tally.refused.full++;
      socket.destroy();
      return true;
    }
    if (socket instanceof net.Socket) {
      socket.setTimeout(0);
      socket.setNoDelay(true);
    }
    if (isWebSocket(request)) {
      webSockets.handleUpgrade(request, socket, head, (webSocket) => {
        connect(createWebSocketStream(webSocket), NOTHING, remote, WEBSOCKET_MESSAGE_BYTES);
      });
      return true;
    }
    if (request.headers['derp-fast-start'] !== '1') socket.write(upgradeHead);
    connect(socket, head, remote, 0);
    return true;
  };

  const close: Relay['close'] = async (restart) => {
    isClosing = true;
    for (const link of meshLinks) link.close();
    const open = [...connections];
    const closed = Promise.all(open.map(async ({ socket }) => new Promise((resolve) => socket.once('close', resolve))));
    for (const connection of open) {
      if (restart) connection.session.tell(encodeRestarting(restart.reconnectInMs, restart.tryForMs));
      connection.end();
    }
    const timer = setTimeout(() => {
      for (const connection of open) connection.session.close();
    }, CLOSE_MS);
    await closed;
    clearTimeout(timer);
  };

  return {
    publicKey: formatNodeKey(publicKey),
    handleRequest: (request, response) => answerRelayRequest(request, response, ports.bootstrapDns),
    handleUpgrade,
    disconnect: (nodeKey) => {
      const peer = roster.find(keyName(Buffer.from(keyBytes(nodeKey)), 0));
      for (const client of peer?.connections.slice() ?? []) client.close();
    },
    retain: (isAllowed) => {
      for (const { session } of connections) {
        if (session.isProven && !session.isMesh && !isAllowed(formatNodeKey(session.peer.key))) session.close();
      }
    },
    health: (text) => {
      shared.healthText = text;
      for (const { session } of connections) if (session.isProven) session.tell(encodeHealth(text));
    },
    stats: () => {
      const homes = new Set<string>();
      for (const { session } of connections) if (session.isHome) homes.add(session.peer.name);
      return { ...structuredClone(tally), ...roster.counts(), homeClients: homes.size };
    },
    close,
  };
};

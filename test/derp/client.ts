// A small DERP client and a relay on loopback, for tests: they say in one line what a test is about.

import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import net, { type AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';

import { createWebSocketStream, WebSocket } from 'ws';

import { formatHex } from '../../src/base/bytes.ts';
import { Secret } from '../../src/base/secret.ts';
import { encodeFrame, FRAME, HEADER_BYTES } from '../../src/derp/frame.ts';
import { createRelay, type Relay, type RelayOptions, type RelayPorts } from '../../src/derp/relay.ts';
import { boxKey, openBox, sealBox, type BoxKey } from '../../src/keys/box.ts';
import { nativeCrypto as crypto } from '../../src/keys/native.ts';
import { makeKeyPair, type KeyPair } from '../../src/keys/pair.ts';
import { formatNodeKey } from '../../src/keys/text.ts';

export const MESH_KEY = new Uint8Array(32).fill(0x4d);
const PATIENCE_MS = 3_000;

export const newKey = (): KeyPair => makeKeyPair(crypto, randomBytes(32));

export interface TestRelay {
  readonly relay: Relay;
  readonly port: number;
  readonly close: () => Promise<void>;
}

export const startRelay = async (
  ports: Partial<RelayPorts> = {},
  options: Partial<RelayOptions> = {},
): Promise<TestRelay> => {
  const relay = createRelay(
    { crypto, random: (sizeBytes) => randomBytes(sizeBytes), admit: () => true, ...ports },
    { key: newKey(), meshKey: new Secret(MESH_KEY), ...options },
  );
  const server = http.createServer((request, response) => {
    if (!relay.handleRequest(request, response)) response.writeHead(404).end();
  });
  server.on('upgrade', (request, socket, head) => {
    if (!relay.handleUpgrade(request, socket, head)) socket.destroy();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    relay,
    port: (server.address() as AddressInfo).port,
    close: async () => {
      await relay.close();
      server.closeAllConnections();
      server.close();
    },
  };
};

export interface Frame {
  readonly type: number;
  readonly payload: Buffer;
}

export interface TestClient {
  readonly key: KeyPair;
  readonly socket: Duplex;
  readonly send: (type: number, ...payload: readonly Uint8Array[]) => void;
  readonly sendTo: (key: KeyPair, packet: Uint8Array) => void;
  /** The next frame of the type; others before it are passed over. */
  readonly next: (type: number) => Promise<Buffer>;
  /** Answers when the relay has read everything sent before. */
  readonly settle: () => Promise<void>;
  /** Frames that came and that nobody asked for. */
  readonly unread: () => readonly Frame[];
  readonly closed: Promise<void>;
}

export interface ConnectOptions {
  readonly key?: KeyPair;
  readonly meshKey?: Uint8Array;
  readonly fastStart?: boolean;
  readonly webSocket?: boolean;
  /** Resolve without waiting to be let in. */
  readonly isRefused?: boolean;
}

const request = (fastStart: boolean): string =>
  `GET /derp HTTP/1.1\r\nHost: relay\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n${fastStart ? 'Derp-Fast-Start: 1\r\n' : ''}\r\n`;

const open = async (port: number, options: ConnectOptions): Promise<Duplex> => {
  if (!options.webSocket) return net.connect(port, '127.0.0.1');
  const webSocket = new WebSocket(`ws://127.0.0.1:${port}/derp`, 'derp', { perMessageDeflate: false });
  const stream = createWebSocketStream(webSocket);
  await once(webSocket, 'open');
  return stream;
};

export const connect = async (to: Pick<TestRelay, 'port'>, options: ConnectOptions = {}): Promise<TestClient> => {
  const key = options.key ?? newKey();
  const socket = await open(to.port, options);
  const frames: Frame[] = [];
  let arrived = (): void => {};
  const closed = new Promise<void>((resolve) => {
    socket.once('close', () => {
      resolve();
      arrived();
    });
  });
  let buffered = Buffer.alloc(0);
  let isHttpDone = options.webSocket === true || options.fastStart === true;
  socket.on('error', () => {});
  socket.on('data', (chunk: Buffer) => {
    buffered = Buffer.concat([buffered, chunk]);
    if (!isHttpDone) {
      const end = buffered.indexOf('\r\n\r\n');
      if (end < 0) return;
      isHttpDone = true;
      buffered = buffered.subarray(end + 4);
    }
    while (buffered.length >= HEADER_BYTES) {
      const end = HEADER_BYTES + buffered.readUInt32BE(1);
      if (buffered.length < end) break;
      frames.push({ type: buffered[0] as number, payload: buffered.subarray(HEADER_BYTES, end) });
      buffered = buffered.subarray(end);
    }
    arrived();
  });
  const next = async (type: number): Promise<Buffer> => {
    const giveUp = Date.now() + PATIENCE_MS;
    for (;;) {
      const place = frames.findIndex((frame) => frame.type === type);
      const [frame] = place < 0 ? [] : frames.splice(place, 1);
      if (frame) return frame.payload;
      if (socket.closed) throw new Error(`the relay closed; no frame of type ${type}`);
      await new Promise<void>((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error(`no frame of type ${type}`)), giveUp - Date.now());
        arrived = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  };
  const send: TestClient['send'] = (type, ...payload) => {
    socket.write(encodeFrame(type, ...payload));
  };

  if (!options.webSocket) socket.write(request(options.fastStart === true));
  const serverKey = (await next(FRAME.serverKey)).subarray(8);
  const shared = boxKey(crypto, key.privateKey.reveal(), serverKey) as BoxKey;
  const meshKey = options.meshKey ? { meshKey: formatHex(options.meshKey) } : {};
  const info = Buffer.from(JSON.stringify({ version: 2, CanAckPings: true, ...meshKey }));
  send(FRAME.clientInfo, key.publicKey, sealBox(shared, randomBytes(24), info));
  if (!options.isRefused) {
    const answer = openBox(shared, await next(FRAME.serverInfo));
    if (!answer) throw new Error(`the relay sealed nothing for ${formatNodeKey(key.publicKey)}`);
  }
  return {
    key,
    socket,
    send,
    sendTo: (to, packet) => send(FRAME.sendPacket, to.publicKey, packet),
    next,
    settle: async () => {
      send(FRAME.ping, Buffer.alloc(8));
      await next(FRAME.pong);
    },
    unread: () => frames,
    closed,
  };
};

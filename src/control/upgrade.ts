// `/ts2021`: from HTTP to Noise. Native clients ask by POST with a token of their own, browsers by a WebSocket; both bring
// the handshake's first message along. Whoever is no client gets a constant and is cut off (Tailscale's
// control/controlhttp/controlhttpserver/controlhttpserver.go, client_js.go).

import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';

import { createWebSocketStream, WebSocketServer } from 'ws';

import { concatBytes, parseBase64, utf8 } from '../base/bytes.ts';
import { KEY_BYTES, type Crypto, type Random } from '../keys/crypto.ts';
import { networkOf } from '../base/census.ts';
import { makeKeyPair, type KeyPair } from '../keys/pair.ts';
import { formatChallengeKey, formatMachineKey, type MachineKey } from '../keys/text.ts';
import { encodeEarlyPayload } from '../noise/early.ts';
import { encodeHandshakeError, initiationVersion, respond, type Accepted } from '../noise/handshake.ts';
import type { CapabilityVersion } from '../wire/capability.ts';
import { Channel } from './channel.ts';
import type { ControlLimits, Meter } from './ports.ts';
import type { Scheduler } from './scheduler.ts';

const TOKEN = 'tailscale-control-protocol';
const HANDSHAKE_HEADER = 'x-tailscale-handshake';
const SWITCHING = utf8(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: ${TOKEN}\r\nConnection: upgrade\r\n\r\n`);
const REFUSED = encodeHandshakeError('the handshake was not accepted');
/** Browsers end a connection at a longer message. */
const MAX_MESSAGE_BYTES = 32 * 1024;
/** 101 bytes in base64. */
const HANDSHAKE_TEXT = 136;

/** The machine that a handshake names. It has proven its key when its first record arrived (see `Channel.isProven`). */
export interface Peer {
  readonly machineKey: MachineKey;
  /** The capability version of the handshake. */
  readonly version: CapabilityVersion;
  /** Where it comes from, for limits and for people; not a promise. */
  readonly remote: string;
}

export interface UpgradePorts {
  readonly crypto: Crypto;
  readonly random: Random;
  readonly noiseKey: KeyPair;
  readonly scheduler: Scheduler;
  readonly meter: Meter;
  readonly limits: ControlLimits;
  readonly remoteOf: (request: IncomingMessage) => string;
  /** Whether a further connection may be opened now. */
  readonly hasRoom: () => boolean;
  /** Takes over the connection. The early payload is written but held, so that the first answer shares its packet. */
  readonly connected: (peer: Peer, channel: Channel) => void;
}

const STATUS = {
  400: 'Bad Request',
  405: 'Method Not Allowed',
  429: 'Too Many Requests',
  503: 'Service Unavailable',
} as const;

const turnAway = (socket: Duplex, status: keyof typeof STATUS, text: string): void => {
  const head = `HTTP/1.1 ${status} ${STATUS[status]}\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n`;
  socket.end(`${head}Content-Length: ${text.length + 1}\r\n\r\n${text}\n`);
};

/** What the client sent as its first message; undefined if it can't be one. */
const readInitiation = (text: string | null | undefined): Uint8Array | undefined => {
  const bytes = text?.length === HANDSHAKE_TEXT ? parseBase64(text) : undefined;
  return bytes && initiationVersion(bytes) !== undefined ? bytes : undefined;
};

export const createUpgrade = (
  ports: UpgradePorts,
): ((request: IncomingMessage, socket: Duplex, head: Buffer) => void) => {
  const { crypto, limits, meter, random, scheduler } = ports;
  const webSockets = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: MAX_MESSAGE_BYTES,
    handleProtocols: (protocols) => (protocols.has(TOKEN) ? TOKEN : false),
  });

  const open = (
    peerOf: Accepted,
    remote: string,
    socket: Duplex,
    options: ConstructorParameters<typeof Channel>[3],
  ) => {
    const channel = new Channel(socket, crypto, { send: peerOf.serverKey, receive: peerOf.clientKey }, options);
    // No client answers the challenge, so nobody needs its private half; and any 32 bytes are somebody's public key.
    const challenge = formatChallengeKey(random(KEY_BYTES));
    channel.cork();
    channel.write(encodeEarlyPayload(challenge));
    meter.count('handshakes_total', 1, { outcome: 'accepted' });
    const machineKey = formatMachineKey(peerOf.machineKey);
    ports.connected({ machineKey, version: peerOf.version, remote }, channel);
    process.nextTick(() => channel.uncork());
  };

  /** Waits for its turn, then answers; `done` gets undefined for a handshake that was not made for us. */
  const shake = (
    initiation: Uint8Array,
    remote: string,
    socket: Duplex,
    done: (accepted: Accepted | undefined) => void,
  ): void => {
    const leave = (): void => {
      meter.count('handshakes_total', 1, { outcome: 'abandoned' });
      takeOut();
      clearTimeout(timer);
    };
    const takeOut = scheduler.enter('handshake', networkOf(remote), () => {
      clearTimeout(timer);
      socket.off('close', leave);
      const ephemeral = makeKeyPair(crypto, random(KEY_BYTES));
      done(respond(crypto, ports.noiseKey, ephemeral, initiation));
    });
    const timer = setTimeout(() => socket.destroy(), limits.handshakeTimeoutMs);
    socket.once('close', leave);
  };

  const refused = (socket: Duplex, bytes: Uint8Array): void => {
    meter.count('handshakes_total', 1, { outcome: 'refused' });
    socket.end(bytes);
  };

  const acceptNative = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    const header = request.headers[HANDSHAKE_HEADER];
    const initiation = readInitiation(typeof header === 'string' ? header : undefined);
    if (!initiation) {
      turnAway(socket, 400, 'missing or malformed handshake');
      return;
    }
    const remote = ports.remoteOf(request);
    shake(initiation, remote, socket, (accepted) => {
      if (accepted) open(accepted, remote, socket, { before: concatBytes(SWITCHING, accepted.response), head });
      else refused(socket, concatBytes(SWITCHING, REFUSED));
    });
  };

  const acceptWebSocket = (request: IncomingMessage, socket: Duplex, head: Buffer, query: URLSearchParams): void => {
    const initiation = readInitiation(query.get('X-Tailscale-Handshake'));
    if (!initiation) {
      turnAway(socket, 400, 'missing or malformed handshake');
      return;
    }
    const remote = ports.remoteOf(request);
    shake(initiation, remote, socket, (accepted) => {
      webSockets.handleUpgrade(request, socket, head, (webSocket) => {
        const stream = createWebSocketStream(webSocket);
        stream.on('error', () => stream.destroy());
        if (accepted) open(accepted, remote, stream, { before: accepted.response, maxWriteBytes: MAX_MESSAGE_BYTES });
        else refused(stream, REFUSED);
      });
    });
  };

  return (request, socket, head) => {
    socket.on('error', () => socket.destroy());
    const url = request.url ?? '';
    const mark = url.indexOf('?');
    const token = request.headers.upgrade?.toLowerCase();
    if (!ports.hasRoom()) turnAway(socket, 503, 'too many connections');
    else if (scheduler.waiting('handshake') >= limits.waitingHandshakes) turnAway(socket, 503, 'too many handshakes');
    else if (token === 'websocket' && request.method === 'GET')
      acceptWebSocket(request, socket, head, new URLSearchParams(mark < 0 ? '' : url.slice(mark + 1)));
    else if (token !== TOKEN) turnAway(socket, 400, 'unknown next protocol');
    else if (request.method !== 'POST') turnAway(socket, 405, 'POST is required');
    else acceptNative(request, socket, head);
  };
};

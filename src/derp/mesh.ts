// Several relays of one region act as one: each is a client of every other, with the key that they share, hears there who is
// connected, and forwards packets for whom it does not have itself (Tailscale's derp/derphttp/mesh_client.go).

import http from 'node:http';
import https from 'node:https';
import type { Duplex } from 'node:stream';

import { equalBytes } from '../base/bytes.ts';
import { BOX_NONCE_BYTES } from '../keys/box.ts';
import {
  createFrameReader,
  encodeForwardHead,
  encodeFrame,
  encodePong,
  FRAME,
  HEADER_BYTES,
  KEY_BYTES,
  keyName,
  MAGIC_BYTES,
  MESH_PAYLOAD_BYTES,
  NEXT,
  PING_BYTES,
  STOP,
  type Verdict,
} from './frame.ts';
import { sealClientInfo } from './handshake.ts';
import type { Forwarder } from './roster.ts';
import type { Shared } from './session.ts';

export interface MeshLink {
  readonly close: () => void;
}

const RETRY_MS = 5_000;
const CONNECT_MS = 10_000;
/** Two keep-alives of the other relay may get lost. */
const SILENCE_MS = 130_000;
const WRITE_BUFFER_BYTES = 1 << 20;

/** One connection's meaning: bytes in by `read`, frames out by `write`. Ends by `close`, which forgets what it heard. */
const createMeshSession = (shared: Shared, write: (frame: Uint8Array) => void, forwarder: Forwarder) => {
  const { crypto, privateKey, publicKey, meshKey, random, roster } = shared;
  const present = new Set<string>();
  let isItself = false;

  const onServerKey = (serverKey: Uint8Array): Verdict => {
    isItself = equalBytes(serverKey, publicKey);
    if (isItself || !meshKey) return STOP;
    const info = sealClientInfo(crypto, { privateKey, publicKey }, serverKey, meshKey, random(BOX_NONCE_BYTES));
    if (!info) return STOP;
    write(encodeFrame(FRAME.clientInfo, info));
    return NEXT;
  };

  const reader = createFrameReader((type, bytes, at) => {
    const payloadAt = at + HEADER_BYTES;
    switch (type) {
      case FRAME.serverKey:
        return onServerKey(bytes.subarray(payloadAt + MAGIC_BYTES, payloadAt + MAGIC_BYTES + KEY_BYTES));
      case FRAME.serverInfo:
        write(encodeFrame(FRAME.watchConns));
        return NEXT;
      case FRAME.peerPresent: {
        const name = keyName(bytes, payloadAt);
        present.add(name);
        roster.addForwarder(name, Uint8Array.from(bytes.subarray(payloadAt, payloadAt + KEY_BYTES)), forwarder);
        return NEXT;
      }
      case FRAME.peerGone: {
        const name = keyName(bytes, payloadAt);
        if (present.delete(name)) roster.removeForwarder(name, forwarder);
        return NEXT;
      }
      case FRAME.ping:
        write(encodePong(bytes.subarray(payloadAt, payloadAt + PING_BYTES)));
        return NEXT;
      default:
        return NEXT;
    }
  }, MESH_PAYLOAD_BYTES);

  return {
    read: reader.read,
    isItself: () => isItself,
    close: () => {
      for (const name of present) roster.removeForwarder(name, forwarder);
    },
  };
};

/** Connects to the relay at `url`, again and again if need be, unless it turns out to be this one. */
export const openMeshLink = (shared: Shared, url: URL): MeshLink => {
  let socket: Duplex | undefined;
  let timer: NodeJS.Timeout | undefined;
  let isClosed = false;

  const retry = (): void => {
    if (isClosed) return;
    timer = setTimeout(dial, RETRY_MS);
    timer.unref();
  };

  const serve = (opened: Duplex, head: Buffer): void => {
    socket = opened;
    const silence = setTimeout(() => opened.destroy(), SILENCE_MS);
    const write = (frame: Uint8Array): void => {
      opened.write(frame);
    };
    const session = createMeshSession(shared, write, {
      forward: (source, destination, packet) => {
        if (opened.writableLength > WRITE_BUFFER_BYTES) {
          shared.tally.dropped['queue-full']++;
          return;
        }
        opened.cork();
        write(encodeForwardHead(source, destination, packet.length));
        write(packet);
        setImmediate(() => opened.uncork());
      },
    });
    const read = (chunk: Buffer): void => {
      silence.refresh();
      if (!session.read(chunk)) opened.destroy();
    };
    opened.on('data', read);
    opened.on('error', () => opened.destroy());
    opened.on('end', () => opened.destroy());
    opened.on('close', () => {
      clearTimeout(silence);
      socket = undefined;
      session.close();
      if (!session.isItself()) retry();
    });
    if (head.length > 0) read(head);
  };

  const dial = (): void => {
    const request = (url.protocol === 'https:' ? https : http).get(url, {
      agent: false,
      headers: { Connection: 'Upgrade', Upgrade: 'DERP' },
      timeout: CONNECT_MS,
    });
    request.on('timeout', () => request.destroy());
    request.on('response', (response) => response.destroy());
    request.on('upgrade', (_response, opened, head) => {
      request.removeAllListeners('close');
      opened.setTimeout(0);
      serve(opened, head);
    });
    request.on('error', () => {});
    request.on('close', retry);
  };

  dial();
  return {
    close: () => {
      isClosed = true;
      clearTimeout(timer);
      socket?.destroy();
    },
  };
};

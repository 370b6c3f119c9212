// DERP frames: one byte of type, four bytes of length in network order, then the payload (Tailscale's derp/derp.go).
// The reader cuts frames out of the chunks that a socket gives, without copying any that lies whole in one chunk.

import { concatBytes, utf8 } from '../base/bytes.ts';

export const FRAME = {
  serverKey: 0x01,
  clientInfo: 0x02,
  serverInfo: 0x03,
  sendPacket: 0x04,
  recvPacket: 0x05,
  keepAlive: 0x06,
  notePreferred: 0x07,
  peerGone: 0x08,
  peerPresent: 0x09,
  forwardPacket: 0x0a,
  watchConns: 0x10,
  closePeer: 0x11,
  ping: 0x12,
  pong: 0x13,
  health: 0x14,
  restarting: 0x15,
} as const;

export const PROTOCOL_VERSION = 2;
export const HEADER_BYTES = 5;
export const KEY_BYTES = 32;
export const PACKET_LIMIT_BYTES = 64 << 10;
export const PING_BYTES = 8;
export const MAGIC_BYTES = 8;
/** A frame larger than this has no meaning in any version that we know; it ends the connection. */
const FRAME_LIMIT_BYTES = 1 << 20;

/** What a frame of each type must hold at least and may hold at most; types that are not here are skipped. */
export type PayloadBounds = Readonly<Record<number, { readonly least: number; readonly most: number }>>;

/** Of what a relay reads. */
export const PAYLOAD_BYTES: PayloadBounds = {
  [FRAME.clientInfo]: { least: KEY_BYTES + 24, most: 16 << 10 },
  [FRAME.sendPacket]: { least: KEY_BYTES, most: KEY_BYTES + PACKET_LIMIT_BYTES },
  [FRAME.forwardPacket]: { least: 2 * KEY_BYTES, most: 2 * KEY_BYTES + PACKET_LIMIT_BYTES },
  [FRAME.notePreferred]: { least: 1, most: 1 },
  [FRAME.watchConns]: { least: 0, most: 0 },
  [FRAME.closePeer]: { least: KEY_BYTES, most: KEY_BYTES },
  [FRAME.ping]: { least: PING_BYTES, most: 1000 },
};

/** Of what a relay reads that is itself the client of another; frames may grow in later versions. */
export const MESH_PAYLOAD_BYTES: PayloadBounds = {
  [FRAME.serverKey]: { least: MAGIC_BYTES + KEY_BYTES, most: 1 << 10 },
  [FRAME.serverInfo]: { least: 24, most: 16 << 10 },
  [FRAME.peerGone]: { least: KEY_BYTES, most: 1 << 10 },
  [FRAME.peerPresent]: { least: KEY_BYTES, most: 1 << 10 },
  [FRAME.ping]: { least: PING_BYTES, most: 1000 },
};

export const GONE = { disconnected: 0x00, notHere: 0x01 } as const;
export const PRESENT = { regular: 1, meshPeer: 2, prober: 4, notIdeal: 8 } as const;

/** "DERP" and a key, in UTF-8. */
const MAGIC = Uint8Array.of(0x44, 0x45, 0x52, 0x50, 0xf0, 0x9f, 0x94, 0x91);

export const encodeFrame = (type: number, ...payload: readonly Uint8Array[]): Uint8Array => {
  const frame = concatBytes(new Uint8Array(HEADER_BYTES), ...payload);
  frame[0] = type;
  new DataView(frame.buffer).setUint32(1, frame.length - HEADER_BYTES);
  return frame;
};

export const encodeServerKey = (publicKey: Uint8Array): Uint8Array => encodeFrame(FRAME.serverKey, MAGIC, publicKey);

export const KEEP_ALIVE: Uint8Array = encodeFrame(FRAME.keepAlive);

export const encodePeerGone = (key: Uint8Array, reason: number): Uint8Array =>
  encodeFrame(FRAME.peerGone, key, Uint8Array.of(reason));

/** `address` is 16 bytes, IPv4 mapped. */
export const encodePeerPresent = (key: Uint8Array, address: Uint8Array, port: number, flags: number): Uint8Array =>
  encodeFrame(FRAME.peerPresent, key, address, Uint8Array.of(port >> 8, port & 0xff, flags));

export const encodePong = (ping: Uint8Array): Uint8Array => encodeFrame(FRAME.pong, ping);

export const encodeHealth = (text: string): Uint8Array => encodeFrame(FRAME.health, utf8(text));

export const encodeRestarting = (reconnectInMs: number, tryForMs: number): Uint8Array => {
  const payload = new Uint8Array(8);
  const view = new DataView(payload.buffer);
  view.setUint32(0, reconnectInMs);
  view.setUint32(4, tryForMs);
  return encodeFrame(FRAME.restarting, payload);
};

/** What stands before a packet that goes to another relay of the region. */
export const encodeForwardHead = (source: Uint8Array, destination: Uint8Array, packetBytes: number): Uint8Array => {
  const head = encodeFrame(FRAME.forwardPacket, source, destination);
  new DataView(head.buffer).setUint32(1, 2 * KEY_BYTES + packetBytes);
  return head;
};

/**
 * Makes the frame at `at`, a packet to someone, the frame that this someone receives: both have one size, so it is done in
 * place and the packet never moves.
 */
export const turnIntoReceived = (bytes: Uint8Array, at: number, source: Uint8Array): void => {
  bytes[at] = FRAME.recvPacket;
  bytes.set(source, at + HEADER_BYTES);
};

/** The same for a packet that another relay forwards, which names both ends. Gives where the frame now begins. */
export const turnForwardedIntoReceived = (bytes: Uint8Array, at: number, end: number): number => {
  const start = at + KEY_BYTES;
  const length = end - start - HEADER_BYTES;
  bytes.copyWithin(start + HEADER_BYTES, at + HEADER_BYTES, at + HEADER_BYTES + KEY_BYTES);
  bytes[start] = FRAME.recvPacket;
  bytes[start + 1] = length >>> 24;
  bytes[start + 2] = length >>> 16;
  bytes[start + 3] = length >>> 8;
  bytes[start + 4] = length;
  return start;
};

/** Path discovery (Tailscale's disco/disco.go): "TS" and a speech balloon, the sender's key, a nonce. */
export const looksLikeDisco = (bytes: Uint8Array, at: number, end: number): boolean =>
  end - at >= 6 + 32 + 24 &&
  bytes[at] === 0x54 &&
  bytes[at + 1] === 0x53 &&
  bytes[at + 2] === 0xf0 &&
  bytes[at + 3] === 0x9f &&
  bytes[at + 4] === 0x92 &&
  bytes[at + 5] === 0xac;

/** Keys are looked up by a string of 32 characters, one for each byte: strings are what a Map hashes with a secret seed. */
export const keyName = (bytes: Buffer, at: number): string => bytes.toString('latin1', at, at + KEY_BYTES);

export const NEXT = 0;
/** The frame was taken; give no further one until `resume`. */
export const PAUSE = 1;
/** The frame breaks the protocol. */
export const STOP = 2;
export type Verdict = typeof NEXT | typeof PAUSE | typeof STOP;

/** `bytes[at]` is the type, the payload goes from `at + HEADER_BYTES` to `end`. The memory now belongs to the callee. */
export type OnFrame = (type: number, bytes: Buffer, at: number, end: number) => Verdict;

export interface FrameReader {
  /** Takes the next chunk, and its memory. False: the connection broke the protocol and is to be closed. */
  readonly read: (chunk: Buffer) => boolean;
  /** Goes on after a pause, with what was held back; it may end in a pause again. */
  readonly resume: () => boolean;
  readonly isPaused: () => boolean;
}

const NOTHING: Buffer = Buffer.alloc(0);
const FIRST_HOLD_BYTES = 1 << 10;

export const createFrameReader = (onFrame: OnFrame, payloadBytes: PayloadBounds = PAYLOAD_BYTES): FrameReader => {
  /** The beginning of a frame whose end has not come. It grows with what came, not with what its header announced. */
  let held = NOTHING;
  let heldBytes = 0;
  let skipBytes = 0;
  let isPaused = false;
  let rest = NOTHING;

  /** Moves bytes of the chunk behind the held ones, `wanted` in all if there are so many; gives where the chunk goes on. */
  const hold = (chunk: Buffer, at: number, wanted: number): number => {
    const end = Math.min(chunk.length, at + wanted - heldBytes);
    const needBytes = heldBytes + end - at;
    if (needBytes > held.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(FIRST_HOLD_BYTES, Math.min(2 * held.length, wanted), needBytes));
      held.copy(grown, 0, 0, heldBytes);
      held = grown;
    }
    chunk.copy(held, heldBytes, at, end);
    heldBytes = needBytes;
    return end;
  };

  const read = (chunk: Buffer): boolean => {
    if (isPaused) {
      rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      return true;
    }
    let at = 0;
    while (at < chunk.length) {
      if (skipBytes > 0) {
        const skipped = Math.min(skipBytes, chunk.length - at);
        skipBytes -= skipped;
        at += skipped;
        continue;
      }
      const isBegun = heldBytes > 0;
      if (isBegun && heldBytes < HEADER_BYTES) at = hold(chunk, at, HEADER_BYTES);
      const haveBytes = isBegun ? heldBytes : chunk.length - at;
      if (haveBytes < HEADER_BYTES) {
        if (!isBegun) hold(chunk, at, HEADER_BYTES);
        return true;
      }
      const bytes = isBegun ? held : chunk;
      const start = isBegun ? 0 : at;
      const type = bytes[start] as number;
      const length = bytes.readUInt32BE(start + 1);
      const bounds = payloadBytes[type];
      if (bounds === undefined) {
        if (length > FRAME_LIMIT_BYTES) return false;
        skipBytes = length;
        if (isBegun) heldBytes = 0;
        else at += HEADER_BYTES;
        continue;
      }
      if (length < bounds.least || length > bounds.most) return false;
      const frameBytes = HEADER_BYTES + length;
      if (isBegun || haveBytes < frameBytes) {
        at = hold(chunk, at, frameBytes);
        if (heldBytes < frameBytes) return true;
      } else at += frameBytes;
      const isHeld = heldBytes > 0;
      const frame = isHeld ? held : chunk;
      const from = isHeld ? 0 : at - frameBytes;
      held = NOTHING;
      heldBytes = 0;
      const verdict = onFrame(type, frame, from, from + frameBytes);
      if (verdict === STOP) return false;
      if (verdict === PAUSE) {
        isPaused = true;
        rest = chunk.subarray(at);
        return true;
      }
    }
    return true;
  };

  return {
    read,
    resume: () => {
      isPaused = false;
      const chunk = rest;
      rest = NOTHING;
      return read(chunk);
    },
    isPaused: () => isPaused,
  };
};

// Records after the handshake: type 4, a length of 16 bits, and ChaCha20-Poly1305 ciphertext, at most 4096 bytes in all. The
// nonce is a counter in big-endian order, where the Noise framework has little-endian: the one place in which a stock
// Noise library fails, and only at the second record (Tailscale's control/controlbase/conn.go).

import { concatBytes } from '../base/bytes.ts';
import { AEAD_NONCE_BYTES, AEAD_TAG_BYTES, NO_BYTES, type Crypto } from '../keys/crypto.ts';

export const MAX_FRAME_BYTES = 4096;
export const FRAME_HEAD_BYTES = 3;
export const MAX_CIPHERTEXT_BYTES = MAX_FRAME_BYTES - FRAME_HEAD_BYTES;
export const MAX_PLAINTEXT_BYTES = MAX_CIPHERTEXT_BYTES - AEAD_TAG_BYTES;

const TYPE_RECORD = 4;

/** The nonce of the next record: four zero bytes, then the counter. The array is re-used; it is only valid for one call. */
const counter = (): (() => Uint8Array) => {
  const nonce = new Uint8Array(AEAD_NONCE_BYTES);
  const view = new DataView(nonce.buffer);
  let high = 0;
  let low = -1;
  return () => {
    low += 1;
    if (low > 0xffffffff) {
      low = 0;
      high += 1;
      // 2^64 - 1 is reserved. At a million records per second this is half a million years away; we stop far earlier.
      if (high > 0xfffffffe) throw new RangeError('the records of this connection are used up');
    }
    view.setUint32(4, high);
    view.setUint32(8, low);
    return nonce;
  };
};

/** Gives the bytes of the parts in pieces of the sizes asked for; a piece that lies in one part is not copied. */
const piecesOf = (parts: readonly Uint8Array[]): ((sizeBytes: number) => Uint8Array) => {
  let index = 0;
  let from = 0;
  const rest = (limit: number): Uint8Array => {
    while ((parts[index] as Uint8Array).length === from) {
      index += 1;
      from = 0;
    }
    const piece = (parts[index] as Uint8Array).subarray(from, from + limit);
    from += piece.length;
    return piece;
  };
  return (sizeBytes) => {
    const first = rest(sizeBytes);
    if (first.length === sizeBytes) return first;
    const joined = new Uint8Array(sizeBytes);
    joined.set(first);
    for (let at = first.length; at < sizeBytes;) {
      const next = rest(sizeBytes - at);
      joined.set(next, at);
      at += next.length;
    }
    return joined;
  };
};

/**
 * Makes the sending half of a connection: a function that turns parts of any size into the fewest records, in one array that
 * can be written in one go.
 */
export const recordEncoder = (crypto: Crypto, key: Uint8Array): ((parts: readonly Uint8Array[]) => Uint8Array) => {
  const nextNonce = counter();
  return (parts) => {
    let leftBytes = 0;
    for (const part of parts) leftBytes += part.length;
    const records = Math.ceil(leftBytes / MAX_PLAINTEXT_BYTES);
    // Every byte of it is written below.
    const out = Buffer.allocUnsafe(leftBytes + records * (FRAME_HEAD_BYTES + AEAD_TAG_BYTES));
    const nextPiece = piecesOf(parts);
    for (let at = 0; leftBytes > 0;) {
      const plaintext = nextPiece(Math.min(leftBytes, MAX_PLAINTEXT_BYTES));
      const sealedBytes = plaintext.length + AEAD_TAG_BYTES;
      out[at] = TYPE_RECORD;
      out.writeUInt16BE(sealedBytes, at + 1);
      at += FRAME_HEAD_BYTES;
      crypto.seal(key, nextNonce(), plaintext, NO_BYTES, out.subarray(at, at + sealedBytes));
      at += sealedBytes;
      leftBytes -= plaintext.length;
    }
    return out;
  };
};

/** The receiving half of a connection. */
export interface RecordDecoder {
  /**
   * Takes bytes as they arrive and hands each plaintext to `take`, in order; empty records are skipped. False means that the
   * stream is broken beyond repair: close the connection. After that every call answers false.
   */
  readonly push: (bytes: Uint8Array, take: (plaintext: Uint8Array) => void) => boolean;
  /** Bytes held back because their record is not complete: always less than one frame. */
  readonly heldBytes: () => number;
}

export const recordDecoder = (crypto: Crypto, key: Uint8Array): RecordDecoder => {
  const nextNonce = counter();
  let held = NO_BYTES;
  let broken = false;

  const decode = (bytes: Uint8Array, take: (plaintext: Uint8Array) => void): Uint8Array | undefined => {
    let at = 0;
    while (bytes.length - at >= FRAME_HEAD_BYTES) {
      const sealedBytes = ((bytes[at + 1] as number) << 8) | (bytes[at + 2] as number);
      if (bytes[at] !== TYPE_RECORD || sealedBytes < AEAD_TAG_BYTES || sealedBytes > MAX_CIPHERTEXT_BYTES)
        return undefined;
      const end = at + FRAME_HEAD_BYTES + sealedBytes;
      if (bytes.length < end) break;
      const plaintext = crypto.open(key, nextNonce(), bytes.subarray(at + FRAME_HEAD_BYTES, end), NO_BYTES);
      if (!plaintext) return undefined;
      if (plaintext.length > 0) take(plaintext);
      at = end;
    }
    return bytes.subarray(at);
  };

  return {
    push: (bytes, take) => {
      if (broken) return false;
      const rest = decode(held.length > 0 ? concatBytes(held, bytes) : bytes, take);
      if (!rest) {
        broken = true;
        held = NO_BYTES;
        return false;
      }
      // A copy, so that a few bytes don't keep the whole buffer of the socket alive.
      held = rest.length > 0 ? Uint8Array.from(rest) : NO_BYTES;
      return true;
    },
    heldBytes: () => held.length,
  };
};

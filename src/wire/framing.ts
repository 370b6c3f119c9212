// A message of a map stream: a length of 4 bytes, little-endian, then zstd frames (RFC 8878) that decode to one JSON object
// together. The client's decoder joins several frames of one message (klauspost/compress, DecodeAll), so a long message is
// put together from frames that were compressed once. Short pieces are frames of one raw block: no compressor needed.

import { concatBytes, utf8 } from '../base/bytes.ts';

const MAGIC = [0x28, 0xb5, 0x2f, 0xfd] as const;
/** The largest block that the format allows. */
const MAX_BLOCK_BYTES = 128 * 1024;
const BLOCK_HEAD_BYTES = 3;

/** Content size in the shortest form, single segment, no checksum (RFC 8878, 3.1.1.1). */
const frameHeader = (sizeBytes: number): number[] => {
  if (sizeBytes < 256) return [...MAGIC, 0x20, sizeBytes];
  if (sizeBytes < 65536 + 256) return [...MAGIC, 0x60, (sizeBytes - 256) & 255, (sizeBytes - 256) >>> 8];
  return [...MAGIC, 0xa0, sizeBytes & 255, (sizeBytes >>> 8) & 255, (sizeBytes >>> 16) & 255, sizeBytes >>> 24];
};

/** One zstd frame that stores the bytes as they are. */
export const encodeRawFrame = (content: Uint8Array): Uint8Array => {
  const header = frameHeader(content.length);
  const blocks = Math.max(1, Math.ceil(content.length / MAX_BLOCK_BYTES));
  const frame = new Uint8Array(header.length + blocks * BLOCK_HEAD_BYTES + content.length);
  frame.set(header);
  let to = header.length;
  for (let at = 0; at === 0 || at < content.length; at += MAX_BLOCK_BYTES) {
    const block = content.subarray(at, at + MAX_BLOCK_BYTES);
    const last = at + MAX_BLOCK_BYTES >= content.length ? 1 : 0;
    const head = last | (block.length << 3);
    frame[to] = head;
    frame[to + 1] = head >>> 8;
    frame[to + 2] = head >>> 16;
    frame.set(block, to + BLOCK_HEAD_BYTES);
    to += BLOCK_HEAD_BYTES + block.length;
  }
  return frame;
};

/** The length in front of the zstd frames of one message. */
export const encodeLength = (sizeBytes: number): Uint8Array =>
  Uint8Array.of(sizeBytes & 255, (sizeBytes >>> 8) & 255, (sizeBytes >>> 16) & 255, sizeBytes >>> 24);

/** A whole message with its length, from zstd frames. */
export const encodeMessage = (...frames: readonly Uint8Array[]): Uint8Array => {
  const sizeBytes = frames.reduce((sum, frame) => sum + frame.length, 0);
  return concatBytes(encodeLength(sizeBytes), ...frames);
};

/** `{"KeepAlive":true}`. Always the same bytes: clients from v1.90 on compare them and skip decoding. */
export const KEEP_ALIVE: Uint8Array = encodeMessage(encodeRawFrame(utf8('{"KeepAlive":true}')));

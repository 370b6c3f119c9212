// A look through a received pack before anything unpacks it (gitformat-pack(5)): it must end in its own digest, and no
// object may be larger than said or than the limit. A megabyte of pack can hold gigabytes of zeros, and a pack that was
// cut off must not reach the store.

import { createHash } from 'node:crypto';
import { inflateSync } from 'node:zlib';
import { refuse, type Refusal } from '../base/outcome.ts';

export interface PackLimits {
  readonly objectBytes: number;
  readonly totalBytes: number;
  readonly objects: number;
}

export const PACK_LIMITS: PackLimits = {
  objectBytes: 64 * 1024 * 1024,
  totalBytes: 1024 * 1024 * 1024,
  objects: 2_000_000,
};

const OFS_DELTA = 6;
const REF_DELTA = 7;

const broken = refuse('source/protocol', 'The pack of objects is damaged or was cut off.');

/** The two sizes at the start of a delta: of its base and of its result. */
const deltaSizes = (delta: Uint8Array): readonly [number, number] => {
  let at = 0;
  const next = (): number => {
    let value = 0;
    for (let shift = 1; ; shift *= 128) {
      const byte = delta[at++] ?? 0;
      value += (byte & 127) * shift;
      if (byte < 128 || shift > 2 ** 42) return value;
    }
  };
  return [next(), next()];
};

/** What is wrong with a pack, or undefined. */
export const checkPack = (pack: Uint8Array, limits: PackLimits): Refusal | undefined => {
  const bytes = Buffer.from(pack.buffer, pack.byteOffset, pack.byteLength);
  if (bytes.length < 32 || bytes.toString('latin1', 0, 4) !== 'PACK' || bytes.readUInt32BE(4) !== 2) return broken;
  const end = bytes.length - 20;
  if (!createHash('sha1').update(bytes.subarray(0, end)).digest().equals(bytes.subarray(end))) return broken;
  const count = bytes.readUInt32BE(8);
  if (count > limits.objects) {
    return refuse('source/fetch-too-large', `The fetch has ${count} objects, more than ${limits.objects}.`);
  }
  const tooLarge = refuse(
    'source/fetch-too-large',
    `An object of the fetch is larger than ${Math.floor(limits.objectBytes / 1024 / 1024)} MiB.`,
  );
  let at = 12;
  let total = 0;
  for (let i = 0; i < count; i++) {
    let byte = bytes[at++] ?? 0;
    const type = (byte >> 4) & 7;
    let size = byte & 15;
    for (let factor = 16; byte >= 128 && factor < 2 ** 50; factor *= 128) {
      byte = bytes[at++] ?? 0;
      size += (byte & 127) * factor;
    }
    if (size > limits.objectBytes) return tooLarge;
    if (type === OFS_DELTA) while ((bytes[at++] ?? 0) >= 128);
    else if (type === REF_DELTA) at += 20;
    if (at >= end) return broken;
    let data: Buffer;
    try {
      // `info` tells how many bytes the stream took; nothing else says where the next object starts.
      const result = inflateSync(bytes.subarray(at, end), {
        maxOutputLength: Math.max(size, 1),
        info: true,
      }) as unknown as {
        buffer: Buffer;
        engine: { bytesWritten: number };
      };
      data = result.buffer;
      at += result.engine.bytesWritten;
    } catch (error) {
      return error instanceof RangeError ? tooLarge : broken;
    }
    if (data.length !== size) return broken;
    const grown = type === OFS_DELTA || type === REF_DELTA ? deltaSizes(data)[1] : size;
    if (grown > limits.objectBytes) return tooLarge;
    total += grown;
    if (total > limits.totalBytes)
      return refuse('source/fetch-too-large', 'The objects of the fetch are too large together.');
  }
  return at === end ? undefined : broken;
};

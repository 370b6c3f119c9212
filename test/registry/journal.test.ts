// The journal's bytes: what a crash may leave is told from damage, and damage is never taken for the end.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { concatBytes, utf8, utf8Text } from '../../src/base/bytes.ts';
import { encodeHeader, encodeRecord, HEADER_BYTES, readSegment, RECORD_BYTES } from '../../src/registry/journal.ts';

/** A segment of batches, each a list of payloads; and where each batch begins. */
const segmentOf = (batches: readonly (readonly string[])[]): { bytes: Uint8Array; starts: number[] } => {
  let bytes = encodeHeader({ schemaVersion: 2, firstSeq: 7 });
  const starts: number[] = [];
  let seq = 7;
  for (const batch of batches) {
    const startBytes = bytes.length;
    starts.push(startBytes);
    bytes = concatBytes(bytes, ...batch.map((text) => encodeRecord(seq++, startBytes, utf8(text))));
  }
  return { bytes, starts };
};

const flipped = (bytes: Uint8Array, at: number): Uint8Array => {
  const copy = bytes.slice();
  copy[at] = (copy[at] as number) ^ 0x40;
  return copy;
};

test('what was written is read', () => {
  const { bytes } = segmentOf([['one'], ['two', 'three'], ['']]);
  const segment = readSegment(bytes);
  assert.deepEqual(segment.header, { schemaVersion: 2, firstSeq: 7 });
  assert.deepEqual(
    segment.records.map(({ seq, payload }) => [seq, utf8Text(payload)]),
    [
      [7, 'one'],
      [8, 'two'],
      [9, 'three'],
      [10, ''],
    ],
  );
  assert.equal(segment.endBytes, bytes.length);
  assert.equal(segment.flaw, undefined);
});

test('a flipped bit anywhere before the last batch is damage, never an end', () => {
  const { bytes, starts } = segmentOf([['one'], ['two', 'three'], ['four', 'five']]);
  const last = starts.at(-1)!;
  for (let at = 0; at < last; at++) {
    const { flaw } = readSegment(flipped(bytes, at));
    assert.equal(flaw?.kind, 'damaged', `byte ${at}`);
  }
});

test('a flipped bit in the last batch cuts it there: no crash tells that from a write that was not finished', () => {
  const { bytes, starts } = segmentOf([['one'], ['two', 'three'], ['four', 'five']]);
  for (let at = starts.at(-1)!; at < bytes.length; at++) {
    const { flaw, records } = readSegment(flipped(bytes, at));
    assert.equal(flaw?.kind, 'torn', `byte ${at}`);
    assert.ok(records.length >= 3, `byte ${at}: everything before the batch is kept`);
  }
});

test('a segment cut anywhere keeps the records before the cut', () => {
  const { bytes, starts } = segmentOf([['one'], ['two', 'three']]);
  for (let sizeBytes = 0; sizeBytes < bytes.length; sizeBytes++) {
    const { flaw, records, endBytes } = readSegment(bytes.subarray(0, sizeBytes));
    const whole = [HEADER_BYTES, starts[1]!, starts[1]! + RECORD_BYTES + 3].includes(sizeBytes);
    assert.equal(flaw?.kind, whole ? undefined : 'torn', `cut at ${sizeBytes}`);
    assert.ok(endBytes <= sizeBytes);
    assert.equal(records.length, [starts[1]!, starts[1]! + RECORD_BYTES + 3].filter((end) => end <= sizeBytes).length);
  }
});

test('a lost middle record is damage', () => {
  const { bytes, starts } = segmentOf([['one'], ['two'], ['three']]);
  const without = concatBytes(bytes.subarray(0, starts[1]), bytes.subarray(starts[2]));
  assert.equal(readSegment(without).flaw?.kind, 'damaged');
});

test('no bytes at all make reading throw, or find a record that was not written', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (noise) => {
      const { bytes } = segmentOf([['one']]);
      assert.equal(readSegment(noise).records.length, 0);
      assert.equal(readSegment(concatBytes(bytes, noise)).records.length, 1);
    }),
  );
});

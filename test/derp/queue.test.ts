// The queue of a slow client, and the bucket that holds a fast one back.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { createBucket } from '../../src/base/bucket.ts';
import { createPacketQueue, QUEUE_PACKETS } from '../../src/derp/queue.ts';

const drained = (queue: ReturnType<typeof createPacketQueue>): string[] => {
  const out: Uint8Array[] = [];
  queue.drain(out);
  return out.map((piece) => Buffer.from(piece).toString());
};

test('frames that lie one behind the other leave as one piece', () => {
  const queue = createPacketQueue();
  const chunk = Buffer.from('aabbccdd');
  const other = Buffer.from('ee');
  queue.push(chunk, 0, 2);
  queue.push(chunk, 2, 4);
  queue.push(chunk, 6, 8);
  queue.push(other, 0, 2);
  assert.deepEqual(drained(queue), ['aabb', 'dd', 'ee']);
  assert.equal(queue.isEmpty(), true);
});

test('a full queue gives up the oldest', () => {
  const queue = createPacketQueue();
  for (let i = 0; i < QUEUE_PACKETS; i++) assert.equal(queue.push(Buffer.from([i]), 0, 1), true);
  assert.equal(queue.isFull(), true);
  assert.equal(queue.push(Buffer.from([200]), 0, 1), false);
  assert.equal(queue.push(Buffer.from([201]), 0, 1), false);
  const out: Uint8Array[] = [];
  queue.drain(out);
  const kept = out.map(([byte]) => byte);
  assert.deepEqual(kept, [...Array.from({ length: QUEUE_PACKETS - 2 }, (_, i) => i + 2), 200, 201]);
});

test('a bucket pays its debt in time, and is never fuller than its burst', () => {
  const bucket = createBucket(1_000, 500, 0);
  assert.equal(bucket.take(500, 0), 0);
  assert.equal(bucket.take(250, 0), 250);
  assert.equal(bucket.tryTake(1, 250), false);
  assert.equal(bucket.tryTake(1, 251), true);
  assert.equal(bucket.take(500, 1e9), 0);
  assert.equal(bucket.take(1, 1e9), 1);
  assert.equal(bucket.take(0, 0), 1, 'a clock that goes back gives nothing');
});

// When frames leave: the first of a turn with the chunk that brought them, later ones gathered.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turnEnd } from 'node:timers/promises';

import { createFlusher, type Connection } from '../../src/derp/connection.ts';

const fake = (onFlush: () => void): Connection => ({ flushedIn: -1, onFlush }) as Partial<Connection> as Connection;

test('in a turn, the first frames leave at the end of their chunk, and all others in one write', async () => {
  const flusher = createFlusher();
  let flushes = 0;
  const connection = fake(() => flushes++);
  for (const flushesBefore of [1, 1, 1]) {
    flusher.wake(connection);
    flusher.chunkEnded();
    assert.equal(flushes, flushesBefore);
  }
  await turnEnd();
  // The connection itself wakes the flusher but once until it is flushed (`Connection.wake`); here it did each time.
  assert.equal(flushes, 3);
  flusher.wake(connection);
  flusher.chunkEnded();
  assert.equal(flushes, 4, 'the next turn begins anew');
});

test('what is told outside of a chunk leaves at the end of the turn, also what a flush tells others', async () => {
  const flusher = createFlusher();
  const order: string[] = [];
  const other = fake(() => order.push('other'));
  const first = fake(() => {
    order.push('first');
    flusher.wake(other);
  });
  flusher.wake(first);
  assert.deepEqual(order, []);
  await turnEnd();
  assert.deepEqual(order, ['first', 'other']);
});

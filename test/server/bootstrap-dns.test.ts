// Addresses for clients whose DNS fails.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { createBootstrapDns } from '../../src/server/bootstrap-dns.ts';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('our own names are answered, from the last answer that there was', async () => {
  let nowMs = 0;
  let addresses: readonly string[] = ['192.0.2.1', '2001:db8::1'];
  const asked: string[] = [];
  const { answer } = createBootstrapDns(
    () => ['tail.example.com', '127.0.0.1', 'localhost'],
    () => nowMs,
    async (name) => {
      asked.push(name);
      if (addresses.length === 0) throw new Error('DNS is away');
      return addresses;
    },
  );
  await turn();
  assert.deepEqual(answer('tail.example.com'), { 'tail.example.com': ['192.0.2.1', '2001:db8::1'] });
  for (const name of ['other.example.com', '127.0.0.1', 'localhost']) assert.deepEqual(answer(name), {});
  assert.deepEqual(asked, ['tail.example.com'], 'once, and for nobody else');

  nowMs += 3_600_000;
  addresses = [];
  answer('tail.example.com');
  await turn();
  assert.equal(asked.length, 2);
  assert.deepEqual(answer('tail.example.com'), { 'tail.example.com': ['192.0.2.1', '2001:db8::1'] });
});

// A dozen real clients at once: all join together, and a change of the policy reaches every one of them within a second.

import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import type { Client } from './client.ts';
import { skip } from './machine.ts';
import { Tailnet } from './tailnet.ts';
import { eventually } from './task.ts';

const COUNT = 12;
const WITHIN_MS = 1_000;
const NOBODY = '{ grants: [] }\n';

/** Waits until each client sees that many peers online; the milliseconds until the last one did. */
const allSee = async (clients: readonly Client[], peers: number, limitMs: number): Promise<number> => {
  const waiting = new Set(clients);
  const { afterMs } = await eventually(`every client sees ${peers} peers`, limitMs, async () => {
    for (const client of waiting) {
      const { Peer: seen } = await client.status();
      if (Object.values(seen ?? {}).filter(({ Online }) => Online).length === peers) waiting.delete(client);
    }
    if (waiting.size > 0) throw new Error(`still waiting: ${[...waiting].map(({ name }) => name).join(', ')}`);
    return true;
  });
  return afterMs;
};

describe('twelve clients in one tailnet', { skip, timeout: 120_000 }, () => {
  let tailnet: Tailnet;
  let clients: Client[];

  before(async () => {
    tailnet = await Tailnet.start();
    const names = Array.from({ length: COUNT }, (_, i) => `node-${i + 1}`);
    clients = await Promise.all(names.map(async (name) => tailnet.client(name)));
  });
  afterEach((t) => tailnet.note(t));
  after(async () => tailnet?.stop());

  test('join at once and see each other', async (t) => {
    const start = performance.now();
    await Promise.all(clients.map(async (client) => client.tell(...tailnet.up(client))));
    const joinedMs = performance.now() - start;
    const seenMs = await allSee(clients, COUNT - 1, 5_000);
    t.diagnostic(`all joined after ${Math.round(joinedMs)} ms, all seen ${Math.round(seenMs)} ms later`);
  });

  test('a policy that allows nothing reaches all within a second, and so does its end', async (t) => {
    const before = tailnet.edit('policy.json5', NOBODY);
    const cutMs = await allSee(clients, 0, WITHIN_MS);
    tailnet.edit('policy.json5', before);
    const restoredMs = await allSee(clients, COUNT - 1, WITHIN_MS);
    t.diagnostic(`cut for all after ${Math.round(cutMs)} ms, restored after ${Math.round(restoredMs)} ms`);
  });

  test('each reaches the next one afterwards', async () => {
    for (const [i, client] of clients.entries()) {
      const next = clients[(i + 1) % COUNT] as Client;
      assert.equal(await client.echoFrom(next), `${next.name}: hello from ${client.name}`);
    }
  });
});

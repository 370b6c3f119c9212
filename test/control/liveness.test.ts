// Subnet routers that have a stand-in are asked whether they are there; nobody else is.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { authKeyOf, newNodeKey, openWorld, type World } from './world.ts';

const PROBE_MS = 100;

let world: World;
before(async () => {
  world = await openWorld({ limits: { routerProbeMs: PROBE_MS } });
});
after(() => world.close());

test('a router with a stand-in that does not answer twice is silent until it answers', async () => {
  const client = await world.connect();
  const NodeKey = newNodeKey();
  await client.register({ NodeKey, Auth: { AuthKey: authKeyOf('alice') } });
  const stream = await client.stream({ NodeKey });
  await stream.next();
  const id = world.registry.view.byNodeKey.get(NodeKey)!;
  const said = () => world.netmap.silence.filter(([node]) => node === id).map(([, silent]) => silent);
  const question = async (): Promise<string> => {
    const ping = (await stream.next())?.['PingRequest'] as { URL: string };
    return new URL(ping.URL).pathname;
  };

  await sleep(2 * PROBE_MS);
  assert.deepEqual(said(), [false], 'no question to a node without a stand-in; its arrival is its answer');

  world.netmap.sharing.add(id);
  await client.request('HEAD', await question());
  while (said().length < 2) await sleep(5);
  assert.deepEqual(said(), [false, false]);

  const first = performance.now();
  await question();
  await question();
  while (said().at(-1) === false) await sleep(5);
  assert.ok(performance.now() - first < 4 * PROBE_MS, `${performance.now() - first} ms`);

  await client.request('HEAD', await question());
  while (said().at(-1) === true) await sleep(5);
});

test('a router whose stream ends hands over at once', async () => {
  const client = await world.connect();
  const NodeKey = newNodeKey();
  await client.register({ NodeKey, Auth: { AuthKey: authKeyOf('alice') } });
  const stream = await client.stream({ NodeKey });
  await stream.next();
  const id = world.registry.view.byNodeKey.get(NodeKey)!;
  client.close();
  while (!world.netmap.silence.some(([node, silent]) => node === id && silent)) await sleep(5);
  assert.equal(world.netmap.isOnline(id), true, 'peers are not told before its grace is over');
});

test('a router that counts as online after a start and does not return is passed over', async () => {
  const client = await world.connect();
  const NodeKey = newNodeKey();
  await client.register({ NodeKey, Auth: { AuthKey: authKeyOf('alice') } });
  const id = world.registry.view.byNodeKey.get(NodeKey)!;
  const isSilent = (): boolean => world.netmap.silence.some(([node, silent]) => node === id && silent);
  world.netmap.sharing.add(id);
  await sleep(6 * PROBE_MS);
  assert.equal(isSilent(), false, 'whoever is offline has nothing to lose');
  world.netmap.setOnline(id, true);
  const start = performance.now();
  while (!isSilent()) await sleep(5);
  assert.ok(performance.now() - start > 3 * PROBE_MS, 'it has some rounds to come back');
});

// Map streams over the real transport: when messages go out, who is online, and what ends a stream.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import type { NodeId } from '../../src/base/ids.ts';
import { KEEP_ALIVE } from '../../src/wire/framing.ts';
import { formatDiscoKey } from '../../src/keys/text.ts';
import { authKeyOf, newKeyPair, newNodeKey, openWorld, snapshotOf, until, type Client, type World } from './world.ts';

let world: World;
before(async () => {
  world = await openWorld({ limits: { offlineGraceMs: 500, keepAliveMs: 1000 } });
});
after(() => world.close());

interface Joined {
  readonly client: Client;
  readonly NodeKey: string;
  readonly id: NodeId;
}

const join = async (key = 'alice', own = world, machine = newKeyPair()): Promise<Joined> => {
  const client = await own.connect(machine);
  const NodeKey = newNodeKey();
  await client.register({ NodeKey, Auth: { AuthKey: authKeyOf(key) } });
  return { client, NodeKey, id: own.registry.view.byNodeKey.get(NodeKey)! };
};
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const presenceOf = (id: NodeId): boolean[] => world.netmap.presence.filter(([node]) => node === id).map(([, is]) => is);

test('a stream begins with the whole map and goes on with what is told', async () => {
  const { client, NodeKey, id } = await join();
  const stream = await client.stream({ NodeKey });
  assert.equal(stream.status, 200);
  assert.deepEqual(await stream.next(), { Node: { ID: id, Key: NodeKey } });
  world.netmap.tell(id, { PeersRemoved: [7] });
  assert.deepEqual(await stream.next(), { PeersRemoved: [7] });
  assert.deepEqual(
    world.control.sessions().map(({ node, messages, state }) => ({ node, messages, state })),
    [{ node: id, messages: 2, state: 'open' }],
  );
  client.close();
});

test('the first change goes out at once, followers share a message', async () => {
  const { client, NodeKey, id } = await join();
  const stream = await client.stream({ NodeKey });
  await stream.next();
  await pause(60);
  const startMs = performance.now();
  world.netmap.tell(id, { a: 1 });
  assert.deepEqual(await stream.next(), { a: 1 });
  assert.ok(performance.now() - startMs < 400, 'at once');
  for (const field of ['b', 'c', 'd']) world.netmap.tell(id, { [field]: 1 });
  assert.deepEqual(await stream.next(), { b: 1, c: 1, d: 1 });
  assert.ok(performance.now() - startMs < 1000, 'and that soon');
  client.close();
});

test('while a crowd comes in, arrivals wait; a new policy does not', async () => {
  const own = await openWorld();
  try {
    const first = await join('alice', own);
    const stream = await first.client.stream({ NodeKey: first.NodeKey });
    await stream.next();
    await Promise.all(Array.from({ length: 30 }, () => join('alice', own)));
    const tellTwice = async (second: () => void): Promise<number> => {
      own.netmap.tell(first.id, { first: true });
      await stream.next();
      own.netmap.tell(first.id, { second: true });
      const startMs = performance.now();
      second();
      await stream.next();
      return performance.now() - startMs;
    };
    const slowMs = await tellTwice(() => {});
    await Promise.all(Array.from({ length: 30 }, () => join('alice', own)));
    const quickMs = await tellTwice(() => own.setSnapshot(snapshotOf()));
    assert.ok(quickMs < slowMs / 2, `${quickMs} against ${slowMs} ms`);
  } finally {
    await own.close();
  }
});

test('a lite update is answered at once without a body, is stored, and disturbs no stream', async () => {
  const { client, NodeKey, id } = await join();
  const stream = await client.stream({ NodeKey });
  await stream.next();
  const Hostinfo = { Hostname: 'renamed', NetInfo: { PreferredDERP: 3 } };
  const { status, text } = await client.update({ NodeKey, Endpoints: ['192.0.2.7:41641'], Hostinfo });
  assert.deepEqual([status, text], [200, '']);
  await until(() => world.registry.view.nodes.get(id)!.name === 'renamed');
  const node = world.registry.view.nodes.get(id)!;
  assert.deepEqual([node.endpoints, node.homeDerp, node.capver], [['192.0.2.7:41641'], 3, 142]);
  world.netmap.tell(id, { still: 'here' });
  assert.deepEqual(await stream.next(), { still: 'here' });
  client.close();
});

test('tags that a client asks for in an update are given where its owner may give them', async () => {
  const { client, NodeKey, id } = await join('bob');
  const tags = () => world.registry.view.nodes.get(id)!.tags;
  const wish = (...RequestTags: string[]) => client.update({ NodeKey, Hostinfo: { Hostname: 'laptop', RequestTags } });
  await wish('tag:server');
  await pause(20);
  assert.deepEqual(tags(), []);
  await wish('tag:lab');
  await until(() => tags().length > 0);
  assert.deepEqual(tags(), ['tag:lab']);
  client.close();
});

test('a stream’s own Hostinfo and endpoints count only where nothing newer is known', async () => {
  const { client, NodeKey, id } = await join();
  const node = () => world.registry.view.nodes.get(id)!;
  const DiscoKey = `discokey:${'5'.repeat(64)}`;
  await (await client.stream({ NodeKey, DiscoKey, Endpoints: ['192.0.2.1:1'] })).next();
  assert.deepEqual([node().discoKey, node().endpoints], [DiscoKey, ['192.0.2.1:1']], 'the first sight of the node');
  await client.update({ NodeKey, DiscoKey, Endpoints: ['192.0.2.2:2'], Hostinfo: { Hostname: 'newer' } });
  await (
    await client.stream({ NodeKey, DiscoKey, Endpoints: ['192.0.2.1:1'], Hostinfo: { Hostname: 'older' } })
  ).next();
  assert.deepEqual([node().endpoints, node().hostinfo['Hostname']], [['192.0.2.2:2'], 'newer'], 'a late stream');
  const restarted = `discokey:${'6'.repeat(64)}`;
  await (await client.stream({ NodeKey, DiscoKey: restarted, Endpoints: [] })).next();
  assert.deepEqual([node().discoKey, node().endpoints], [restarted, []], 'a new process: its old endpoints are dead');
  client.close();
});

test('a request that only reads changes nothing', async () => {
  const { client, NodeKey, id } = await join();
  const before = world.registry.view.nodes.get(id);
  const once = await client.stream({ NodeKey, Stream: false, ReadOnly: true });
  assert.deepEqual(await once.next(), { Node: { ID: id, Key: NodeKey } });
  assert.equal(await once.next(), undefined, 'one message, then the end');
  await (await client.stream({ NodeKey, ReadOnly: true, Endpoints: ['192.0.2.1:1'] })).next();
  assert.equal(world.registry.view.nodes.get(id), before);
  assert.deepEqual(presenceOf(id), []);
  client.close();
});

test('a newer stream takes the place of the older, and nobody hears of it', async () => {
  const { client, NodeKey, id } = await join();
  const DiscoKey = formatDiscoKey(newKeyPair().publicKey);
  const older = await client.stream({ NodeKey, DiscoKey });
  await older.next();
  const second = await world.connect(client.machine);
  const newer = await second.stream({ NodeKey, DiscoKey });
  await newer.next();
  assert.equal(await older.next(), undefined, 'the older ends cleanly');
  client.close();
  await pause(700);
  assert.equal(presenceOf(id).includes(false), false);
  world.netmap.tell(id, { to: 'the newer' });
  assert.deepEqual(await newer.next(), { to: 'the newer' });
  second.close();
});

test('a node that comes back soon was never away; one that stays away is offline', async () => {
  const { client, NodeKey, id } = await join();
  await (await client.stream({ NodeKey })).next();
  client.close();
  await pause(50);
  const back = await world.connect(client.machine);
  await (await back.stream({ NodeKey })).next();
  await pause(700);
  assert.equal(presenceOf(id).includes(false), false);
  const goneMs = Date.now();
  back.close();
  await until(() => presenceOf(id).at(-1) === false);
  assert.ok(Date.now() - goneMs >= 490, 'after its grace');
  assert.ok(Math.abs(world.registry.view.nodes.get(id)!.lastSeenMs - goneMs) < 400);
});

test('when everybody is gone at once, they are given time', async () => {
  const own = await openWorld({ limits: { offlineGraceMs: 300 } });
  try {
    const all = await Promise.all(Array.from({ length: 30 }, () => join('alice', own)));
    for (const { client, NodeKey } of all) await (await client.stream({ NodeKey })).next();
    for (const { client } of all) client.close();
    await pause(700);
    assert.equal(own.control.online(), 30, 'after several times their grace');
    await until(() => own.control.online() === 0);
  } finally {
    await own.close();
  }
});

test('keep-alives are always the same bytes', async () => {
  const { client, NodeKey } = await join();
  const stream = await client.stream({ NodeKey });
  await stream.next();
  const frames = [await stream.nextFrame(), await stream.nextFrame()];
  for (const frame of frames) assert.deepEqual(frame, KEEP_ALIVE.subarray(4));
  client.close();
});

test('a logout ends the stream, and the node is offline at once', async () => {
  const { client, NodeKey, id } = await join();
  const stream = await client.stream({ NodeKey });
  await stream.next();
  await client.register({ NodeKey, Expiry: '1970-01-01T00:02:03Z' });
  assert.equal(await stream.next(), undefined);
  await until(() => presenceOf(id).at(-1) === false);
  client.close();
});

test('a node that is removed hears that its key has ended, so that its person logs in again', async () => {
  const { client, NodeKey, id } = await join();
  const stream = await client.stream({ NodeKey });
  await stream.next();
  await world.registry.apply({ kind: 'remove', id, cause: 'administrator' });
  const farewell = (await stream.next())?.['Node'] as Record<string, unknown>;
  assert.deepEqual([farewell['Key'], farewell['KeyExpiry']], [NodeKey, '2000-01-01T00:00:00.000Z']);
  assert.equal(await stream.next(), undefined);
  await until(() => presenceOf(id).at(-1) === false);
  client.close();
});

test('an ephemeral node that stays away is removed', async () => {
  const own = await openWorld({
    limits: { offlineGraceMs: 10 },
    files: { 'tailnet.json5': { name: 'example.com', nodes: { ephemeralTimeout: '1m' } } },
    now: (() => {
      let offsetMs = 0;
      // Each look at the clock is ten minutes later.
      return () => Date.now() + (offsetMs += 600_000);
    })(),
  });
  try {
    const { client, NodeKey, id } = await join('brief', own);
    await (await client.stream({ NodeKey })).next();
    client.close();
    await until(() => !own.registry.view.nodes.has(id));
  } finally {
    await own.close();
  }
});

test('who is no node, or not of this machine, gets no map', async () => {
  const { NodeKey } = await join();
  const other = await world.connect();
  assert.equal((await other.update({ NodeKey })).status, 401);
  const unknown = await other.update({ NodeKey: newNodeKey() });
  assert.deepEqual(
    [unknown.status, unknown.text],
    [404, 'The server knows no such node; log in again with «tailscale up».'],
  );
  const old = await other.update({ NodeKey, Version: 89 });
  assert.match(old.text, /too old/);
  assert.equal(old.status, 400);
});

test('a client that does not read holds up nobody, and gets only the newest when it does', async () => {
  const slow = await join();
  const quick = await join();
  const slowStream = await slow.client.stream({ NodeKey: slow.NodeKey });
  const quickStream = await quick.client.stream({ NodeKey: quick.NodeKey });
  await Promise.all([slowStream.next(), quickStream.next()]);
  slow.client.channel.pause();
  const big = 'x'.repeat(200_000);
  const stateOf = () => world.control.sessions().find(({ node }) => node === slow.id)?.state;
  for (let i = 0; i < 400 && stateOf() !== 'slow'; i++) {
    world.netmap.tell(slow.id, { i, big });
    await pause(5);
  }
  assert.equal(stateOf(), 'slow');
  const sentBytes = world.control.sessions().find(({ node }) => node === slow.id)!.sentBytes;
  for (let i = 0; i < 20; i++) world.netmap.tell(slow.id, { last: i });
  world.netmap.tell(quick.id, { to: 'quick' });
  assert.deepEqual(await quickStream.next(), { to: 'quick' });
  assert.equal(world.control.sessions().find(({ node }) => node === slow.id)!.sentBytes, sentBytes, 'nothing piles up');
  slow.client.channel.resume();
  let message = await slowStream.next();
  while (message && message['last'] === undefined) message = await slowStream.next();
  assert.equal(message?.['last'], 19);
  slow.client.close();
  quick.client.close();
});

test('no session is left behind', async () => {
  await until(() => world.control.sessions().length === 0 && world.netmap.openStreams() === 0);
});

// Copied disks, and machines that share a key: who may speak for a node, and what the others are told.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import type { NodeId } from '../../src/base/ids.ts';
import { formatDiscoKey, type DiscoKey } from '../../src/keys/text.ts';
import {
  authKeyOf,
  newKeyPair,
  newNodeKey,
  openWorld,
  until,
  type Client,
  type MapReader,
  type World,
} from './world.ts';

const PROBE_MS = 300;
let world: World;
before(async () => {
  world = await openWorld({ limits: { copyProbeMs: PROBE_MS, offlineGraceMs: 100 } });
});
after(async () => world.close());

/** One process of a machine: it has a disco key of its own, and answers pings unless it is dead. */
interface Process {
  readonly client: Client;
  readonly DiscoKey: DiscoKey;
  readonly stream: MapReader;
  /** The first message. */
  readonly first: Record<string, unknown>;
  /** Resolves when the stream ends. */
  readonly ended: Promise<void>;
}

const start = async (client: Client, NodeKey: string, answers = true): Promise<Process> => {
  const DiscoKey = formatDiscoKey(newKeyPair().publicKey);
  const stream = await client.stream({ NodeKey, DiscoKey, Endpoints: ['192.0.2.1:1'] });
  const first = (await stream.next()) ?? {};
  const listen = async (): Promise<void> => {
    for (;;) {
      const message = await stream.next();
      if (!message) return;
      const question = message['PingRequest'] as { URL: string } | undefined;
      if (question && answers) await client.request('HEAD', new URL(question.URL).pathname);
    }
  };
  return { client, DiscoKey, stream, first, ended: listen() };
};

const join = async (answers = true): Promise<{ NodeKey: string; id: NodeId; original: Process }> => {
  const client = await world.connect();
  const NodeKey = newNodeKey();
  await client.register({ NodeKey, Auth: { AuthKey: authKeyOf('alice') } });
  const original = await start(client, NodeKey, answers);
  return { NodeKey, id: world.registry.view.byNodeKey.get(NodeKey)!, original };
};
const expired = (message: Record<string, unknown>): boolean =>
  (message['Node'] as { Expired?: boolean }).Expired === true;
const noted = (event: string) => world.notes.filter((note) => note.event === event);

test('a copy of a machine that is connected is turned away, and nobody hears of it', async () => {
  const { NodeKey, id, original } = await join();
  const before = world.registry.view.nodes.get(id)!;
  const known = world.netmap.presence.length;
  const told = noted('node is copied').length;
  const machine = original.client.machine;

  const other = await world.connect(machine);
  // It starts as any client does: it says who it is, then what it has, then asks for its map.
  const greeted = await other.register({ NodeKey, Hostinfo: { Hostname: 'copy', OS: 'linux' } });
  assert.equal(greeted.json['Error'], undefined, 'so far it might be a restart');
  const DiscoKey = formatDiscoKey(newKeyPair().publicKey);
  const update = { NodeKey, DiscoKey, Endpoints: ['192.0.2.66:1'], Hostinfo: { Hostname: 'copy' } };
  assert.equal((await other.update(update)).status, 409);
  const copy = await start(other, NodeKey);
  assert.ok(expired(copy.first), 'it is told that its key has ended');
  assert.match(String(copy.first['Health']), /another one with the same keys is connected/);
  await copy.ended;

  assert.equal(world.registry.view.nodes.get(id), before, 'what is known of the machine is as before');
  assert.equal(world.netmap.presence.length, known, 'it neither came nor went');
  world.netmap.tell(id, { still: 'there' });
  assert.equal(noted('node is copied').length, told + 1, 'one line, however often it asks');
  assert.deepEqual(world.control.copyOf(id)?.remote, '127.0.0.1');

  // From now on it is told at once, and can do no harm.
  const again = await world.connect(machine);
  for (const wish of [
    { NodeKey },
    { NodeKey: newNodeKey(), OldNodeKey: NodeKey, Auth: { AuthKey: authKeyOf('alice') } },
    { NodeKey: newNodeKey() },
  ])
    // prettier-ignore
    assert.match(String((await again.register(wish)).json['Error']), /is a copy/);
  assert.equal(noted('registration refused').at(-1)?.fields['code'], 'control/copied');
  const out = await again.register({ NodeKey, Expiry: '1970-01-01T00:02:03Z' });
  assert.equal(out.json['NodeKeyExpired'], true);
  assert.equal(world.registry.view.nodes.get(id), before, 'the machine itself is not logged out');
  assert.equal(noted('node is copied').length, told + 1);

  // When the machine is gone, what was a copy is just a machine.
  original.client.close();
  await until(() => world.netmap.presence.at(-1)?.[1] === false);
  assert.equal((await again.register({ NodeKey })).json['Error'], undefined);
  assert.equal(expired((await start(again, NodeKey)).first), false);
  again.close();
  other.close();
});

test('the process that is connected may log in anew while a copy is about', async () => {
  const { NodeKey, original } = await join();
  const other = await world.connect(original.client.machine);
  await (
    await start(other, NodeKey)
  ).ended;
  const fresh = newNodeKey();
  const wish = { NodeKey: fresh, OldNodeKey: NodeKey, Auth: { AuthKey: authKeyOf('alice') } };
  assert.equal((await original.client.register(wish)).json['Error'], undefined);
  original.client.close();
  other.close();
});

test('a restarted process takes the place of one that does not answer', async () => {
  const { NodeKey, id, original } = await join(false);
  const second = await world.connect(original.client.machine);
  const startMs = performance.now();
  const restarted = await start(second, NodeKey);
  assert.equal(expired(restarted.first), false);
  assert.ok(performance.now() - startMs >= PROBE_MS - 20, 'which it is given time to do');
  await original.ended;
  assert.equal(world.registry.view.nodes.get(id)!.discoKey, restarted.DiscoKey);
  assert.equal(world.control.copyOf(id), undefined);
  second.close();
});

test('the same process on another connection is nobody else', async () => {
  const { NodeKey, id, original } = await join();
  const second = await world.connect(original.client.machine);
  const startMs = performance.now();
  const stream = await second.stream({ NodeKey, DiscoKey: original.DiscoKey });
  await stream.next();
  assert.ok(performance.now() - startMs < PROBE_MS - 20, 'without a question');
  await original.ended;
  assert.equal(world.control.copyOf(id), undefined);
  second.close();
});

test('two people on one machine are two nodes, and neither is a copy', async () => {
  const { NodeKey, id, original } = await join();
  const { client, DiscoKey } = original;
  await client.update({ NodeKey, DiscoKey, Hostinfo: { Hostname: 'laptop', NetInfo: { PreferredDERP: 7 } } });
  await client.update({ NodeKey, DiscoKey, Hostinfo: { Hostname: 'laptop' } });
  assert.equal(world.registry.view.nodes.get(id)!.homeDerp, 7, 'one that says nothing of its network keeps its relay');
  const second = await world.connect(client.machine);
  const other = newNodeKey();
  // With the first person's key it would be the first person's node.
  const early = { NodeKey, Auth: { AuthKey: authKeyOf('bob') } };
  assert.equal((await second.register(early)).json['NodeKeyExpired'], true);
  const moved = { NodeKey: other, OldNodeKey: NodeKey, Auth: { AuthKey: authKeyOf('bob') } };
  assert.equal((await second.register(moved)).json['Error'], undefined);
  const bobs = world.registry.view.byNodeKey.get(other)!;
  assert.notEqual(bobs, id);
  assert.equal(expired((await start(second, other)).first), false);
  const [mine, his] = [id, bobs].map((node) => world.registry.view.nodes.get(node)!);
  assert.deepEqual([mine?.login, his?.login], ['alice@example.com', 'bob@example.com']);
  assert.notDeepEqual(mine?.addresses, his?.addresses);
  assert.equal(mine?.machineKey, his?.machineKey);
  assert.equal(his?.homeDerp, 7, 'on the same machine');
  second.close();
});

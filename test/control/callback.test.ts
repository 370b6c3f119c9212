// Questions to clients, small requests, and SSH checks.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { utf8, utf8Text } from '../../src/base/bytes.ts';
import type { NodeId } from '../../src/base/ids.ts';
import { accept } from '../../src/base/outcome.ts';
import { authKeyOf, newNodeKey, openWorld, snapshotOf, type Client, type MapReader, type World } from './world.ts';

let world: World;
const published: object[] = [];
before(async () => {
  const publishDns = (record: object) => {
    published.push(record);
    return Promise.resolve(accept(undefined));
  };
  world = await openWorld({ ports: { publishDns } });
});
after(() => world.close());

interface Node {
  readonly client: Client;
  readonly NodeKey: string;
  readonly id: NodeId;
  readonly stream: MapReader;
}

const join = async (): Promise<Node> => {
  const client = await world.connect();
  const NodeKey = newNodeKey();
  await client.register({ NodeKey, Auth: { AuthKey: authKeyOf('alice') } });
  const stream = await client.stream({ NodeKey });
  await stream.next();
  return { client, NodeKey, id: world.registry.view.byNodeKey.get(NodeKey)!, stream };
};

const asked = async (stream: MapReader): Promise<Record<string, string> & { readonly path: string }> => {
  const question = (await stream.next())?.['PingRequest'] as Record<string, string>;
  return { ...question, path: new URL(question['URL']!).pathname };
};

test('a ping asks over the stream and is answered over Noise', async () => {
  const { client, id, stream } = await join();
  const ping = world.control.ping(id);
  const question = await asked(stream);
  assert.equal(new URL(question['URL']!).protocol, 'https:');
  assert.equal(question['URLIsNoise'], true);
  const stranger = await world.connect();
  assert.equal((await stranger.request('HEAD', question.path)).status, 404, 'the answer of another machine');
  const { status, text } = await client.request('HEAD', question.path);
  assert.deepEqual([status, text], [200, '']);
  const answered = await ping;
  assert.ok(answered.ok && answered.value < 2000);
  assert.equal((await client.request('HEAD', question.path)).status, 404, 'once');
});

test('a call into the client carries a raw request and gives its raw answer', async () => {
  const { client, id, stream } = await join();
  const call = world.control.callNode(id, utf8('GET /echo HTTP/1.1\r\n\r\n'));
  const question = await asked(stream);
  assert.equal(question['Types'], 'c2n');
  assert.equal(Buffer.from(question['Payload']!, 'base64').toString(), 'GET /echo HTTP/1.1\r\n\r\n');
  await client.request('POST', question.path, 'HTTP/1.1 200 OK\r\n\r\nhi');
  const answer = await call;
  assert.equal(answer.ok && utf8Text(answer.value), 'HTTP/1.1 200 OK\r\n\r\nhi');
});

const https = (on: boolean) => ({ 'tailnet.json5': { name: 'example.com', baseDomain: 'tail.example', features: { https: on } } }); // prettier-ignore
const PROOF = 'p'.repeat(43);

test('set-dns publishes the proof of the node’s own name and nothing else', async () => {
  const { client, NodeKey, id } = await join();
  const name = world.registry.view.nodes.get(id)!.name;
  const ask = async (Name: string, Type = 'TXT', Value = PROOF) =>
    client.request('POST', '/machine/set-dns', { NodeKey, Name, Type, Value });
  const own = `_acme-challenge.${name}.tail.example`;
  assert.equal((await ask(own)).status, 403, 'HTTPS is off');
  world.setSnapshot(snapshotOf(https(true)));
  assert.deepEqual((await ask(own)).json, {});
  assert.deepEqual(published, [{ name: own, value: PROOF }]);
  for (const [Name, Type, Value, status] of [
    [own, 'A', PROOF, 403],
    ['_acme-challenge.other.tail.example', 'TXT', PROOF, 403],
    [`_acme-challenge.sub.${name}.tail.example`, 'TXT', PROOF, 403],
    [`${name}.tail.example`, 'TXT', PROOF, 403],
    [own, 'TXT', 'v=spf1 +all', 400],
    [own, 'TXT', `${PROOF}p`, 400],
  ] as const)
    assert.equal((await ask(Name, Type, Value)).status, status);
  assert.equal(published.length, 1);
  const { client: other } = await join();
  const stolen = await other.request('POST', '/machine/set-dns', { NodeKey, Name: own, Type: 'TXT', Value: PROOF });
  assert.notEqual(stolen.status, 200, 'the node key of another machine');
  for (let i = 2; i <= 10; i++) assert.equal((await ask(own)).status, 200);
  const { status, text } = await ask(own);
  assert.deepEqual([status, /within an hour/.test(text)], [429, true]);
  world.setSnapshot(snapshotOf(https(false)));
});

test('a machine that takes no part gets no certificate: not let in yet, or its key is over', async () => {
  const { client, NodeKey, id } = await join();
  const Name = `_acme-challenge.${world.registry.view.nodes.get(id)!.name}.tail.example`;
  const ask = async () => client.request('POST', '/machine/set-dns', { NodeKey, Name, Type: 'TXT', Value: PROOF });
  world.setSnapshot(snapshotOf(https(true)));
  assert.equal((await ask()).status, 200);
  await world.registry.apply({ kind: 'authorize', id, authorized: false });
  assert.match((await ask()).text, /waits for an administrator/);
  await world.registry.apply({ kind: 'authorize', id, authorized: true });
  await world.registry.apply({ kind: 'set-expiry', id, expiresMs: Date.now() - 1 });
  const { status, text } = await ask();
  assert.deepEqual([status, /key of this machine is over/.test(text)], [403, true]);
  world.setSnapshot(snapshotOf(https(false)));
});

test('a server without a way to publish says so, by `tailscale cert` and by `tailscale serve`', async () => {
  const mute = await openWorld({ files: https(true) });
  try {
    const client = await mute.connect();
    const NodeKey = newNodeKey();
    await client.register({ NodeKey, Auth: { AuthKey: authKeyOf('alice') } });
    const { name } = mute.registry.view.nodes.get(mute.registry.view.byNodeKey.get(NodeKey)!)!;
    const record = { NodeKey, Name: `_acme-challenge.${name}.tail.example`, Type: 'TXT', Value: PROOF };
    const { status, text } = await client.request('POST', '/machine/set-dns', record);
    assert.deepEqual([status, /was not told where to publish/.test(text)], [501, true]);
    const { json } = await client.request('POST', '/machine/feature/query', { NodeKey, Feature: 'serve' });
    assert.match(String(json['Text']), /was not told where to publish/);
  } finally {
    await mute.close();
  }
});

test('what a client is told when a feature is not there, or is', async () => {
  const { client, NodeKey } = await join();
  const ask = async (Feature: string) =>
    (await client.request('POST', '/machine/feature/query', { NodeKey, Feature })).json;
  assert.match(String((await ask('serve'))['Text']), /HTTPS is off.*tailscale serve --http=80/);
  world.setSnapshot(snapshotOf(https(true)));
  assert.deepEqual(await ask('serve'), { Complete: true });
  assert.match(String((await ask('funnel'))['Text']), /^Funnel is not available/);
  assert.match(String((await ask('teleport'))['Text']), /no feature «teleport»/);
  world.setSnapshot(snapshotOf(https(false)));
});

test('the small requests are answered as clients expect', async () => {
  const { client, NodeKey, id } = await join();
  const post = (path: string, body: object) => client.request('POST', `/machine/${path}`, { NodeKey, ...body });
  assert.equal((await post('audit-log', { Action: 'DISCONNECT_NODE', Details: 'lunch' })).status, 200);
  assert.equal((await post('update-health', { Subsys: 'dns', Error: 'broken' })).status, 204);
  assert.equal((await post('ssh/recording-failed', { EventType: 2, SSHUser: 'root' })).status, 201);
  assert.equal((await post('ssh/recording-failed', {})).status, 400);
  const Update = { 'custom:tier': 'gold', 'node:os': 'forged' };
  assert.equal((await client.request('PATCH', '/machine/set-device-attr', { NodeKey, Update })).status, 403);
  assert.deepEqual(
    world.registry.view.nodes.get(id)!.attributes,
    {},
    'a machine says nothing about itself to the policy',
  );
});

test('a confirmation holds for its person and its time, and for nothing else', async (t) => {
  let nowMs = Date.now();
  const own = await openWorld({ now: () => nowMs });
  t.after(() => own.close());
  const joinOwn = async () => {
    const client = await own.connect();
    const NodeKey = newNodeKey();
    await client.register({ NodeKey, Auth: { AuthKey: authKeyOf('alice') } });
    return { client, id: own.registry.view.byNodeKey.get(NodeKey)! };
  };
  const [laptop, phone, server, destination] = [await joinOwn(), await joinOwn(), await joinOwn(), await joinOwn()];
  // nodes.json5 made a server of it: it is no longer its person's.
  const { node } = own.netmap;
  Object.assign(own.netmap, {
    node: (id: NodeId) => ({ ...node(id), ...(id === server.id && { owner: null, tags: ['tag:server'] }) }),
  });
  own.netmap.sshDecision = { action: 'check', checkPeriodMs: 60_000 };
  const ask = async ({ id }: { readonly id: NodeId }, more = '') =>
    (await destination.client.request('GET', `/machine/ssh/action/${id}/to/${destination.id}?local_user=root${more}`))
      .json;
  await ask(laptop);
  const [check] = own.control.sshChecks();
  assert.ok(own.control.decideSshCheck(check!.id, 'accept', 'alice').ok);
  assert.equal((await ask(laptop, `&auth_id=${check!.id}`))['accept'], true);
  assert.equal((await ask(phone))['accept'], true, 'another machine of the same person');
  assert.ok('holdAndDelegate' in (await ask(server)), 'a machine that is not the person’s');
  nowMs -= 3_600_000;
  assert.ok('holdAndDelegate' in (await ask(laptop)), 'a clock that was set back makes no confirmation longer');
});

test('an SSH session in check mode waits for a person', async (t) => {
  const [source, destination] = [await join(), await join()];
  const first = `/machine/ssh/action/${source.id}/to/${destination.id}?ssh_user=root&local_user=root`;
  const ask = async (path: string) => (await destination.client.request('GET', path)).json;
  const delegateOf = (action: Record<string, unknown>): string => {
    const url = new URL(String(action['holdAndDelegate']));
    return url.pathname + url.search;
  };
  const check = { action: 'check', checkPeriodMs: 60_000 } as const;

  await t.test('only the machine that is logged in to may ask', async () => {
    assert.equal((await source.client.request('GET', first)).status, 404);
  });

  await t.test('the address in the policy names the local user alone, who is the user asked for', async () => {
    const users: string[] = [];
    world.netmap.sshDecision = { action: 'deny', checkPeriodMs: 0 };
    world.netmap.sshAsked = (user) => users.push(user);
    await ask(`/machine/ssh/action/${source.id}/to/${destination.id}?local_user=root`);
    assert.deepEqual(users, ['root']);
  });

  await t.test('a name that no user has is refused, and gets on no page', async () => {
    world.netmap.sshDecision = check;
    const long = 'x'.repeat(65);
    for (const query of [`ssh_user=${long}&local_user=root`, `ssh_user=root&local_user=${long}`])
      assert.equal((await ask(`/machine/ssh/action/${source.id}/to/${destination.id}?${query}`))['reject'], true);
    assert.deepEqual(world.control.sshChecks(), []);
  });

  await t.test('a policy that denies needs nobody', async () => {
    world.netmap.sshDecision = { action: 'deny', checkPeriodMs: 0 };
    assert.equal((await ask(first))['reject'], true);
  });

  await t.test('refused', async () => {
    world.netmap.sshDecision = check;
    const held = ask(delegateOf(await ask(first)));
    const open = world.control.sshChecks().find(({ state }) => state === 'pending');
    assert.ok(world.control.decideSshCheck(open!.id, 'reject', 'alice').ok);
    assert.equal((await held)['reject'], true);
  });

  await t.test('confirmed too late: the policy denies by now', async () => {
    world.netmap.sshDecision = check;
    const held = ask(delegateOf(await ask(first)));
    const open = world.control.sshChecks().find(({ state }) => state === 'pending');
    world.netmap.sshDecision = { action: 'deny', checkPeriodMs: 0 };
    assert.ok(world.control.decideSshCheck(open!.id, 'accept', 'alice').ok);
    assert.equal((await held)['reject'], true);
    world.netmap.sshDecision = check;
    assert.ok('holdAndDelegate' in (await ask(first)), 'and nothing is remembered of it');
    for (const { id, state } of world.control.sshChecks())
      if (state === 'pending') world.control.decideSshCheck(id, 'reject', 'alice');
  });

  await t.test('one machine can have so many checks open and no more', async () => {
    const other = await join();
    const path = `/machine/ssh/action/${source.id}/to/${other.id}?ssh_user=root&local_user=`;
    const answers = [];
    for (let n = 0; n < 51; n++) answers.push((await other.client.request('GET', `${path}${n}`)).json);
    assert.equal(answers.filter((action) => 'holdAndDelegate' in action).length, 50);
    assert.match(String(answers.at(-1)?.['message']), /Too many/);
    for (const { id, state } of world.control.sshChecks())
      if (state === 'pending') world.control.decideSshCheck(id, 'reject', 'alice');
  });

  await t.test('confirmed, and then for as long as the policy says', async () => {
    const action = await ask(first);
    assert.match(String(action['message']), /https:\/\/tail\.example\.com\/ssh\/check\/[a-z2-7]{32}/);
    const held = ask(delegateOf(action));
    const open = world.control.sshChecks().find(({ state }) => state === 'pending');
    assert.deepEqual([open!.source, open!.destination, open!.sshUser], [source.id, destination.id, 'root']);
    assert.ok(world.control.decideSshCheck(open!.id, 'accept', 'alice').ok);
    assert.equal((await held)['accept'], true);
    assert.equal((await ask(first))['accept'], true, 'without asking again');
    assert.equal(world.control.decideSshCheck(open!.id, 'accept', 'alice').ok, false, 'decided once');
    assert.deepEqual(
      new Set(world.control.sshChecks().map(({ state }) => state)),
      new Set(['denied', 'approved']),
      'both are remembered for their pages',
    );
  });
});

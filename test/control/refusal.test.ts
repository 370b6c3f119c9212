// Every refusal of control: what brings it about, the code in the log, and the sentence that a person reads.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';

import type { Code } from '../../src/base/catalogue.ts';
import type { Login, NodeId } from '../../src/base/ids.ts';
import { createAuthKey } from '../../src/identity/preauth.ts';
import type { LoginId } from '../../src/registry/record.ts';
import { authKeyOf, newKeyPair, newNodeKey, openWorld, snapshotOf, type Client, type World } from './world.ts';

let world: World;
before(async () => {
  world = await openWorld({ limits: { pingMs: 100 } });
});
after(() => world.close());

const auth = (id: string) => ({ Auth: { AuthKey: authKeyOf(id) } });

/** A key of a person who is not in users.json5. */
const keyOfMallory = async (): Promise<string> => {
  const wish = {
    login: 'mallory@example.org' as Login,
    tags: [],
    reusable: true,
    ephemeral: false,
    preapproved: false,
  };
  const { text, record } = createAuthKey({ ...wish, expiresMs: null, description: '' }, Date.now(), randomBytes);
  await world.registry.apply({ kind: 'create-key', key: record });
  return text.reveal();
};

/** Registrations that are refused. */
const CASES: Partial<Record<Code, readonly [ask: (client: Client) => Promise<object>, sentence: RegExp]>> = {
  'control/too-old': [
    async () => ({ Version: 89, ...auth('alice') }),
    /too old .* install Tailscale 1\.\d+ or newer\./,
  ],
  'control/wrong-machine': [
    async () => {
      const NodeKey = newNodeKey();
      await (await world.connect()).register({ NodeKey, ...auth('alice') });
      return { NodeKey };
    },
    /^This node key belongs to another machine\.$/,
  ],
  'control/unknown-user': [
    async () => ({ Auth: { AuthKey: await keyOfMallory() } }),
    /^mallory@example\.org is not a user of this tailnet\.$/,
  ],
  'control/user-disabled': [async () => auth('carol'), /^carol@example\.com is disabled in this tailnet\.$/],
  'control/tags-refused': [
    async () => ({ Hostinfo: { RequestTags: ['tag:server'] }, ...auth('bob') }),
    /^requested tags \[tag:server\] are invalid or not permitted$/,
  ],
  'control/other-tailnet': [
    async () => ({ Tailnet: 'required:other.example', ...auth('alice') }),
    /^This server serves the tailnet example\.com only\.$/,
  ],
  'control/login-denied': [
    async (client) => {
      const NodeKey = newNodeKey();
      const Followup = String((await client.register({ NodeKey })).json['AuthURL']);
      await world.control.denyLogin(Followup.split('/').at(-1) as LoginId, 'alice');
      return { NodeKey, Followup };
    },
    /^An administrator refused this login\.$/,
  ],
};

for (const [code, [ask, sentence]] of Object.entries(CASES))
  test(code, async () => {
    const client = await world.connect();
    const request = await ask(client);
    const { status, json } = await client.register({ NodeKey: newNodeKey(), ...request });
    assert.equal(status, 200);
    assert.match(String(json['Error']), sentence);
    const noted = world.notes.findLast(({ event }) => event === 'registration refused');
    assert.equal(noted?.fields['code'], code);
  });

test('control/node-disabled', async () => {
  const own = await openWorld();
  try {
    const client = await own.connect(newKeyPair());
    const NodeKey = newNodeKey();
    await client.register({ NodeKey, ...auth('alice') });
    const node = { name: 'laptop', owner: 'alice@example.com' };
    own.setSnapshot(snapshotOf({ 'nodes.json5': { nodes: [{ node, disabled: true }] } }));
    const { json } = await client.register({ NodeKey });
    assert.equal(json['Error'], 'This machine is disabled in this tailnet.');
    assert.equal(own.notes.at(-1)?.fields['code'], 'control/node-disabled');
  } finally {
    await own.close();
  }
});

test('control/busy', async () => {
  const busy = await openWorld({ limits: { waitingRegistrations: 0 } });
  try {
    const client = await busy.connect();
    const { status, headers, text } = await client.register({ NodeKey: newNodeKey(), ...auth('alice') });
    assert.deepEqual([status, headers['retry-after']], [429, '5']);
    assert.equal(text, 'Too many machines register at the moment; try again soon.');
    assert.equal(busy.notes.at(-1)?.fields['code'], 'control/busy');
    const older = await client.register({ NodeKey: newNodeKey(), Version: 120, ...auth('alice') });
    assert.equal(older.json['Error'], text, 'clients before 1.98 know no 429');
  } finally {
    await busy.close();
  }
});

test('control/unknown-node', async () => {
  const client = await world.connect();
  const { status, text } = await client.update({ NodeKey: newNodeKey() });
  assert.deepEqual([status, text], [404, 'The server knows no such node; log in again with «tailscale up».']);
});

test('control/offline and control/silent', async () => {
  const offline = await world.control.ping(99 as NodeId);
  assert.equal(!offline.ok && offline.code, 'control/offline');
  const client = await world.connect();
  const NodeKey = newNodeKey();
  await client.register({ NodeKey, ...auth('alice') });
  await (await client.stream({ NodeKey })).next();
  const silent = await world.control.ping(world.registry.view.byNodeKey.get(NodeKey)!);
  assert.equal(!silent.ok && silent.code, 'control/silent');
});

test('control/unknown-check', () => {
  const outcome = world.control.decideSshCheck('guessed', 'accept', 'alice');
  assert.equal(!outcome.ok && outcome.code, 'control/unknown-check');
});

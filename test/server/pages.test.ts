// The rules behind the pages: who is offered what, whose a machine becomes, and what a yes does not give. The pages themselves
// are in test/http and test/interop.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { parseNodeId, type Login } from '../../src/base/ids.ts';
import type { Outcome } from '../../src/base/outcome.ts';
import type { DecisionPorts } from '../../src/http/decision.ts';
import type { Actor } from '../../src/identity/credential.ts';
import type { Tailnet } from '../../src/netmap/tailnet.ts';
import { loginPage } from '../../src/server/login-page.ts';
import type { Parts } from '../../src/server/parts.ts';
import { shellPage } from '../../src/server/shell-page.ts';
import { newNodeKey, openRealWorld, snapshotOf, type Client, type World } from '../control/world.ts';

const USERS = {
  users: [
    { login: 'alice@example.com', name: 'Alice Archer', role: 'owner' },
    { login: 'bob@example.com' },
    { login: 'carol@example.com', disabled: true },
    { login: 'dora@example.com', role: 'it-admin' },
  ],
};
const files = (approval: string) => ({
  'users.json5': USERS,
  'tailnet.json5': { name: 'example.com', baseDomain: 'tail.example', nodes: { approval } },
  'policy.json5': {
    tagOwners: { 'tag:server': ['alice@example.com'], 'tag:lab': ['bob@example.com'] },
    acls: [{ action: 'accept', src: ['*'], dst: ['*:*'] }],
    ssh: [{ action: 'check', src: ['autogroup:member'], dst: ['tag:lab'], users: ['root'] }],
  },
});

const actor = (login: string, role: Actor['role'], scopes: readonly string[] = ['all']): Actor => ({
  login: login as Login,
  displayName: login === 'alice@example.com' ? 'Alice Archer' : login,
  role,
  scopes,
  via: 'credential x',
});
const alice = actor('alice@example.com', 'owner');
const bob = actor('bob@example.com', 'member');
const dora = actor('dora@example.com', 'it-admin');

let world: World<Tailnet>;
let logins: DecisionPorts;
let shells: DecisionPorts;
let approval = 'automatic';

before(async () => {
  world = await openRealWorld({ files: files('automatic') });
  const parts: Parts = {
    snapshot: () => snapshotOf(files(approval)),
    registry: world.registry,
    tailnet: world.netmap,
    now: Date.now,
    random: (sizeBytes) => new Uint8Array(sizeBytes),
  };
  logins = loginPage(parts, world.control);
  shells = shellPage(parts, world.control);
});
after(async () => world.close());

const setApproval = (wish: string): void => {
  approval = wish;
  world.setSnapshot(snapshotOf(files(wish)));
};

interface Waiting {
  readonly id: string;
  readonly client: Client;
  readonly NodeKey: string;
}

const begin = async (hostinfo: object = {}, client?: Client): Promise<Waiting> => {
  const asking = client ?? (await world.connect());
  const NodeKey = newNodeKey();
  const { json } = await asking.register({ NodeKey, Hostinfo: { Hostname: 'pad', OS: 'linux', ...hostinfo } });
  return { id: String(json['AuthURL']).split('/').at(-1) as string, client: asking, NodeKey };
};
const said = (outcome: Outcome<unknown>): string => (outcome.ok ? 'yes' : outcome.reason);
const yes = async (id: string, who: Actor, person = ''): Promise<string> =>
  said(await logins.decide(id, who, { approve: true, person }));
const nodeOf = ({ NodeKey }: Waiting) => [...world.registry.view.nodes.values()].find(({ nodeKey }) => nodeKey === NodeKey); // prettier-ignore

test('owners and administrators choose whose machine it is, among the people who are active', async () => {
  const waiting = await begin();
  const offer = logins.offer(waiting.id, alice);
  assert.ok(offer.ok);
  assert.equal(offer.value.as, 'Alice Archer (alice@example.com, owner)');
  assert.deepEqual(
    offer.value.choice?.options.map(({ text }) => text),
    ['Alice Archer (alice@example.com)', 'bob@example.com', 'dora@example.com'],
  );
  for (const person of ['', 'carol@example.com', 'mallory@example.org'])
    assert.equal(await yes(waiting.id, alice, person), 'Choose whose machine it is.');
  assert.equal(await yes(waiting.id, alice, 'BOB@example.com'), 'yes');
  assert.equal(nodeOf(waiting)?.login, 'bob@example.com');
  assert.equal(logins.find(waiting.id)?.state, 'approved');
  // Its key runs out: the page proposes the person whose it is.
  const again = logins.offer((await begin({}, waiting.client)).id, alice);
  assert.equal(again.ok && again.value.choice?.chosen, 'bob@example.com');
});

test('everybody else lets in what becomes their own, whatever else they ask for', async () => {
  for (const who of [bob, dora]) {
    const waiting = await begin();
    const offer = logins.offer(waiting.id, who);
    assert.equal(offer.ok && offer.value.choice, undefined);
    assert.equal(await yes(waiting.id, who, 'alice@example.com'), 'yes');
    assert.equal(nodeOf(waiting)?.login, who.login);
    assert.equal(world.registry.view.logins.get(waiting.id as never)?.decidedBy, who.login);
  }
  const narrow = actor('bob@example.com', 'member', ['shells']);
  assert.equal(said(logins.offer((await begin()).id, narrow)), 'The credential lacks the scope «logins».');
});

test('tags are given only if the person who is chosen owns them, and the page says that they are wanted', async () => {
  const waiting = await begin({ RequestTags: ['tag:lab'] });
  assert.ok(logins.find(waiting.id)?.facts.some(([name, value]) => name === 'Wants to be' && value === 'tag:lab'));
  assert.match(await yes(waiting.id, dora), /requested tags \[tag:lab\]/);
  assert.match(await yes(waiting.id, alice, 'dora@example.com'), /requested tags \[tag:lab\]/);
  assert.equal(await yes(waiting.id, bob), 'yes');
  assert.deepEqual([nodeOf(waiting)?.login, nodeOf(waiting)?.tags], [null, ['tag:lab']]);
});

test('where machines need an approval, the yes of a member is none, and the page says so', async () => {
  setApproval('manual');
  try {
    const own = await begin();
    const offer = logins.offer(own.id, bob);
    assert.match(offer.ok ? offer.value.consequence : '', /waits until an administrator approves it/);
    assert.equal(await yes(own.id, bob), 'yes');
    assert.equal(nodeOf(own)?.authorized, false);
    assert.match(logins.find(own.id)?.approved ?? '', /waits until an administrator approves it/);
    const other = await begin();
    assert.equal(await yes(other.id, alice, 'bob@example.com'), 'yes');
    assert.equal(nodeOf(other)?.authorized, true);
    assert.match(logins.find(other.id)?.approved ?? '', /part of the network now/);
  } finally {
    setApproval('automatic');
  }
});

test('a machine is turned away once, and is not let in after that', async () => {
  const waiting = await begin();
  assert.ok((await logins.decide(waiting.id, bob, { approve: false, person: '' })).ok);
  assert.equal(logins.find(waiting.id)?.state, 'denied');
  assert.match(await yes(waiting.id, alice, 'alice@example.com'), /denied/);
  assert.equal(nodeOf(waiting), undefined);
  assert.equal(logins.find('a'.repeat(32)), undefined);
  assert.equal(await yes('a'.repeat(32), alice, 'alice@example.com'), 'This link is over.');
});

test('a shell is confirmed by who owns the machine that opens it, and by administrators', async () => {
  const [source, lab] = [await begin(), await begin({ RequestTags: ['tag:lab'] })];
  assert.deepEqual([await yes(source.id, bob), await yes(lab.id, bob)], ['yes', 'yes']);
  const [from, to] = [nodeOf(source)?.id, nodeOf(lab)?.id];
  assert.ok(from && to && parseNodeId(from));
  const open = async (): Promise<string> => {
    await lab.client.request('GET', `/machine/ssh/action/${from}/to/${to}?ssh_user=root&local_user=root`);
    return world.control.sshChecks().at(-1)?.id ?? '';
  };
  const first = await open();
  assert.ok(shells.find(first)?.facts.some(([name, value]) => name === 'Person' && value === 'bob@example.com'));
  const notYours = 'This is not yours to decide; an administrator can.';
  for (const approve of [true, false]) {
    assert.equal(said(await shells.decide(first, dora, { approve, person: '' })), notYours);
  }
  assert.equal(said(shells.offer(first, dora)), notYours);
  assert.equal(said(await shells.decide(first, bob, { approve: false, person: '' })), 'yes');
  assert.equal(shells.find(first)?.state, 'denied');
  const second = await open();
  assert.equal(said(await shells.decide(second, alice, { approve: true, person: '' })), 'yes');
  assert.equal(said(await shells.decide(second, alice, { approve: true, person: '' })), 'There is no such check, or its time is over.'); // prettier-ignore
});

// People and what they are: a role that changes, another login, tags that change, machines that belong to nobody. Each takes
// effect on connected clients by an edit of the files.

import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import type { Client } from '../client.ts';
import { skip } from '../machine.ts';
import { MEMBER, OWNER, seeEachOther, Tailnet } from '../tailnet.ts';
import { eventually } from '../task.ts';

const WITHIN_MS = 1_000;
const users = (bob: string, login = MEMBER): string =>
  `{ users: [{ login: '${OWNER}', role: 'owner' }, { login: '${login}'${bob} }] }\n`;

/** Each machine answers to one autogroup, so that who sees it tells who is in there. */
const policy = (login = MEMBER): string => `{
  tagOwners: { 'tag:owners': ['${OWNER}'], 'tag:admins': ['${OWNER}'], 'tag:members': ['${login}', '${OWNER}'], 'tag:tagged': ['${OWNER}'] },
  grants: [
    { src: ['autogroup:owner'], dst: ['tag:owners'], ip: ['*'] },
    { src: ['autogroup:admin'], dst: ['tag:admins'], ip: ['*'] },
    { src: ['autogroup:member'], dst: ['tag:members'], ip: ['*'] },
    { src: ['autogroup:tagged'], dst: ['tag:tagged'], ip: ['*'] },
    { src: ['autogroup:member'], dst: ['autogroup:self'], ip: ['*'] },
  ],
}\n`;
const SERVERS = ['owners', 'admins', 'members', 'tagged'] as const;

interface Listed {
  readonly name: string;
  readonly user: string | null;
  readonly tags: readonly string[];
  readonly addresses: readonly string[];
}

describe('people, roles and tags', { skip, timeout: 120_000 }, () => {
  let tailnet: Tailnet;
  let bob: Client;
  const servers: Client[] = [];

  /** Which of the servers the client sees. */
  const seen = async (client: Client): Promise<string> => {
    const peers = Object.values((await client.status()).Peer ?? {});
    return SERVERS.filter((name) => peers.some(({ DNSName }) => DNSName.startsWith(`${name}.`))).join(' ');
  };
  const sees = async (client: Client, wanted: string, limitMs = WITHIN_MS): Promise<number> => {
    const what = `${client.name} sees «${wanted}»`;
    return Math.round((await eventually(what, limitMs, async () => (await seen(client)) === wanted)).afterMs);
  };
  const listed = async (name: string): Promise<Listed | undefined> =>
    ((await tailnet.server.admin('nodes', 'list')) as Listed[]).find((node) => node.name === name);

  before(async () => {
    tailnet = await Tailnet.start({
      files: { 'users.json5': users(''), 'policy.json5': policy(), 'nodes.json5': '{}\n' },
    });
    for (const name of SERVERS) {
      const key = await tailnet.server.createKey({ tag: `tag:${name}` });
      servers.push(...(await tailnet.joined([name], 'clear', key)));
    }
    [bob] = (await tailnet.joined(['bob'], 'clear', await tailnet.server.createKey({ user: MEMBER }))) as [Client];
  });
  afterEach((t) => tailnet.note(t));
  after(async () => tailnet?.stop());

  test('what has a tag belongs to nobody, and is no member', async () => {
    await sees(bob, 'members', 5_000);
    const members = servers[2] as Client;
    // Of the servers, `members` may reach only what tagged machines may: an owner of its tag gives it nothing.
    await sees(members, 'tagged', 5_000);
    const { user, tags } = (await listed('members')) as Listed;
    assert.deepEqual([user, tags], [null, ['tag:members']]);
    assert.equal(await bob.echoFrom(members), 'members: hello from bob');
    const { Self } = await members.status();
    assert.deepEqual(Self.Tags, ['tag:members']);
    const status = JSON.parse(await bob.tell('status', '--json')) as { User: Record<string, { LoginName: string }> };
    assert.ok(Object.values(status.User).some(({ LoginName }) => LoginName === 'tagged-devices'));
  });

  test('a role of users.json5 opens and closes what its autogroup may, within a second', async (t) => {
    const [owners, admins] = servers as [Client, Client];
    const steps: readonly [role: string, sees: string][] = [
      ['admin', 'admins members'],
      ['owner', 'owners admins members'],
      ['network-admin', 'members'],
      ['member', 'members'],
    ];
    for (const [role, wanted] of steps) {
      tailnet.edit('users.json5', users(`, role: '${role}'`));
      t.diagnostic(`${role}: «${wanted}» after ${await sees(bob, wanted)} ms`);
      if (role === 'owner') assert.equal(await bob.echoFrom(owners), 'owners: hello from bob');
    }
    await assert.rejects(bob.echoFrom(admins, 1_000));
  });

  test('whoever gets another login keeps their machines, addresses and sessions', async (t) => {
    const [pad] = (await tailnet.joined(['pad'], 'clear', await tailnet.server.createKey({ user: MEMBER }))) as [
      Client,
    ];
    await seeEachOther([bob, pad]);
    const before = (await listed('bob')) as Listed;
    const talk = await bob.talkTo(pad);
    assert.equal(await talk.say('before', 5_000), 'pad: before');

    const login = 'robert@example.com';
    tailnet.edit('policy.json5', policy(login).replaceAll(`'${login}', `, ''));
    tailnet.edit('users.json5', users(`, formerly: ['${MEMBER}']`, login));
    tailnet.edit('policy.json5', policy(login));
    const address = await bob.address();
    // `tailscale status` shows the names of the last whole map; whois, and so the client's own services, know better.
    const named = async (): Promise<boolean> => (await pad.tell('whois', address)).includes(login);
    const { afterMs } = await eventually('the machines know the new login', 2_000, named);
    t.diagnostic(`known after ${Math.round(afterMs)} ms`);
    assert.equal(await talk.say('after', 5_000), 'pad: after', 'the connection lived on');
    talk.close();
    assert.equal((await bob.status()).BackendState, 'Running');
    assert.deepEqual(await listed('bob'), { ...before, user: login });

    // A new key under the new login is for the same machine.
    await pad.tell(...tailnet.up(pad, await tailnet.server.createKey({ user: login })), '--force-reauth');
    const nodes = ((await tailnet.server.admin('nodes', 'list')) as Listed[]).filter(({ name }) =>
      name.startsWith('pad'),
    );
    assert.deepEqual(nodes.map(({ name, user }) => [name, user]), [['pad', login]]); // prettier-ignore
    await seeEachOther([bob, pad]);
  });

  test('tags change by nodes.json5, within a second, and by the client itself', async (t) => {
    const [owners] = servers as [Client];
    await tailnet.server.admin('nodes', 'declare', 'owners', '--tag', 'tag:members', '--commit');
    t.diagnostic(`bob sees it after ${await sees(bob, 'owners members')} ms`);
    assert.deepEqual((await listed('owners'))?.tags, ['tag:members']);
    await eventually('the machine knows its tag', WITHIN_MS, async () => (await owners.status()).Self.Tags?.join() === 'tag:members'); // prettier-ignore
    tailnet.edit('nodes.json5', '{}\n');
    await sees(bob, 'members');

    const pad = tailnet.clients.find(({ name }) => name === 'pad') as Client;
    const address = await pad.address();
    const key = await tailnet.server.createKey({ user: 'robert@example.com' });
    const vault = await pad.say(...tailnet.up(pad, key), '--force-reauth', '--advertise-tags=tag:owners');
    assert.notEqual(vault.exitCode, 0, 'not a tag that the person owns');
    await pad.tell(...tailnet.up(pad, await tailnet.server.createKey({ user: 'robert@example.com' })), '--force-reauth', '--advertise-tags=tag:members'); // prettier-ignore
    assert.equal(await pad.address(), address);
    const { user, tags } = (await listed('pad')) as Listed;
    assert.deepEqual([user, tags], [null, ['tag:members']]);
  });
});

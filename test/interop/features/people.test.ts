// Life of a node among people: how it is let in, what it may call itself, how it is cut off and how it comes back.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import type { Client } from '../client.ts';
import { skip } from '../machine.ts';
import { OWNER, seeEachOther, Tailnet } from '../tailnet.ts';
import { eventually } from '../task.ts';

const WITHIN_MS = 1_000;
const BOB = 'bob@example.com';
const users = (bob: string): string => `{ users: [{ login: '${OWNER}', role: 'owner' }, { login: '${BOB}'${bob} }] }\n`;

const FILES = {
  'users.json5': users(''),
  'policy.json5': `{
    tagOwners: { 'tag:lab': ['${BOB}'], 'tag:vault': ['${OWNER}'] },
    grants: [{ src: ['*'], dst: ['*'], ip: ['*'] }],
  }\n`,
};

interface Waiting {
  readonly code: string;
  readonly hostname: string;
}

describe('nodes and their people', { skip, timeout: 180_000 }, () => {
  let tailnet: Tailnet;
  let alpha: Client;

  const stateOf = async (client: Client): Promise<string> => (await client.status()).BackendState;
  const runs = async (client: Client, limitMs = 15_000): Promise<number> =>
    (await eventually(`${client.name} runs`, limitMs, async () => (await stateOf(client)) === 'Running')).afterMs;
  const joined = async (name: string, user: string): Promise<Client> => {
    const client = await tailnet.client(name);
    await client.tell(...tailnet.up(client, await tailnet.server.createKey({ user })));
    return client;
  };
  /** `tailscale up` without a key, which waits for a person; with the code of the machine that waits. */
  const upByHand = async (client: Client, ...flags: string[]): Promise<{ said: Promise<string>; code: string }> => {
    const flagsOfAll = ['--login-server', tailnet.server.url, '--hostname', client.name, '--timeout', '30s'];
    const said = client.say('up', ...flagsOfAll, ...flags).then(({ text }) => text);
    const { value } = await eventually(`${client.name} waits`, 10_000, async () =>
      ((await tailnet.server.admin('auth', 'list')) as Waiting[]).find(({ hostname }) => hostname === client.name),
    );
    return { said, code: value.code };
  };

  before(async () => {
    tailnet = await Tailnet.start({ files: FILES });
    alpha = await joined('alpha', OWNER);
  });
  afterEach((t) => tailnet.note(t));
  after(async () => tailnet?.stop());

  test('`tailscale up` without a key prints a URL; `tailplane auth approve` lets the machine in', async (t) => {
    const beta = await tailnet.client('beta');
    const { said, code } = await upByHand(beta);
    assert.notEqual(await stateOf(beta), 'Running');
    const approved = performance.now();
    await tailnet.server.admin('auth', 'approve', code, '--user', BOB);
    await runs(beta);
    t.diagnostic(`runs ${Math.round(performance.now() - approved)} ms after the yes`);
    assert.match(await said, new RegExp(`${tailnet.server.url}/register/\\S+`));
    await seeEachOther([alpha, beta]);
    assert.equal(await alpha.echoFrom(beta), 'beta: hello from alpha');
  });

  test('a machine that is turned away is told so, and does not run', async () => {
    const stranger = await tailnet.client('stranger');
    const { said, code } = await upByHand(stranger);
    await tailnet.server.admin('auth', 'deny', code);
    await said;
    assert.notEqual(await stateOf(stranger), 'Running');
    await stranger.stop();
  });

  test('a node whose key was expired by hand is cut off, logs in again and keeps its address', async (t) => {
    const gamma = await joined('gamma', BOB);
    await seeEachOther([alpha, gamma]);
    const address = await gamma.address();
    await tailnet.server.admin('nodes', 'expire', 'gamma');
    await eventually('gamma asks for a login', 5_000, async () => (await stateOf(gamma)) === 'NeedsLogin');

    const { said, code } = await upByHand(gamma);
    await tailnet.server.admin('auth', 'approve', code, '--user', BOB);
    await said;
    t.diagnostic(`runs after ${Math.round(await runs(gamma))} ms`);
    assert.equal(await gamma.address(), address);
    await seeEachOther([alpha, gamma]);
    await eventually('alpha reaches gamma', 20_000, async () => alpha.echoFrom(gamma, 7_000));
  });

  test('`tailscale up --force-reauth` makes a new key and keeps the address', async () => {
    const [gamma] = tailnet.clients.filter(({ name }) => name === 'gamma') as [Client];
    const address = await gamma.address();
    const key = await tailnet.server.createKey({ user: BOB });
    await gamma.tell(...tailnet.up(gamma, key), '--force-reauth');
    await runs(gamma);
    assert.equal(await gamma.address(), address);
    assert.equal(((await tailnet.server.admin('nodes', 'list')) as { name: string }[]).filter(({ name }) => name.startsWith('gamma')).length, 1); // prettier-ignore
  });

  test('tags that a person owns are given, others are refused with a sentence', async () => {
    const lab = await tailnet.client('lab');
    const key = async (): Promise<string> => tailnet.server.createKey({ user: BOB });
    const refused = await lab.say(...tailnet.up(lab, await key()), '--advertise-tags=tag:vault');
    assert.notEqual(refused.exitCode, 0);
    assert.match(refused.text, /tag:vault/);

    await lab.tell(...tailnet.up(lab, await key()), '--advertise-tags=tag:lab');
    assert.deepEqual((await lab.status()).Self.Tags, ['tag:lab']);
  });

  test('a person who is disabled in users.json5 is cut off within a second, and comes back', async (t) => {
    const beta = tailnet.clients.find(({ name }) => name === 'beta') as Client;
    assert.equal(await alpha.echoFrom(beta), 'beta: hello from alpha');
    tailnet.edit('users.json5', users(', disabled: true'));
    const { afterMs } = await eventually('alpha forgets beta', WITHIN_MS, async () => !(await alpha.peer('beta')));
    await assert.rejects(alpha.echoFrom(beta, 1_500));
    assert.ok(await alpha.peer('lab'), 'what has a tag belongs to nobody and stays');

    tailnet.edit('users.json5', users(''));
    await seeEachOther([alpha, beta]);
    const back = await eventually('alpha reaches beta', 15_000, async () => alpha.echoFrom(beta, 15_000));
    t.diagnostic(`gone after ${Math.round(afterMs)} ms, back after ${Math.round(back.afterMs)} ms`);
  });

  test('a deleted node comes back as a new one', async () => {
    const beta = tailnet.clients.find(({ name }) => name === 'beta') as Client;
    const { ID } = (await beta.status()).Self;
    await tailnet.server.admin('nodes', 'delete', 'beta');
    await eventually('beta asks for a login', 10_000, async () => (await stateOf(beta)) === 'NeedsLogin');
    await beta.tell(...tailnet.up(beta, await tailnet.server.createKey({ user: BOB })), '--force-reauth');
    await runs(beta);
    assert.notEqual((await beta.status()).Self.ID, ID);
    await seeEachOther([alpha, beta]);
  });

  test('a file goes from one machine of a person to another (Taildrop)', async (t) => {
    const beta = tailnet.clients.find(({ name }) => name === 'beta') as Client;
    const gamma = tailnet.clients.find(({ name }) => name === 'gamma') as Client;
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tailplane-drop-'));
    try {
      const bytes = Buffer.alloc(50 << 20, 'Tailplane');
      fs.writeFileSync(path.join(folder, 'sent.bin'), bytes);
      fs.mkdirSync(path.join(folder, 'inbox'));
      const start = performance.now();
      await beta.tell('file', 'cp', path.join(folder, 'sent.bin'), 'gamma:');
      t.diagnostic(`50 MB sent in ${Math.round(performance.now() - start)} ms`);
      await gamma.tell('file', 'get', path.join(folder, 'inbox'));
      assert.ok(bytes.equals(fs.readFileSync(path.join(folder, 'inbox', 'sent.bin'))));
      const other = await beta.say('file', 'cp', path.join(folder, 'sent.bin'), 'alpha:');
      assert.notEqual(other.exitCode, 0, 'not to another person');
    } finally {
      fs.rmSync(folder, { recursive: true });
    }
  });
});

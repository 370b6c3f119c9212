// Machines that share keys: a disk that was copied, a machine that starts again, and one that changes hands.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import type { NodeAnswer, NodeDetails } from '../../../src/http/answers.ts';
import type { Client } from '../client.ts';
import { skip } from '../machine.ts';
import { MEMBER, OWNER, seeEachOther, Tailnet } from '../tailnet.ts';
import { eventually } from '../task.ts';

describe('machines with the same keys', { skip, timeout: 120_000 }, () => {
  let tailnet: Tailnet;
  let alpha: Client;
  let beta: Client;
  let copy: Client;

  const stateOf = async (client: Client): Promise<string> => (await client.status()).BackendState;
  const nodes = async (): Promise<readonly NodeAnswer[]> =>
    (await tailnet.server.admin('nodes', 'list')) as readonly NodeAnswer[];
  /** What was told to beta so far; keep-alives don't count. */
  const told = async (): Promise<number> =>
    ((await tailnet.server.admin('debug', 'timeline', 'beta')) as readonly unknown[]).length;

  before(async () => {
    tailnet = await Tailnet.start();
    [alpha, beta] = (await tailnet.joined(['alpha', 'beta'])) as [Client, Client];
    await seeEachOther([alpha, beta]);
    assert.equal(await beta.echoFrom(alpha), 'alpha: hello from beta');
  });
  afterEach((t) => tailnet.note(t));
  after(async () => tailnet?.stop());

  test('a copy of a disk is turned away and told why; the machine and its peers notice nothing', async (t) => {
    const talk = await beta.talkTo(alpha);
    const before = await told();
    const folder = path.join(path.dirname(alpha.folder), 'copy');
    fs.cpSync(alpha.folder, folder, { recursive: true, filter: (name) => path.basename(name) !== 'socket' });
    const started = performance.now();
    copy = await tailnet.client('copy');
    await eventually('the copy is to log in', 10_000, async () => (await stateOf(copy)) === 'NeedsLogin');
    t.diagnostic(`turned away ${Math.round(performance.now() - started)} ms after its start`);

    assert.equal(await talk.say('still', 5_000), 'alpha: still');
    talk.close();
    assert.equal(await stateOf(alpha), 'Running');
    assert.equal(await told(), before, 'nothing was told to beta');
    const lines = tailnet.server.task.log.split('\n').filter((line) => line.includes('node is copied'));
    assert.equal(lines.length, 1);
    const shown = (await tailnet.server.admin('nodes', 'show', 'alpha')) as NodeDetails;
    assert.equal(shown.copy?.remote, '127.0.0.1');
    const { problems } = (await tailnet.server.admin('status')) as { problems: readonly string[] };
    assert.match(problems.join('\n'), /alpha is copied/);
  });

  test('a copy can neither log in nor log the machine out', async () => {
    const said = await copy.say(...tailnet.up(copy), '--force-reauth');
    assert.notEqual(said.exitCode, 0);
    assert.match(said.text, /This machine is a copy: another one with the same keys is connected/);
    await copy.say('logout');
    assert.equal(await stateOf(alpha), 'Running');
    assert.equal(await beta.echoFrom(alpha), 'alpha: hello from beta');
    assert.equal((await nodes()).length, 2);
  });

  test('without the copied keys it is a machine like any other', async () => {
    await copy.stop();
    fs.rmSync(copy.folder, { recursive: true });
    copy = await tailnet.client('copy');
    await copy.tell(...tailnet.up(copy));
    await seeEachOther([alpha, beta, copy]);
    assert.notEqual(await copy.address(), await alpha.address());
  });

  test('a machine that dies and starts again is itself', async (t) => {
    const address = await alpha.address();
    alpha.task.signal('SIGKILL');
    const started = performance.now();
    const again = await tailnet.client('alpha');
    await eventually('alpha runs', 10_000, async () => (await stateOf(again)) === 'Running');
    t.diagnostic(`runs ${Math.round(performance.now() - started)} ms after its start`);
    assert.equal(await again.address(), address);
    await eventually('beta reaches it', 15_000, async () => beta.echoFrom(again, 7_000));
    alpha = again;
  });

  test('a machine that another person logs in on is another node; the first gets theirs back', async (t) => {
    const login = async (user: string): Promise<string> => {
      const key = await tailnet.server.createKey({ user });
      await copy.tell(...tailnet.up(copy, key), '--force-reauth');
      await eventually(`${user} runs`, 10_000, async () => (await stateOf(copy)) === 'Running');
      return copy.address();
    };
    const first = await copy.address();
    const second = await login(MEMBER);
    assert.notEqual(second, first);
    const ofCopy = (await nodes()).filter(({ addresses }) => [first, second].includes(addresses[0] ?? ''));
    assert.deepEqual(new Set(ofCopy.map(({ user }) => user)), new Set([OWNER, MEMBER]));
    assert.equal(new Set(ofCopy.map(({ machineKey }) => machineKey)).size, 1);
    const asked = performance.now();
    assert.equal(await login(OWNER), first);
    t.diagnostic(`back after ${Math.round(performance.now() - asked)} ms`);
  });

  test('a machine that was deleted while it was off is to log in, and comes back as a new one', async () => {
    const { ID } = (await beta.status()).Self;
    await beta.tell('down');
    await tailnet.server.admin('nodes', 'delete', 'beta');
    const said = beta.say('up', '--login-server', tailnet.server.url, '--hostname', 'beta', '--timeout', '2s');
    const url = `${tailnet.server.url}/register/`;
    await eventually('beta is to log in', 10_000, async () => (await beta.status()).AuthURL?.startsWith(url) ?? false);
    await said;
    await beta.tell(...tailnet.up(beta));
    await eventually('beta is a new node', 5_000, async () => (await beta.status()).Self.ID !== ID);
    await eventually('alpha sees it', 5_000, async () => (await alpha.peer('beta'))?.Online);
  });
});

// Shells without keys: Tailscale SSH in accept mode, in check mode with a person who says yes or no, recorded, ended by a change
// of the policy, with variables sent along, and under a login that is the person's own.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import type { Client, Said } from '../client.ts';
import { skip } from '../machine.ts';
import { Recorder } from '../recorder.ts';
import { Shell } from '../shell.ts';
import type { ShellWish } from '../shell.ts';
import { seeEachOther, Tailnet } from '../tailnet.ts';
import { eventually } from '../task.ts';

const WITHIN_MS = 1_000;
const policy = (ssh: string): string => `{
  tagOwners: { 'tag:recorder': ['autogroup:admin'] },
  grants: [{ src: ['autogroup:member'], dst: ['autogroup:member'], ip: ['*'] }],
  ssh: [{ src: ['autogroup:member'], dst: ['autogroup:self'], users: ['root'], ${ssh} }],
}`;
const ACCEPT = policy(`action: 'accept'`);
const CHECK = policy(`action: 'check', checkPeriod: '1h'`);

interface Waiting {
  readonly code: string;
  readonly from: string;
  readonly to: string;
  readonly as: string;
}

describe('Tailscale SSH', { skip, timeout: 120_000 }, () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tailplane-ssh-'));
  let tailnet: Tailnet;
  let laptop: Client;
  let box: Client;
  let recorder: Recorder | undefined;

  const shell = async (wish?: ShellWish): Promise<Said> => Shell.run(laptop, box, wish);
  const waiting = async (): Promise<Waiting> => {
    const look = async (): Promise<Waiting | undefined> =>
      ((await tailnet.server.admin('auth', 'ssh', 'list')) as Waiting[])[0];
    return (await eventually('a shell waits', 10_000, look)).value;
  };
  const revisions = (): number => tailnet.server.task.log.split('this revision serves now').length;
  /** The rules that the box holds a shell against. */
  const rules = async (): Promise<string> =>
    JSON.stringify((JSON.parse(await box.tell('debug', 'netmap')) as { SSHPolicy: unknown }).SSHPolicy);
  /** Until the box has the new rules; `told` is false where it is told nothing, because only the server has to know. */
  const serve = async (text: string, told = true): Promise<void> => {
    const [before, had] = [revisions(), await rules()];
    tailnet.edit('policy.json5', text);
    await eventually('the server serves the policy', 5_000, () => revisions() > before);
    if (told) await eventually('the box has the new rules', 5_000, async () => (await rules()) !== had);
  };
  /** Gives this machine, which nobody else sees, a person of that name. */
  const addPerson = (name: string): void => {
    for (const [file, line] of [
      ['/etc/passwd', `${name}:x:4242:4242::${folder}:/bin/sh`],
      ['/etc/group', `${name}:x:4242:`],
    ] as const) {
      const own = path.join(folder, path.basename(file));
      fs.writeFileSync(own, `${fs.readFileSync(file, 'utf8')}${line}\n`);
      execFileSync('mount', ['--bind', own, file]);
    }
  };

  before(async () => {
    addPerson('alice');
    tailnet = await Tailnet.start({ files: { 'policy.json5': ACCEPT } });
    [laptop, box] = (await tailnet.joined(['laptop', 'box'])) as [Client, Client];
    await box.tell('set', '--ssh');
    await seeEachOther([laptop, box]);
  });
  afterEach((t) => tailnet.note(t));
  after(async () => {
    await recorder?.stop();
    await tailnet?.stop();
    for (const file of ['/etc/passwd', '/etc/group']) execFileSync('umount', [file]);
    fs.rmSync(folder, { recursive: true, force: true });
  });

  test('opens a shell that the policy accepts', async (t) => {
    const start = performance.now();
    const { value } = await eventually('the box answers', 15_000, async () => {
      const said = await shell();
      return said.exitCode === 0 && said;
    });
    assert.match(value.text, /hello from root/);
    t.diagnostic(`after ${Math.round(performance.now() - start)} ms`);
  });

  test('refuses a user whom no rule names', async () => {
    const { exitCode, text } = await shell({ user: 'alice' });
    assert.notEqual(exitCode, 0);
    assert.match(text, /policy does not permit you to SSH as user "alice"/);
  });

  test('opens a shell under the name that is the person’s own, and under no other', async () => {
    await serve(policy(`action: 'accept'`).replace(`'root'`, `'localpart:*@example.com'`));
    assert.match((await shell({ user: 'alice' })).text, /hello from alice/);
    assert.match((await shell()).text, /policy does not permit you to SSH as user "root"/);
  });

  test('takes along the variables that acceptEnv names, and no others', async () => {
    await serve(policy(`action: 'accept', acceptEnv: ['TP_*', 'PLACE_?']`));
    const env = { TP_COLOUR: 'red', PLACE_1: 'here', PLACE_10: 'there', OTHER: 'no', LD_TP: 'never' };
    const { text } = await shell({ env, command: 'echo "[$TP_COLOUR] [$PLACE_1] [$PLACE_10] [$OTHER] [$LD_TP]"' });
    assert.match(text, /\[red\] \[here\] \[\] \[\] \[\]/);
    await serve(ACCEPT);
    assert.match((await shell({ env, command: 'echo "[$TP_COLOUR]"' })).text, /\[\]/);
  });

  test('a shell that is open ends within a second when the policy takes it away', async (t) => {
    const open = await Shell.open(laptop, box, { command: 'echo open; exec sleep 60' });
    await open.says('open');
    // What still allows it does not disturb it.
    await serve(CHECK);
    assert.doesNotMatch(open.text, /revoked/);

    const edited = performance.now();
    tailnet.edit('policy.json5', policy(`action: 'accept'`).replace(`'root'`, `'alice'`));
    const { exitCode, text } = await open.ended;
    const tookMs = Math.round(performance.now() - edited);
    assert.notEqual(exitCode, 0);
    assert.match(text, /Access revoked\./);
    t.diagnostic(`the shell said «Access revoked.» and ended ${tookMs} ms after the edit`);
    assert.ok(tookMs < WITHIN_MS, `${tookMs} ms`);
  });

  test('in check mode, waits for `tailplane auth ssh approve CODE`, and then not again', async (t) => {
    await serve(CHECK);
    const session = shell();
    const check = await waiting();
    assert.deepEqual([check.from, check.to, check.as], ['laptop.tail.example.com', 'box.tail.example.com', 'root']);
    await tailnet.server.admin('auth', 'ssh', 'approve', check.code);
    const approved = performance.now();
    const { text } = await session;
    assert.match(text, /hello from root/);
    assert.match(text, /\/ssh\/check\//, 'the person was given the address of the page');
    t.diagnostic(`open ${Math.round(performance.now() - approved)} ms after the yes`);

    assert.match((await shell()).text, /hello from root/, 'within checkPeriod nobody is asked again');
  });

  test('in check mode, a no ends it', async () => {
    await serve(policy(`action: 'check', checkPeriod: 'always'`), false);
    const session = shell();
    await tailnet.server.admin('auth', 'ssh', 'deny', (await waiting()).code);
    const { exitCode, text } = await session;
    assert.notEqual(exitCode, 0);
    assert.doesNotMatch(text, /hello from root/);
  });

  describe('recorded', () => {
    const RECORDED = policy(`action: 'accept', recorder: ['tag:recorder'], enforceRecorder: true`);

    test('without a recorder in the tailnet, a session that has to be recorded is refused', async () => {
      await serve(RECORDED);
      const { exitCode, text } = await shell();
      assert.notEqual(exitCode, 0);
      assert.match(text, /There is no session recorder/);
    });

    test('a recording arrives while the session runs; when the recorder dies, so does the session', async (t) => {
      recorder = await Recorder.start();
      const key = await tailnet.server.createKey({ tag: 'tag:recorder' });
      await tailnet.joined(['recorder'], 'clear', key);
      const opened = await eventually('the box has heard of the recorder', 10_000, async () => {
        const said = await shell({ command: 'echo on the record' });
        return said.exitCode === 0 && said;
      });
      assert.match(opened.value.text, /on the record/);
      const { recordings } = recorder;
      await eventually('the recording is whole', 5_000, () => recordings.at(-1)?.whole);
      const [head, ...lines] = (recordings.at(-1)?.text ?? '').trim().split('\n');
      const { command, sshUser, srcNode, srcNodeUser } = JSON.parse(head ?? '') as Record<string, string>;
      assert.deepEqual(
        [command, sshUser, srcNode, srcNodeUser],
        ['echo on the record', 'root', 'laptop.tail.example.com', 'alice@example.com'],
      );
      assert.deepEqual((JSON.parse(lines[0] ?? '') as string[]).slice(1), ['o', 'on the record\n']);

      // A client notices with the next output; a session that is silent ends after half a minute (connect.go, uploadAckWindow).
      const open = await Shell.open(laptop, box, { command: 'while echo tick; do sleep 0.2; done' });
      await open.says('tick');
      const died = performance.now();
      await recorder.stop();
      recorder = undefined;
      const { exitCode, text } = await open.ended;
      assert.notEqual(exitCode, 0);
      assert.match(text, /The session recorder is away/);
      t.diagnostic(`the session ended ${Math.round(performance.now() - died)} ms after the recorder`);
      await eventually('the server is told', 5_000, () => tailnet.server.task.log.includes('"session":"ended"')); // prettier-ignore
    });

    test('with its recorder away, a session is refused where that is enforced, and opens where it is not', async () => {
      const { exitCode, text } = await shell();
      assert.notEqual(exitCode, 0);
      assert.match(text, /The session recorder is away/);
      await serve(policy(`action: 'accept', recorder: ['tag:recorder']`));
      assert.match((await shell()).text, /hello from root/);
      for (const session of ['refused', 'goes on'])
        await eventually(`the server is told: ${session}`, 5_000, () => tailnet.server.task.log.includes(`"session":"${session}"`)); // prettier-ignore
    });
  });
});

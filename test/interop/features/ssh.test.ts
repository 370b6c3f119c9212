// Shells without keys: Tailscale SSH in accept mode, and in check mode with a person who says yes or no.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, afterEach, before, describe, test } from 'node:test';
import type { Client, Said } from '../client.ts';
import { skip } from '../machine.ts';
import { seeEachOther, Tailnet } from '../tailnet.ts';
import { eventually } from '../task.ts';

const policy = (ssh: string): string => `{
  grants: [{ src: ['*'], dst: ['*'], ip: ['*'] }],
  ssh: [{ ${ssh}, src: ['autogroup:member'], dst: ['autogroup:self'], users: ['root'] }],
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
  let tailnet: Tailnet;
  let laptop: Client;
  let box: Client;

  /** Runs `echo` on the box, from the laptop, in an ordinary ssh that goes through the tailnet. */
  const shell = async (user = 'root'): Promise<Said> => {
    const address = await box.address();
    const options = ['BatchMode=yes', 'StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'ConnectTimeout=15'];
    return new Promise((resolve) => {
      const child = execFile(
        'ssh',
        [
          '-F',
          'none',
          ...[`ProxyCommand=${laptop.command.join(' ')} nc %h %p`, ...options].flatMap((option) => ['-o', option]),
          `${user}@${address}`,
          'echo hello from $USER',
        ],
        { timeout: 30_000 },
        (error, stdout, stderr) => {
          resolve({ exitCode: error === null ? 0 : (child.exitCode ?? 1), text: `${stdout}${stderr}` });
        },
      );
    });
  };
  const waiting = async (): Promise<Waiting> => {
    const look = async (): Promise<Waiting | undefined> =>
      ((await tailnet.server.admin('auth', 'ssh', 'list')) as Waiting[])[0];
    return (await eventually('a shell waits', 10_000, look)).value;
  };
  /** The box learns of a policy a moment after it was written; a shell says when. */
  const serve = async (text: string): Promise<void> => {
    const revisions = (): number => tailnet.server.task.log.split('revision').length;
    const before = revisions();
    tailnet.edit('policy.json5', text);
    await eventually('the server serves the policy', 5_000, () => revisions() > before);
    await new Promise((resolve) => setTimeout(resolve, 500));
  };

  before(async () => {
    tailnet = await Tailnet.start({ files: { 'policy.json5': ACCEPT } });
    [laptop, box] = (await tailnet.joined(['laptop', 'box'])) as [Client, Client];
    await box.tell('set', '--ssh');
    await seeEachOther([laptop, box]);
  });
  afterEach((t) => tailnet.note(t));
  after(async () => tailnet?.stop());

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
    const { exitCode, text } = await shell('nobody');
    assert.notEqual(exitCode, 0);
    assert.match(text, /denied|not permit|failed/i);
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
    await serve(policy(`action: 'check', checkPeriod: 'always'`));
    const session = shell();
    await tailnet.server.admin('auth', 'ssh', 'deny', (await waiting()).code);
    const { exitCode, text } = await session;
    assert.notEqual(exitCode, 0);
    assert.doesNotMatch(text, /hello from root/);
  });
});

// Pushes to a repository and what real clients notice of them: access that is taken away is gone, and a commit that is
// wrong or held changes nothing.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { git } from '../source/githost.ts';
import type { Client } from './client.ts';
import { skip } from './machine.ts';
import { seeEachOther, Tailnet } from './tailnet.ts';
import { eventually } from './task.ts';

const WITHIN_MS = 2_000;
const ALL = `{ grants: [{ src: ['*'], dst: ['*'], ip: ['*'] }] }\n`;
const PING_ONLY = `{ grants: [{ src: ['*'], dst: ['*'], ip: ['icmp:*'] }] }\n`;
/** Nothing but capabilities: no pair of nodes can connect any more, administrators included. */
const NOTHING = `{ grants: [] }\n`;

interface Status {
  readonly state: string;
  readonly revision: string;
  readonly reconcile: { readonly pending?: { readonly obstacles: readonly { readonly allowedBy?: string }[] } };
}

describe('a tailnet that is a repository', { skip, timeout: 120_000 }, () => {
  let tailnet: Tailnet;
  let alpha: Client;
  let beta: Client;
  let work = '';

  const push = (policy: string, ...message: readonly string[]): string => {
    fs.writeFileSync(path.join(work, 'policy.json5'), policy);
    git(work, ['commit', '-q', '--allow-empty', '-a', ...message.flatMap((part) => ['-m', part])]);
    git(work, ['push', '-q', 'origin', 'main']);
    return git(work, ['rev-parse', 'HEAD']);
  };
  const status = async (): Promise<Status> => (await tailnet.server.admin('status')) as Status;
  const becomes = async (state: string): Promise<Status> =>
    (
      await eventually(`the server says ${state}`, WITHIN_MS + 3_000, async () => {
        const now = await status();
        return now.state === state && now;
      })
    ).value;
  const reaches = async (): Promise<string | undefined> => await alpha.echoFrom(beta, 1_500).catch(() => undefined);

  before(async () => {
    tailnet = await Tailnet.start({
      follow: (folder) => {
        work = folder;
        const bare = `${folder}.git`;
        fs.mkdirSync(bare);
        git(bare, ['init', '-q', '--bare', '-b', 'main', '.']);
        git(folder, ['init', '-q', '-b', 'main', '.']);
        git(folder, ['add', '-A']);
        git(folder, ['commit', '-q', '-m', 'First']);
        git(folder, ['remote', 'add', 'origin', bare]);
        git(folder, ['push', '-q', 'origin', 'main']);
        return `file://${bare}`;
      },
    });
    [alpha, beta] = (await tailnet.joined(['alpha', 'beta'])) as [Client, Client];
    await seeEachOther([alpha, beta]);
  });
  afterEach((t) => tailnet.note(t));
  after(async () => tailnet?.stop());

  test('a push that takes access away closes the TCP path, and another opens it', async (t) => {
    assert.equal(await alpha.echoFrom(beta), 'beta: hello from alpha');
    // Two nodes are two pairs, too few for the share that the guard looks at; and ping still connects administrators.
    const pushed = performance.now();
    push(PING_ONLY, 'Ping only');
    await eventually('the path is closed', WITHIN_MS, async () => {
      const answered = await alpha.echoFrom(beta, 100).catch(() => undefined);
      return answered === undefined;
    });
    t.diagnostic(`closed ${Math.round(performance.now() - pushed)} ms after the commit`);
    push(ALL, 'All again');
    await eventually('the path is open', WITHIN_MS, async () => alpha.echoFrom(beta, 100));
  });

  test('a bad push changes nothing', async () => {
    const { revision } = await status();
    push('{ grants: [', 'A slip');
    assert.equal((await becomes('rejected')).revision, revision);
    assert.equal(await reaches(), 'beta: hello from alpha');
    push(ALL, 'Mended');
    await becomes('serving');
  });

  test('a held push changes nothing until a commit allows it', async () => {
    const { revision } = await status();
    push(NOTHING, 'Close everything');
    const held = await becomes('held');
    assert.equal(held.revision, revision);
    assert.equal(await reaches(), 'beta: hello from alpha');
    const line = held.reconcile.pending?.obstacles[0]?.allowedBy;
    assert.match(line ?? '', /^Tailnet-Allow: administrators [0-9a-f]{8}$/);
    const allowed = push(NOTHING, 'Yes, everything', line ?? '');
    assert.equal((await becomes('serving')).revision, allowed);
    await eventually('the path is closed', WITHIN_MS, async () => (await reaches()) === undefined);
  });
});

// What docs/setup/linux.md says, word for word: a machine that joins by a configuration file, without a command.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import type { NodeAnswer } from '../../src/http/answers.ts';
import { program, skip } from './machine.ts';
import { OWNER, Tailnet } from './tailnet.ts';
import { eventually, Task } from './task.ts';

const PAGE = fs.readFileSync(path.join(import.meta.dirname, '../../docs/setup/linux.md'), 'utf8');
const [, EXAMPLE] = /```json\n([^`]+)```/.exec(PAGE) as unknown as [string, string];

describe('a machine with a configuration file', { skip, timeout: 60_000 }, () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tailplane-setup-'));
  let tailnet: Tailnet;
  let daemon: Task | undefined;

  before(async () => {
    tailnet = await Tailnet.start();
  });
  afterEach((t) => tailnet.note(t));
  after(async () => {
    await daemon?.stop();
    await tailnet?.stop();
    fs.rmSync(folder, { recursive: true, force: true });
  });

  test('joins by itself, with the key in a file of its own', async (t) => {
    const keyFile = path.join(folder, 'authkey');
    fs.writeFileSync(keyFile, await tailnet.server.createKey({ user: OWNER }), { mode: 0o600 });
    const config = path.join(folder, 'config.json');
    fs.writeFileSync(
      config,
      EXAMPLE.replace('https://tail.example.com', tailnet.server.url).replace('/etc/tailscale/authkey', keyFile),
    );
    const start = performance.now();
    daemon = new Task({
      command: [
        program('tailscaled'),
        `--config=${config}`,
        '--tun=userspace-networking',
        `--statedir=${folder}`,
        `--socket=${path.join(folder, 'socket')}`,
        '--port=0',
      ],
      logFile: path.join(folder, 'configured.log'),
      env: { TS_NO_LOGS_NO_SUPPORT: 'true', TS_ASSUME_NETWORK_UP_FOR_TEST: 'true', TS_LOGS_DIR: folder, HOME: folder },
    });
    const { value } = await eventually('it is online', 20_000, async () =>
      ((await tailnet.server.admin('nodes', 'list')) as readonly NodeAnswer[]).find(({ online }) => online),
    );
    t.diagnostic(`online after ${Math.round(performance.now() - start)} ms`);
    assert.equal(value.user, OWNER);
  });
});

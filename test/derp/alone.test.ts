// `tailplane derp` as a process: what it refuses to be, what it prints, and how it ends.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, describe, test } from 'node:test';

import { connect } from './client.ts';

const CLI = path.join(import.meta.dirname, '../../src/cli/tailplane.js');
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tailplane-alone-'));
after(() => fs.rmSync(folder, { recursive: true, force: true }));

const REFUSED: readonly [name: string, flags: string, said: RegExp][] = [
  [
    'open to all on an address that others reach',
    '--listen 0.0.0.0:0 --admit any',
    /--admit any is for tests on loopback/,
  ],
  [
    'plain on an address that others reach',
    '--listen 0.0.0.0:0 --insecure-http --verify-url https://a.example/verify',
    /--insecure-http is for tests/,
  ],
  ['closed to all', '--listen 127.0.0.1:0', /Nobody may use this relay yet/],
  ['told by anybody whom to let in', '--listen 127.0.0.1:0 --verify-url http://a.example/verify', /wants an https URL/],
  ['in a mesh without a key', '--listen 127.0.0.1:0 --admit any --mesh-with b.example', /wants --mesh-key-file/],
];

describe('a relay alone', { concurrency: true }, () => {
  for (const [name, flags, said] of REFUSED) {
    test(`is never ${name}`, () => {
      const { status, stderr } = spawnSync(process.execPath, [CLI, 'derp', '--data', folder, ...flags.split(' ')], {
        encoding: 'utf8',
        timeout: 20_000,
      });
      assert.match(stderr, said);
      assert.equal(status, 2);
    });
  }

  test('says where it listens, keeps its key, serves, and ends on SIGTERM', async () => {
    const start = async () => {
      const flags = '--listen 127.0.0.1:0 --insecure-http --admit any --stun off'.split(' ');
      const child = spawn(process.execPath, [CLI, '--json', 'derp', '--data', path.join(folder, 'data'), ...flags], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      let text = '';
      child.stdout.setEncoding('utf8');
      while (!text.endsWith('}\n')) text += ((await once(child.stdout, 'data')) as [string])[0];
      return { child, printed: JSON.parse(text) as { url: string; key: string; certName: string } };
    };
    const { child, printed } = await start();
    assert.match(printed.certName, /^sha256-raw:[0-9a-f]{64}$/);
    const client = await connect({ port: Number(new URL(printed.url).port) });
    await client.settle();
    const before = performance.now();
    child.kill('SIGTERM');
    assert.deepEqual(await once(child, 'exit'), [0, null]);
    assert.ok(performance.now() - before < 2_000);
    await client.closed;

    const again = await start();
    assert.equal(again.printed.key, printed.key);
    assert.equal(again.printed.certName, printed.certName);
    again.child.kill('SIGTERM');
    await once(again.child, 'exit');
  });
});

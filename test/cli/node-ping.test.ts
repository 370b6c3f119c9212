// `tailplane nodes ping` as people and programs see it: the lines, and how the command ends.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { socketPath } from '../../src/cli/admin.ts';
import type { PingAnswer, PingStep } from '../../src/http/answers.ts';

const launcher = path.join(import.meta.dirname, '../../src/cli/tailplane.js');
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tailplane-ping-'));
let answer: PingAnswer;
let asked: unknown;

const server = http.createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    asked = [request.method, request.url, JSON.parse(Buffer.concat(chunks).toString())];
    response.end(JSON.stringify(answer));
  });
});
before(async () => {
  server.listen(socketPath(folder));
  await once(server, 'listening');
});
after(() => {
  server.close();
  fs.rmSync(folder, { recursive: true });
});

const run = (...args: string[]): Promise<{ status: number; stdout: string }> =>
  new Promise((resolve) => {
    const child = execFile(process.execPath, [launcher, '--data', folder, ...args], (_error, stdout) =>
      resolve({ status: child.exitCode ?? -1, stdout }),
    );
  });

const step = (what: PingStep['what'], more: Partial<PingStep>): PingStep => ({ what, ok: true, roundTripMs: null, path: null, via: null, problem: null, ...more }); // prettier-ignore
const base = { node: 'laptop', id: 1, from: '192.0.2.7', version: '1.102.3', homeRelay: 999, lastSeen: null, to: null };

test('everything answered: each step in a line, and 0', async () => {
  answer = {
    ...base,
    to: 'fileserver',
    ok: true,
    steps: [
      step('stream', { roundTripMs: 12.4 }),
      step('call', { roundTripMs: 14 }),
      step('disco', { roundTripMs: 3.25, path: 'direct', via: '192.0.2.9:41641' }),
      step('TSMP', { roundTripMs: 4 }),
      step('ICMP', { roundTripMs: 250 }),
    ],
  };
  const { status, stdout } = await run('nodes', 'ping', 'laptop', '--to', 'fileserver');
  assert.equal(status, 0);
  assert.deepEqual(asked, ['POST', '/v0/nodes/laptop/ping', { to: 'fileserver' }]);
  assert.deepEqual(stdout.trimEnd().split('\n'), [
    'laptop answers from 192.0.2.7, with Tailscale 1.102.3.',
    'WHO            WHAT                         TOOK',
    'server         stream: over its map stream  12 ms',
    'server         call: a call into it         14 ms',
    'to fileserver  disco: a path                3.3 ms  direct, 192.0.2.9:41641',
    'to fileserver  TSMP: through WireGuard      4.0 ms',
    'to fileserver  ICMP: a ping                 250 ms',
  ]);
});

test('a step that failed says why, and the command ends with 1', async () => {
  const problem = 'The node is not connected.';
  answer = { ...base, from: null, lastSeen: new Date(Date.now() - 3 * 3_600_000).toISOString(), ok: false, steps: [step('stream', { ok: false, problem })] }; // prettier-ignore
  const { status, stdout } = await run('nodes', 'ping', 'laptop');
  assert.equal(status, 1);
  assert.match(stdout, /^laptop does not answer\. It was last seen 3 h ago\.\n/);
  assert.match(stdout, /failed {2}The node is not connected\.$/m);
});

test('with --json it is the answer as it came, and ends alike', async () => {
  const { status, stdout } = await run('--json', 'nodes', 'ping', 'laptop');
  assert.equal(status, 1);
  assert.deepEqual(JSON.parse(stdout), answer);
});

test('without a machine it is a wrong command line', async () => {
  assert.equal((await run('nodes', 'ping')).status, 2);
});

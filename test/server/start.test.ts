// The server as a person starts it: what it prints, that it keeps its identity, how it ends, and the one clear error for each
// thing that can be wrong.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { after, test } from 'node:test';
import { promisify } from 'node:util';
import { StartFailure } from '../../src/server/failure.ts';
import { listenFailure } from '../../src/server/listen.ts';

const root = path.join(import.meta.dirname, '../..');
const launcher = path.join(root, 'src/cli/tailplane.js');
const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'tailplane-start-'));
const children = new Set<ChildProcess>();
after(() => {
  for (const child of children) child.kill('SIGKILL');
  fs.rmSync(scratch, { recursive: true, force: true });
});

const folder = (name: string): string => path.join(scratch, name);
const environment = (data: string) => ({
  ...process.env,
  TAILPLANE_DATA: data,
  TAILPLANE_LISTEN: '127.0.0.1:0',
  NO_COLOR: '1',
});

const start = async (data: string, args: readonly string[] = []) => {
  const child = spawn(process.execPath, [launcher, 'serve', ...args], {
    env: environment(data),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.add(child);
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
  const exited = once(child, 'exit').then(([code]) => {
    children.delete(child);
    return code as number;
  });
  const line = await Promise.race([
    once(createInterface({ input: child.stdout }), 'line').then(([text]) => text as string),
    exited.then((code) => assert.fail(`the server ended with ${code}:\n${errors}`)),
  ]);
  const [, url = '', key = ''] =
    /^tailscale up --login-server (\S+) --authkey (tpkey-auth-\S+)$/.exec(line) ?? assert.fail(line);
  return { child, exited, url, key };
};

const refusal = async (args: readonly string[], env: NodeJS.ProcessEnv) =>
  promisify(execFile)(process.execPath, [launcher, 'serve', ...args], { env, timeout: 20_000 }).then(
    () => assert.fail('it started'),
    (error: { code: number; stderr: string }) => ({ code: error.code, stderr: error.stderr }),
  );

test('it prints the command that joins, answers, and ends at once when asked', { timeout: 30_000 }, async () => {
  const server = await start(folder('one'));
  const { publicKey } = (await (await fetch(`${server.url}/key?v=142`)).json()) as { publicKey: string };
  assert.match(publicKey, /^mkey:[0-9a-f]{64}$/);
  assert.equal(await (await fetch(`${server.url}/healthz`)).text(), 'ok\n');
  assert.equal((await fetch(`${server.url}/readyz`)).status, 200);
  assert.match(await (await fetch(`${server.url}/metrics`)).text(), /^tailplane_nodes 0$/m);
  const cli = async (...args: string[]) =>
    JSON.parse(
      (await promisify(execFile)(process.execPath, [launcher, '--json', ...args], { env: environment(folder('one')) }))
        .stdout,
    ) as Record<string, unknown>;
  assert.equal((await cli('status'))['state'], 'serving');
  assert.deepEqual(await cli('nodes', 'list'), []);
  const created = await cli('keys', 'create', '--reusable');
  assert.match(created['key'] as string, /^tpkey-auth-[a-z0-9]+-[a-z0-9]+$/);
  assert.equal(created['user'], 'alice@example.com');
  const startedMs = performance.now();
  server.child.kill('SIGTERM');
  assert.equal(await server.exited, 0);
  assert.ok(performance.now() - startedMs < 2_000);

  const again = await start(folder('one'));
  const second = (await (await fetch(`${again.url}/key?v=142`)).json()) as { publicKey: string };
  assert.equal(second.publicKey, publicKey, 'the identity is kept');
  const keys = (await cli('keys', 'list')) as unknown as { id: string; origin: string }[];
  assert.ok(
    keys.some(({ id }) => id === created['id']),
    'keys are kept',
  );

  const inUse = await refusal([], environment(folder('one')));
  assert.equal(inUse.code, 1);
  assert.ok(inUse.stderr.includes('error[registry/in-use]: '), inUse.stderr);
  again.child.kill('SIGINT');
  assert.equal(await again.exited, 0);
});

test('each thing that can be wrong is one clear error with what to do', { timeout: 60_000 }, async (t) => {
  const port = net.createServer().listen(0, '127.0.0.1');
  await once(port, 'listening');
  t.after(() => port.close());
  const taken = `127.0.0.1:${(port.address() as net.AddressInfo).port}`;
  fs.writeFileSync(folder('file'), '');
  fs.mkdirSync(folder('broken'));
  fs.writeFileSync(path.join(folder('broken'), 'tailnet.json5'), "{ name: 'example.com', nmae: 1 }");
  const cases: readonly (readonly [
    name: string,
    args: readonly string[],
    env: NodeJS.ProcessEnv,
    exit: number,
    code: string,
    says: RegExp,
  ])[] = [
    [
      'port in use',
      [],
      { TAILPLANE_LISTEN: taken },
      1,
      'server/listen-in-use',
      /Another program listens on 127\.0\.0\.1:\d+\.\n {2}Stop it, or choose/,
    ],
    [
      'address of another machine',
      [],
      { TAILPLANE_LISTEN: '192.0.2.1:80' },
      1,
      'server/listen-unknown',
      /Check --listen/,
    ],
    [
      'data folder that can’t be',
      [],
      { TAILPLANE_DATA: path.join(folder('file'), 'x') },
      1,
      'server/data-not-writable',
      /ENOTDIR.*\n {2}Make it belong/,
    ],
    ['no such tailnet', [folder('absent')], {}, 1, 'server/source-unreadable', /There is no folder .*absent/],
    ['broken tailnet', [folder('broken')], {}, 1, 'server/tailnet-broken', /tailnet\.json5:1:24[\s\S]*nmae/],
    [
      'wrong setting',
      ['--metrics', 'all', '--url', 'example.com'],
      {},
      2,
      'server/bad-setting',
      /«example\.com» can't be the URL/,
    ],
    [
      'wrong variables',
      [],
      { TAILPLANE_RELAY: 'perhaps', TAILPLANE_METRICS: 'x' },
      2,
      'server/bad-setting',
      /TAILPLANE_RELAY: .*\n.*TAILPLANE_METRICS: /,
    ],
  ];
  await Promise.all(
    cases.map(async ([name, args, env, exit, code, says], i) => {
      const { code: status, stderr } = await refusal(args, { ...environment(folder(`case${i}`)), ...env });
      assert.ok(stderr.includes(`error[${code}]: `), `${name}\n${stderr}`);
      assert.match(stderr, says, name);
      assert.equal(status, exit, `${name}\n${stderr}`);
    }),
  );
});

test('every failure to listen has its own sentence', () => {
  const codes: readonly (readonly [string, string])[] = [
    ['EADDRINUSE', 'server/listen-in-use'],
    ['EACCES', 'server/listen-denied'],
    ['EADDRNOTAVAIL', 'server/listen-unknown'],
  ];
  for (const [errno, code] of codes) {
    const failure = listenFailure('127.0.0.1:80', Object.assign(new Error(errno), { code: errno }));
    assert.ok(failure instanceof StartFailure);
    assert.equal(failure.code, code);
    assert.match(failure.message, / 127\.0\.0\.1:80\.$/);
  }
});

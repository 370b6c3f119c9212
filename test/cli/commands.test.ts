// How commands end: exit codes, one clear error, and completion that knows every command.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { connectAdmin, socketPath, unreachable } from '../../src/cli/admin.ts';
import { Failure } from '../../src/cli/failure.ts';
import { buildProgram } from '../../src/cli/program.ts';

const launcher = path.join(import.meta.dirname, '../../src/cli/tailplane.js');
const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'tailplane-cli-'));
after(() => fs.rmSync(scratch, { recursive: true }));

const run = (...args: string[]) => spawnSync(process.execPath, [launcher, ...args], { encoding: 'utf8', cwd: scratch });

test('a wrong command line exits with 2 and suggests', () => {
  const { status, stderr } = run('nodez');
  assert.equal(status, 2);
  assert.match(stderr, /unknown command 'nodez'\n\(Did you mean nodes\?\)/);
});

test('init makes a folder that lints, and writes over nothing', () => {
  assert.equal(run('init', 'net', '--owner', 'alice@example.com').status, 0);
  const lint = run('lint', 'net');
  assert.equal(lint.status, 0, lint.stdout);
  const again = run('init', 'net');
  assert.equal(again.status, 1);
  assert.ok(again.stderr.includes('error[cli/would-overwrite]: '), again.stderr);
  const wrong = run('init', 'other', '--owner', 'alice');
  assert.equal(wrong.status, 2);
  assert.ok(wrong.stderr.includes('error[cli/usage]: «alice» is not a login.'), wrong.stderr);
});

test('what a file of somebody else says in an error moves no cursor', () => {
  run('init', 'reviewed', '--owner', 'alice@example.com');
  fs.writeFileSync(path.join(scratch, 'nodes.json'), JSON.stringify([{ name: 'x\u001b[2J\u009b2J' }]));
  const { status, stderr } = run('matrix', 'reviewed', '--nodes', 'nodes.json');
  assert.notEqual(status, 0);
  // oxlint-disable-next-line no-control-regex -- finding these is the point
  assert.doesNotMatch(stderr, /[\u001b\u009b]/);
  assert.match(stderr, /Node 1 of the list \(x\\u001b\[2J\\u009b2J\)/);
});

test('without a server, commands that need one exit with 3', () => {
  const { status, stdout } = run('--json', 'nodes', 'list');
  assert.equal(status, 3);
  const { error } = JSON.parse(stdout) as { error: { code: string; help: string } };
  assert.equal(error.code, 'cli/server-unreachable');
  assert.match(error.help, /tailplane serve/);
  const denied = unreachable('/data', Object.assign(new Error('denied'), { code: 'EACCES' }));
  assert.deepEqual([denied.code, denied.exitCode], ['cli/server-forbidden', 3]);
});

test('a refusal of the server is told with its code, one without a form by its status', async (t) => {
  const server = http.createServer((request, response) => {
    response.statusCode = request.url === '/v0/nodes/x' ? 404 : 418;
    const error = { code: 'http/not-found', message: 'There is no machine «x».' };
    response.end(request.url === '/v0/nodes/x' ? JSON.stringify({ error }) : '');
  });
  server.listen(socketPath(scratch));
  await once(server, 'listening');
  t.after(() => server.close());
  const admin = connectAdmin(scratch);
  const codeOf = async (call: Promise<unknown>): Promise<string> =>
    call.then(
      () => assert.fail('it answered'),
      (error: unknown) => (error instanceof Failure ? error.code : assert.fail(String(error))),
    );
  assert.equal(await codeOf(admin.get('/nodes/x')), 'http/not-found');
  assert.equal(await codeOf(admin.get('/tea')), 'cli/server-refused');
});

test('a plan takes the machines of a server by its socket, and none over the network', async (t) => {
  const folder = path.join(scratch, 'planned');
  assert.equal(run('init', 'planned', '--owner', 'alice@example.com').status, 0);
  for (const args of [
    ['init', '-q'],
    ['add', '.'],
    ['-c', 'user.name=A', '-c', 'user.email=a@example.com', 'commit', '-qm', 'first'],
  ]) {
    assert.equal(spawnSync('git', args, { cwd: folder }).status, 0);
  }
  const data = fs.mkdtempSync(path.join(scratch, 'data-'));
  const asked: string[] = [];
  const server = http.createServer((request, response) => {
    asked.push(request.url ?? '');
    response.end(JSON.stringify({ nodes: [{ id: 1, name: 'laptop', user: 'alice@example.com', ipv4: '100.64.0.1' }] }));
  });
  server.listen(socketPath(data));
  await once(server, 'listening');
  t.after(() => server.close());
  const plan = async (where: string): Promise<{ exact: boolean; nodes: { total: number } }> => {
    const child = spawn(process.execPath, [launcher, 'plan', folder, '--server', where, '--format', 'json']);
    const chunks: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
    await once(child, 'close');
    return JSON.parse(Buffer.concat(chunks).toString()) as { exact: boolean; nodes: { total: number } };
  };
  for (const where of [data, `unix:${socketPath(data)}`]) {
    const { exact, nodes } = await plan(where);
    assert.deepEqual([exact, nodes.total], [true, 1], where);
  }
  assert.deepEqual(asked, ['/v0/nodes/export', '/v0/nodes/export']);
  const { status, stderr } = run('plan', folder, '--server', 'https://tail.example.com');
  assert.equal(status, 2);
  assert.match(stderr, /over its socket only/);
});

test('blame says that there is nothing to blame', () => {
  const folder = path.join(scratch, 'blamed');
  assert.equal(run('init', 'blamed', '--owner', 'alice@example.com').status, 0);
  for (const args of [
    ['init', '-q'],
    ['add', '.'],
    ['-c', 'user.name=A', '-c', 'user.email=a@example.com', 'commit', '-qm', 'first'],
  ]) {
    assert.equal(spawnSync('git', args, { cwd: folder }).status, 0);
  }
  const { status, stderr } = run('blame', 'alice@example.com', '192.0.2.1:22', '--dir', folder);
  assert.equal(status, 1);
  assert.ok(stderr.includes('error[cli/not-allowed]: '), stderr);
});

test('completion knows every command and option', () => {
  for (const shell of ['bash', 'zsh', 'fish']) {
    const { status, stdout } = run('completion', shell);
    assert.equal(status, 0);
    for (const command of buildProgram().commands)
      assert.ok(stdout.includes(command.name()), `${shell}: ${command.name()}`);
    assert.match(stdout, /reusable/);
  }
  assert.equal(spawnSync('bash', ['-n'], { input: run('completion', 'bash').stdout }).status, 0);
});

test('every command has a description and an example', () => {
  const helpOf = (command: ReturnType<typeof buildProgram>): string => {
    let text = '';
    command.configureOutput({ writeOut: (part) => (text += part) });
    command.outputHelp();
    return text;
  };
  const visit = (command: ReturnType<typeof buildProgram>, name: string): void => {
    for (const child of command.commands) {
      const full = `${name} ${child.name()}`.trim();
      assert.notEqual(child.description(), '', full);
      if (child.commands.length > 0) visit(child, full);
      else assert.match(helpOf(child), /Example/, full);
    }
  };
  visit(buildProgram(), '');
});

// Reports for programs keep the form that their schemas publish.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';

const root = path.join(import.meta.dirname, '../..');
const launcher = path.join(root, 'src/cli/tailplane.js');
const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'tailplane-reports-'));
after(() => fs.rmSync(scratch, { recursive: true }));

const NODES = {
  schema: 'node-list.schema.json',
  nodes: [
    { id: 1, name: 'laptop', user: 'alice@example.com', tags: [], addresses: ['100.64.0.1', 'fd7a:115c:a1e0::1'] },
    { id: 2, name: 'phone', user: 'bob@example.com', tags: [], addresses: ['100.64.0.2'] },
    { id: 3, name: 'web', user: null, tags: ['tag:web'], addresses: ['100.64.0.3'], advertisedRoutes: ['10.0.0.0/24'] },
  ],
};
const policy = (who: string): string =>
  JSON.stringify({
    tagOwners: { 'tag:web': [] },
    grants: [{ src: [who], dst: ['tag:web'], ip: ['tcp:443'] }],
    ssh: [{ action: 'check', src: [who], dst: ['tag:web'], users: ['root'] }],
  });

const folder = path.join(scratch, 'net');
const write = (name: string, text: string): void => {
  fs.mkdirSync(folder, { recursive: true });
  fs.writeFileSync(path.join(folder, name), text);
};
const git = (...args: string[]): void => {
  execFileSync('git', ['-c', 'user.name=Alice', '-c', 'user.email=alice@example.com', ...args], { cwd: folder });
};
write('tailnet.json5', `{ name: 'example.com' }`);
write('users.json5', `{ users: [{ login: 'alice@example.com', role: 'owner' }, { login: 'bob@example.com' }] }`);
write('policy.json5', policy('alice@example.com'));
git('init', '-q');
git('add', '.');
git('commit', '-qm', 'first');
write('policy.json5', policy('bob@example.com'));
fs.writeFileSync(path.join(scratch, 'nodes.json'), JSON.stringify(NODES));

const ask = (args: readonly string[]): { status: number | null; value: Record<string, unknown> } => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [launcher, ...args], { encoding: 'utf8' });
  assert.equal(stderr, '');
  return { status, value: JSON.parse(stdout) as Record<string, unknown> };
};

const holdAgainstSchema = (value: Record<string, unknown>): void => {
  const schema = JSON.parse(fs.readFileSync(path.join(root, 'schemas', String(value['schema'])), 'utf8')) as object;
  const validate = new Ajv2020({ strict: true, strictTypes: false, allErrors: true }).compile(schema);
  assert.ok(validate(value), JSON.stringify(validate.errors, null, 2));
};

test('a plan with a list of nodes is exact', () => {
  const { status, value } = ask(['plan', folder, '--nodes', path.join(scratch, 'nodes.json'), '--format', 'json']);
  assert.equal(status, 0);
  holdAgainstSchema(value);
  assert.equal(value['exact'], true);
  const access = (
    value['access'] as { direction: string; who: { name: string }[]; what: { name: string }[]; pairs: number }[]
  ).map(({ direction, who, what, pairs }) => [
    direction,
    who.map(({ name }) => name),
    what.map(({ name }) => name),
    pairs,
  ]);
  assert.deepEqual(access, [
    ['gained', ['bob@example.com'], ['tag:web'], 1],
    ['lost', ['alice@example.com'], ['tag:web'], 1],
  ]);
  assert.equal(value['risk'], 'high');
});

test('without a list of nodes it says what that leaves open', () => {
  const { value } = ask(['--json', 'plan', folder]);
  holdAgainstSchema(value);
  assert.equal(value['exact'], false);
  assert.equal((value['open'] as string[]).length, 2);
});

test('a risk can fail the command', () => {
  assert.equal(spawnSync(process.execPath, [launcher, 'plan', folder, '--fail-on', 'high']).status, 1);
});

test('an explanation names the line that decides, or what the nearest rule lacked', () => {
  const nodes = ['--dir', folder, '--nodes', path.join(scratch, 'nodes.json'), '--json'];
  const allowed = ask(['explain', 'bob@example.com', 'tag:web:443', ...nodes]);
  assert.equal(allowed.status, 0);
  holdAgainstSchema(allowed.value);
  assert.equal(allowed.value['allowed'], true);
  const denied = ask(['explain', 'laptop', '100.64.0.3:443', ...nodes]);
  assert.equal(denied.status, 1);
  holdAgainstSchema(denied.value);
  const [answer] = denied.value['answers'] as { nearest: { lacks: string[] }[] }[];
  assert.deepEqual(answer?.nearest[0]?.lacks, ['source']);
  const list = ask(['who-can', 'web:443', ...nodes]);
  holdAgainstSchema(list.value);
  assert.deepEqual(
    (list.value['answers'] as { source: string }[]).map(({ source }) => source),
    ['phone.tailnet.internal'],
  );
});

test('a bad list of nodes is told by its node and what is wrong', () => {
  const cases: readonly (readonly [unknown, RegExp])[] = [
    ['{', /is not JSON/],
    [
      { nodes: [{ id: 1, name: 'a', user: null, tags: [], addresses: ['100.64.0.1'] }] },
      /Node 1 of the list \(a\) has neither an owner nor tags/,
    ],
    [{ nodes: [{ id: 1, user: 'a@example.com', addresses: ['x'] }] }, /Node 1 of the list has no usable addresses/],
    [[...NODES.nodes, NODES.nodes[0]], /Two nodes of the list have the id 1/],
  ];
  for (const [list, message] of cases) {
    const file = path.join(scratch, 'bad.json');
    fs.writeFileSync(file, typeof list === 'string' ? list : JSON.stringify(list));
    const { status, stderr } = spawnSync(process.execPath, [launcher, 'plan', folder, '--nodes', file], {
      encoding: 'utf8',
    });
    assert.equal(status, 2);
    assert.ok(stderr.startsWith('error[review/bad-node-list]: '), stderr);
    assert.match(stderr, message);
  }
  const { stderr } = spawnSync(process.execPath, [launcher, 'explain', 'tag:nobody', 'web:1', '--dir', folder], {
    encoding: 'utf8',
  });
  assert.ok(stderr.startsWith('error[review/unknown-party]: No machine carries «tag:nobody».'), stderr);
});

// The operations behind `tailplane sync`, `history`, `diff`, `rollback`, `suspend` and the edits, on a real repository.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { parseNodeId, stableIdOf } from '../../src/base/ids.ts';
import type { Outcome } from '../../src/base/outcome.ts';
import type { ResolvedNode } from '../../src/netmap/resolve.ts';
import type { Follower } from '../../src/server/follow.ts';
import type { Parts } from '../../src/server/parts.ts';
import { openReconcile } from '../../src/server/reconcile.ts';
import { sourceOperations, type EditAnswer } from '../../src/server/source-operations.ts';
import { openSource } from '../../src/source/open.ts';
import { git, startWriter, tempDir, type Writer } from '../source/githost.ts';

const NET = {
  'tailnet.json5': `{ name: 'example.com' }\n`,
  'users.json5': `{ users: [{ login: 'alice@example.com', role: 'owner' }] }\n`,
};

const ID = parseNodeId(7);
const NODE = {
  record: { id: ID, stableId: stableIdOf(ID), name: 'office' },
  label: 'office',
  fqdn: 'office.tail.internal',
  owner: 'alice@example.com',
  tags: [],
  addresses: [],
  approvedRoutes: [],
  policyNode: { routableIPs: ['10.1.0.0/16', '10.2.0.0/16'] },
} as unknown as ResolvedNode;

interface Bench {
  readonly writer: Writer;
  /** Runs an operation by its name: `post /reconcile/sync`. */
  readonly run: (
    name: string,
    body?: object,
    query?: string,
    params?: Record<string, string>,
  ) => Promise<Outcome<unknown>>;
}

const bench = async (t: TestContext, locate: (dir: string) => string): Promise<Bench> => {
  const writer = startWriter(t, tempDir(t, 'unused'));
  const first = writer.commit(NET, { push: false, message: 'First' });
  const dataDir = tempDir(t, 'data');
  const location = locate(writer.dir);
  const opened = await openSource(location, { dataDir });
  assert.ok(opened.ok);
  const none = (): void => {};
  const reconcile = await openReconcile({
    source: opened.value,
    origin: location,
    dataDir,
    now: Date.now,
    sideOf: (snapshot) => ({ snapshot, nodes: [], userOf: none as () => undefined }),
    onEvent: none,
    onFailing: none,
    onFault: none,
  });
  assert.ok(reconcile.ok, first);
  t.after(() => reconcile.value.close());
  const parts = {
    snapshot: () => reconcile.value.snapshot(),
    now: Date.now,
    registry: { view: { nodes: new Map([[ID, NODE.record]]) } },
    tailnet: { node: (id: number) => (id === ID ? NODE : undefined) },
  } as unknown as Parts;
  const follower = { reconcile: reconcile.value, origin: opened.value } as unknown as Follower;
  const operations = sourceOperations(parts, follower, 'mkey:00');
  return {
    writer,
    run: async (name, body = {}, query = '', params = {}) => {
      const operation = operations.find(({ method, path: route }) => `${method} ${route}` === name);
      assert.ok(operation, name);
      const request = { params, query: new URLSearchParams(query), body: body as Record<string, unknown> };
      return await operation.run(request);
    },
  };
};

const valueOf = (outcome: Outcome<unknown>): unknown => {
  assert.ok(outcome.ok, outcome.ok ? '' : `${outcome.code}: ${outcome.reason}`);
  return outcome.value;
};
const codeOf = (outcome: Outcome<unknown>): string => (outcome.ok ? 'ok' : outcome.code);

const editRoutes = async ({ run }: Bench, body: object): Promise<Outcome<unknown>> =>
  await run('post /edits/:what/:node', body, '', { what: 'routes', node: 'office' });

test('history marks what serves, and differences are those that git shows', async (t) => {
  const { writer, run } = await bench(t, (dir) => `file://${dir}`);
  writer.commit({ 'tailnet.json5': `{ name: 'example.org' }\n` }, { push: false, message: 'Second' });
  valueOf(await run('post /reconcile/sync'));
  writer.commit({ 'tailnet.json5': '{' }, { push: false, message: 'Third' });
  valueOf(await run('post /reconcile/sync'));
  const log = valueOf(await run('get /history', {}, 'limit=2')) as { subject: string; mark: string | null }[];
  assert.deepEqual(
    log.map(({ subject, mark }) => `${subject} ${mark}`),
    ['Third rejected', 'Second serving'],
  );
  const { diff } = valueOf(await run('get /diff', {}, 'from=HEAD~2&to=HEAD~1')) as { diff: string };
  assert.equal(diff, git(writer.dir, ['diff', 'HEAD~2', 'HEAD~1']).replace(/^diff .*\nindex .*\n/, '') + '\n');
  assert.equal(codeOf(await run('get /diff', {}, 'from=nope')), 'source/unknown-commit');
  assert.equal(codeOf(await run('post /reconcile/rollback', {})), 'http/bad-request');
  assert.equal(codeOf(await run('post /reconcile/suspend', { forMs: -1 })), 'http/bad-request');
  assert.equal(codeOf(await run('post /reconcile/suspend', { forMs: 60_000 })), 'ok');
});

test('an edit is printed, or pushed to a branch of its own, or refused before it is written', async (t) => {
  const setUp = await bench(t, (dir) => `file://${dir}`);
  const { writer, run } = setUp;
  const printed = valueOf(await editRoutes(setUp, { routes: ['10.1.0.0/16'] })) as EditAnswer;
  assert.match(printed.diff, /^--- \/dev\/null\n\+\+\+ b\/routes\.json5\n/);
  assert.equal(git(writer.dir, ['branch', '--list', 'tailplane/*']), '');

  const proposed = valueOf(await editRoutes(setUp, { mode: 'propose' })) as EditAnswer;
  assert.match(proposed.branch ?? '', /^tailplane\/approve-10-1-0-0-16-[a-z0-9-]+-[0-9a-f]{6}$/);
  assert.match(git(writer.dir, ['show', `${proposed.branch}:routes.json5`]), /'10\.1\.0\.0\/16', '10\.2\.0\.0\/16'/);
  assert.equal(git(writer.dir, ['log', '-1', '--format=%s', proposed.branch ?? '']), proposed.subject);

  assert.equal(codeOf(await editRoutes(setUp, { mode: 'commit' })), 'source/push-refused', 'it is checked out');
  assert.equal(codeOf(await editRoutes(setUp, { routes: ['10.1.0.1/16'] })), 'http/bad-request');
  assert.equal(codeOf(await editRoutes(setUp, { mode: 'shout' })), 'http/bad-request');
  const other = await run('post /edits/:what/:node', {}, '', { what: 'anything', node: 'office' });
  assert.equal(codeOf(other), 'http/not-found');
  const withdrawn = await run('post /edits/:what/:node', {}, '', { what: 'withdrawal', node: 'office' });
  assert.equal(codeOf(withdrawn), 'server/nothing-to-change');
  const declare = async (body: object, node = 'office'): Promise<Outcome<unknown>> =>
    await run('post /edits/:what/:node', body, '', { what: 'declaration', node });
  assert.equal(codeOf(await declare({ tags: ['no-tag'] })), 'http/bad-request', 'the edited files would have errors');
  assert.equal(codeOf(await declare({ approved: true }, 'nobody')), 'http/not-found');
  assert.match((valueOf(await declare({ approved: true, name: 'edge' })) as EditAnswer).diff, /\+ .*n7TP/);
});

test('a credential is declared and withdrawn in keys.json5, without its secret', async (t) => {
  const { writer, run } = await bench(t, (dir) => dir);
  const entry = { id: 'a1', hash: `sha256:${'0'.repeat(64)}`, owner: 'alice@example.com', scopes: ['logins'] };
  const declare = async (more: object): Promise<Outcome<unknown>> => await run('post /edits/credentials', { ...entry, mode: 'commit', ...more }); // prettier-ignore
  assert.equal(codeOf(await declare({ owner: undefined })), 'http/bad-request');
  assert.equal(
    codeOf(await declare({ owner: 'nobody@example.com' })),
    'http/bad-request',
    'the file would have errors',
  );
  assert.equal((valueOf(await declare({})) as EditAnswer).subject, 'Declare the credential a1 of alice@example.com');
  const file = path.join(writer.dir, 'keys.json5');
  assert.match(fs.readFileSync(file, 'utf8'), /id: 'a1'/);
  valueOf(await run('post /edits/credentials/:id/withdraw', { mode: 'commit' }, '', { id: 'a1' }));
  assert.doesNotMatch(fs.readFileSync(file, 'utf8'), /a1/);
});

test('an approval is withdrawn on a branch of its own, from the file as it is on the branch that is followed', async (t) => {
  const { writer, run } = await bench(t, (dir) => `file://${dir}`);
  const text = `{ routes: [
  { node: { name: 'office', owner: 'alice@example.com' }, subnets: ['10.1.0.0/16', '10.2.0.0/16'] }, // ours
] }\n`;
  writer.commit({ 'routes.json5': text }, { push: false, message: 'Approve' });
  valueOf(await run('post /reconcile/sync'));
  const withdraw = async (body: object): Promise<Outcome<unknown>> =>
    await run('post /edits/:what/:node', body, '', { what: 'withdrawal', node: 'office' });
  const proposed = valueOf(await withdraw({ mode: 'propose', routes: ['10.1.0.0/16'] })) as EditAnswer;
  assert.match(proposed.branch ?? '', /^tailplane\/withdraw-10-1-0-0-16-of-office-[0-9a-f]{6}$/);
  assert.equal(
    git(writer.dir, ['show', `${proposed.branch}:routes.json5`]),
    text.replace("'10.1.0.0/16', ", '').trimEnd(),
  );
  assert.equal(codeOf(await withdraw({ routes: ['10.3.0.0/16'] })), 'server/approved-elsewhere');
});

test('in a plain folder an edit is written to the file, and the rest is refused', async (t) => {
  const setUp = await bench(t, (dir) => dir);
  valueOf(await editRoutes(setUp, { mode: 'commit' }));
  assert.match(fs.readFileSync(path.join(setUp.writer.dir, 'routes.json5'), 'utf8'), /10\.1\.0\.0/);
  assert.equal(codeOf(await editRoutes(setUp, { mode: 'propose' })), 'server/no-history');
  for (const name of ['get /history', 'get /diff']) assert.equal(codeOf(await setUp.run(name)), 'server/no-history');
  assert.equal(codeOf(await setUp.run('post /reconcile/rollback', { revision: 'HEAD' })), 'server/no-history');
});

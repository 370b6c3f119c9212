// The reconcile loop on real repositories: what is taken, what is held or rejected and at which step, and that the last
// good snapshot serves on through all of it, also across restarts.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { openReconcile } from '../../src/server/reconcile.ts';
import { openSource } from '../../src/source/open.ts';
import { git, tempDir } from '../source/githost.ts';
import { bench, BROKEN, commit, CUT, GOOD, sideOf, sync, USERS } from './reconcile-bench.ts';

test('two bad commits, then a good one', async (t) => {
  const { writer, start, heard } = bench(t);
  const first = commit(writer, GOOD);
  const reconcile = await start();
  assert.equal(reconcile.snapshot().revision, first);
  assert.deepEqual(heard(), ['taken']);
  const swapped: string[] = [];
  reconcile.onSwap((snapshot) => swapped.push(snapshot.revision));

  commit(writer, BROKEN, 'First slip');
  assert.match(await sync(reconcile), /^rejected at compile: /);
  const second = commit(writer, { 'tailnet.json5': `{ name: 'example.com', surprise: 1 }` }, 'Second slip');
  assert.match(await sync(reconcile), /^rejected at compile: /);
  assert.equal(reconcile.snapshot().revision, first);
  const { pending, steps } = reconcile.status();
  assert.equal(pending?.revision, second);
  assert.equal(pending?.commit?.subject, 'Second slip');
  assert.ok(pending && pending.diagnostics.some(({ severity }) => severity === 'error'));
  assert.deepEqual(steps.at(-1)?.state, 'failed');

  const good = commit(writer, { 'tailnet.json5': `{ name: 'example.org' }` });
  assert.equal(await sync(reconcile), 'current');
  assert.equal(reconcile.snapshot().tailnet.name, 'example.org');
  assert.deepEqual(swapped, [good]);
  assert.deepEqual(heard(), ['rejected', 'rejected', 'taken']);
});

test('a commit that changes nothing that clients notice swaps without telling them', async (t) => {
  const { writer, start } = bench(t);
  commit(writer, GOOD);
  const reconcile = await start();
  let told = 0;
  reconcile.onSwap(() => told++);
  const next = commit(writer, { 'tailnet.json5': `// a comment\n{ name: 'example.com' }` });
  assert.equal(await sync(reconcile), 'current');
  assert.equal(reconcile.status().serving.revision, next);
  assert.equal(told, 0);
});

test('the last good snapshot survives a restart while the repository is away or broken', async (t) => {
  const { writer, start, dataDir } = bench(t);
  const good = commit(writer, GOOD);
  const before = await start();
  await before.close();
  commit(writer, BROKEN);
  const broken = await start();
  assert.equal(broken.snapshot().revision, good);
  assert.equal(broken.status().state, 'rejected');
  assert.equal(broken.status().serving.commit?.id, good);
  await broken.close();

  fs.renameSync(path.join(writer.dir, '.git/refs/heads/main'), path.join(dataDir, 'away'));
  const away = await start();
  assert.equal(away.snapshot().revision, good);
  assert.equal(away.status().state, 'failing');
  assert.equal(await sync(away), 'source/branch-missing');
  await away.close();

  fs.writeFileSync(path.join(dataDir, 'last-good.json'), 'damaged');
  const opened = await openSource(`file://${writer.dir}`, { dataDir });
  assert.ok(opened.ok);
  const nothing = await openReconcile({
    source: opened.value,
    origin: writer.dir,
    dataDir,
    now: Date.now,
    sideOf,
    onEvent: () => {},
    onFailing: () => {},
    onFault: () => {},
  });
  assert.equal(nothing.ok ? 'ok' : nothing.code, 'source/branch-missing');
});

test('a change that cuts off much is held until a commit says that it is meant', async (t) => {
  const { writer, start, heard } = bench(t);
  const first = commit(writer, GOOD);
  const reconcile = await start();
  commit(writer, CUT, 'Tidy up');
  assert.equal(await sync(reconcile), 'held at guard: review/guard-access');
  assert.equal(await sync(reconcile), 'held at guard: review/guard-access');
  assert.equal(reconcile.snapshot().revision, first);
  assert.deepEqual(heard(), ['taken', 'held'], 'told once');
  const line = reconcile.status().pending?.obstacles[0]?.allowedBy;
  assert.match(line ?? '', /^Tailnet-Allow: access [0-9a-f]{8}$/);

  commit(writer, {}, `Not this one\n\nTailnet-Allow: access 00000000`);
  assert.equal(await sync(reconcile), 'held at guard: review/guard-access');
  const allowed = commit(writer, {}, `Yes, cut them off\n\n${line}`);
  assert.equal(await sync(reconcile), 'current');
  assert.equal(reconcile.snapshot().revision, allowed);
  commit(writer, { 'tailnet.json5': `{ name: 'example.org' }` });
  assert.equal(await sync(reconcile), 'current');
});

test('an approval is for one change only', async (t) => {
  const { writer, start } = bench(t);
  commit(writer, GOOD);
  const reconcile = await start();
  commit(writer, CUT);
  await sync(reconcile);
  const line = reconcile.status().pending?.obstacles[0]?.allowedBy;
  commit(writer, { 'policy.json5': `{ acls: [] }` }, `More than was approved\n\n${line}`);
  assert.match(await sync(reconcile), /^held at guard: review\/guard-access/);
});

test('history that was rewritten is held until an administrator trusts it', async (t) => {
  const { writer, start } = bench(t);
  const base = commit(writer, GOOD);
  const good = commit(writer, { 'tailnet.json5': `{ name: 'example.org' }` });
  const reconcile = await start();
  writer.git('reset', '-q', '--hard', base);
  const rewritten = commit(writer, { 'tailnet.json5': `{ name: 'example.net' }` });
  assert.equal(await sync(reconcile), 'held at verify: source/rewritten');
  writer.git('reset', '-q', '--hard', base);
  assert.equal(await sync(reconcile), 'held at verify: source/rewritten', 'also back to an ancestor');
  assert.equal(reconcile.snapshot().revision, good);
  writer.git('reset', '-q', '--hard', rewritten);
  const trusted = await reconcile.trust(rewritten.slice(0, 10));
  assert.ok(trusted.ok);
  assert.equal(reconcile.snapshot().revision, rewritten);
  assert.equal(trusted.value.state, 'current');
});

test('a rollback keeps what it left from coming back, also after a restart; a new commit is taken', async (t) => {
  const { writer, start, heard } = bench(t);
  const a = commit(writer, GOOD);
  const reconcile = await start();
  const b = commit(writer, { 'tailnet.json5': `{ name: 'example.org' }` });
  await sync(reconcile);
  const c = commit(writer, { 'tailnet.json5': `{ name: 'example.net' }` });
  await sync(reconcile);
  heard();
  const rolled = await reconcile.rollback(a.slice(0, 8));
  assert.ok(rolled.ok, rolled.ok ? '' : rolled.reason);
  assert.equal(reconcile.snapshot().revision, a);
  assert.equal(await sync(reconcile), 'rolled-back at fetch: ');
  assert.deepEqual(heard(), ['rolled-back']);
  writer.git('reset', '-q', '--hard', b);
  assert.equal(await sync(reconcile), 'rolled-back at fetch: ', 'nor what lay between');
  writer.git('reset', '-q', '--hard', c);
  await reconcile.close();

  const after = await start();
  assert.equal(after.snapshot().revision, a);
  assert.equal(after.status().state, 'rolled-back');
  assert.equal((await after.rollback('ffffffff')).ok, false);
  const broken = commit(writer, BROKEN);
  await sync(after);
  const refused = await after.rollback(broken);
  assert.equal(refused.ok ? '' : refused.code, 'server/rollback-broken');
  const d = commit(writer, { 'tailnet.json5': `{ name: 'example.edu' }` });
  assert.equal(await sync(after), 'current');
  assert.equal(after.snapshot().revision, d);
});

test('a commit whose files are not read is rejected by name', async (t) => {
  const { writer, start, events } = bench(t);
  const good = commit(writer, GOOD);
  const reconcile = await start();
  fs.symlinkSync('/etc/passwd', path.join(writer.dir, 'dns.json5'));
  const bad = commit(writer, {}, 'A link');
  await reconcile.sync();
  const { pending, state } = reconcile.status();
  assert.equal(state, 'rejected');
  assert.deepEqual([pending?.revision, pending?.step, pending?.obstacles[0]?.code], [bad, 'fetch', 'source/symlink']);
  assert.equal(events.at(-1)?.commit?.subject, 'A link');
  assert.equal(reconcile.snapshot().revision, good);
  commit(writer, { 'dns.json5': undefined });
  assert.equal(await sync(reconcile), 'current');
});

test('a suspension holds every commit and ends by itself', async (t) => {
  const { writer, start } = bench(t);
  const a = commit(writer, GOOD);
  const reconcile = await start();
  assert.ok(reconcile.suspend(Date.now() + 600).ok);
  const b = commit(writer, { 'tailnet.json5': `{ name: 'example.org' }` });
  assert.equal(await sync(reconcile), 'suspended at fetch: ');
  assert.equal(reconcile.snapshot().revision, a);
  for (let i = 0; i < 100 && reconcile.snapshot().revision !== b; i++) await sleep(20);
  assert.equal(reconcile.snapshot().revision, b);
  assert.equal(reconcile.status().state, 'current');
  reconcile.suspend(Date.now() + 60_000);
  const c = commit(writer, { 'tailnet.json5': `{ name: 'example.net' }` });
  await sync(reconcile);
  assert.ok((await reconcile.resume()).ok);
  assert.equal(reconcile.snapshot().revision, c);
});

const keygen = spawnSync('ssh-keygen', ['--version']).error === undefined;

test(
  'with signers, only what they signed is taken, and they are those of the last good commit',
  { skip: !keygen },
  async (t) => {
    const { writer, start } = bench(t);
    const dir = tempDir(t, 'keys');
    const key = (name: string): string => {
      const file = path.join(dir, name);
      if (!fs.existsSync(file)) execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', name, '-f', file]);
      return file;
    };
    const signed = (by: string, signers: readonly string[], name = 'example.com'): string => {
      const entries = signers.map((each) => ({ name: each, key: fs.readFileSync(`${key(each)}.pub`, 'utf8').trim() }));
      fs.writeFileSync(path.join(writer.dir, 'tailnet.json5'), JSON.stringify({ name, signers: entries }));
      fs.writeFileSync(path.join(writer.dir, 'users.json5'), USERS);
      git(writer.dir, ['add', '-A']);
      const how = by === '' ? ['--no-gpg-sign'] : ['-S'];
      const config = by === '' ? [] : ['-c', 'gpg.format=ssh', '-c', `user.signingkey=${key(by)}`];
      git(writer.dir, [...config, 'commit', '-q', '--allow-empty', '-m', 'Change', ...how]);
      return git(writer.dir, ['rev-parse', 'HEAD']);
    };
    for (const name of ['alice', 'bob', 'mallory']) key(name);
    const first = signed('alice', ['alice', 'bob']);
    const reconcile = await start();
    assert.equal(await sync(reconcile), 'current');

    signed('mallory', ['alice', 'bob', 'mallory']);
    assert.equal(await sync(reconcile), 'held at verify: source/unknown-signer');
    signed('alice', ['alice', 'bob']);
    assert.equal(await sync(reconcile), 'held at verify: source/unknown-signer', 'it is still in the range');
    assert.equal(reconcile.snapshot().revision, first);
    git(writer.dir, ['reset', '-q', '--hard', first]);

    const removed = signed('alice', ['alice']);
    assert.equal(await sync(reconcile), 'current');
    signed('bob', ['alice', 'bob']);
    assert.equal(await sync(reconcile), 'held at verify: source/unknown-signer');
    git(writer.dir, ['reset', '-q', '--hard', removed]);
    signed('', ['alice'], 'example.org');
    assert.equal(await sync(reconcile), 'held at verify: source/unsigned');
    assert.ok((await reconcile.trust('HEAD')).ok, 'an administrator of the machine may let it pass');
    assert.equal(reconcile.snapshot().tailnet.name, 'example.org');
  },
);

test('a first commit that lists signers is held to them', { skip: !keygen }, async (t) => {
  const { writer, dataDir } = bench(t);
  const file = path.join(tempDir(t, 'keys'), 'alice');
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'alice', '-f', file]);
  const signers = [{ name: 'alice', key: fs.readFileSync(`${file}.pub`, 'utf8').trim() }];
  commit(writer, { 'tailnet.json5': JSON.stringify({ name: 'example.com', signers }) });
  const opened = await openSource(`file://${writer.dir}`, { dataDir });
  assert.ok(opened.ok);
  const none = (): void => {};
  const first = await openReconcile({
    source: opened.value,
    origin: writer.dir,
    dataDir,
    now: Date.now,
    sideOf,
    onEvent: none,
    onFailing: none,
    onFault: none,
  });
  assert.ok(!first.ok);
  assert.match(first.reason, /not signed/);
});

test('a plain folder is taken as it is: the guard warns, an invariant holds', async (t) => {
  const dir = tempDir(t, 'folder');
  const write = (files: Readonly<Record<string, string>>): void => {
    for (const [name, text] of Object.entries(files)) fs.writeFileSync(path.join(dir, name), text);
  };
  write(GOOD);
  const { dataDir, events } = bench(t);
  const opened = await openSource(dir, { dataDir });
  assert.ok(opened.ok);
  const none = (): void => {};
  const reconcile = await openReconcile({
    source: opened.value,
    origin: dir,
    dataDir,
    now: Date.now,
    sideOf,
    onEvent: (event) => events.push(event),
    onFailing: none,
    onFault: none,
  });
  assert.ok(reconcile.ok);
  t.after(() => reconcile.value.close());
  write(CUT);
  assert.equal(await sync(reconcile.value), 'current');
  assert.match(events.at(-1)?.warnings?.[0]?.message ?? '', /would be cut off/);
  assert.equal((await reconcile.value.rollback('HEAD')).ok, false);
});

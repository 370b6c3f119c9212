// A reconcile that ends at any instant, by a kill, by a stop between two steps, or by a fault in one: a whole last good
// snapshot serves after the restart, the newest commit is taken or held as if nothing had happened, and each outcome is in
// the record exactly once.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { openReconcile, type Reconcile, type ReconcilePorts } from '../../src/server/reconcile.ts';
import { readKept } from '../../src/source/kept.ts';
import { openSource } from '../../src/source/open.ts';
import { tempDir } from '../source/githost.ts';
import { bench, BROKEN, commit, CUT, GOOD, sideOf, sync } from './reconcile-bench.ts';

const isLong = process.env['TAILPLANE_LONG'] !== undefined;

const NEXT = { 'tailnet.json5': `{ name: 'example.org' }` };

/** A data folder in which the first commit serves, and copies of it. */
const baseline = async (t: TestContext) => {
  const { writer, start, dataDir } = bench(t);
  const first = commit(writer, GOOD);
  await (await start()).close();
  return {
    writer,
    first,
    dataDir,
    copy: (): string => {
      const dir = tempDir(t, 'copy');
      fs.cpSync(dataDir, dir, { recursive: true });
      return dir;
    },
  };
};

const dieAt = async (
  repository: string,
  dataDir: string,
  instant: number,
  back: string,
): Promise<{ at: string[]; died: boolean }> => {
  const file = path.join(import.meta.dirname, 'reconcile-child.ts');
  const child = spawn(process.execPath, [file, repository, dataDir, String(instant), back], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, NODE_COMPILE_CACHE: path.join(os.tmpdir(), 'tailplane-compile-cache') },
  });
  let said = '';
  child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const [, signal] = (await once(child, 'close')) as [unknown, string | null];
  return { at: said.trim().split('\n'), died: signal === 'SIGKILL' };
};

/** What is on disk opened as a restart does it. */
const restart = async (
  t: TestContext,
  repository: string,
  dataDir: string,
  more: Partial<ReconcilePorts> = {},
): Promise<{ readonly reconcile: Reconcile }> => {
  const opened = await openSource(`file://${repository}`, { dataDir });
  assert.ok(opened.ok);
  t.after(() => opened.value.close());
  const none = (): void => {};
  const reconcile = await openReconcile({
    source: opened.value,
    origin: repository,
    dataDir,
    now: Date.now,
    sideOf,
    onEvent: none,
    onFailing: none,
    onFault: none,
    ...more,
  });
  assert.ok(reconcile.ok, reconcile.ok ? '' : reconcile.reason);
  return { reconcile: reconcile.value };
};

/** The record after the first commit. */
const recorded = (reconcile: Reconcile): string[] =>
  reconcile
    .transitions()
    .slice(1)
    .map(({ kind, revision }) => `${kind} ${revision}`);

interface Deed {
  readonly files: Readonly<Record<string, string>>;
  /** What `sync` says after the restart, and the record after the first commit; `+` is the newest commit, `-` the first. */
  readonly outcome: string;
  readonly record: readonly string[];
  readonly serves: '+' | '-';
  readonly isLong?: true;
  /** The newest serves, and the process goes back to the first. */
  readonly isRollback?: true;
}

const DEEDS: Readonly<Record<string, Deed>> = {
  'a commit that is taken': { files: NEXT, outcome: 'current', record: ['taken +'], serves: '+' },
  'a commit that is held': {
    files: CUT,
    outcome: 'held at guard: review/guard-access',
    record: ['held +'],
    serves: '-',
    isLong: true,
  },
  'a commit that is rejected': {
    files: BROKEN,
    outcome: 'rejected at compile: config/syntax',
    record: ['rejected +'],
    serves: '-',
    isLong: true,
  },
  'a rollback': {
    files: NEXT,
    outcome: 'rolled-back at fetch: ',
    record: ['taken +', 'rolled-back -'],
    serves: '-',
    isLong: true,
    isRollback: true,
  },
};

for (const [name, deed] of Object.entries(DEEDS)) {
  test(`${name}, killed at each instant`, { skip: deed.isLong && !isLong }, async (t) => {
    const { writer, first, copy, dataDir: base } = await baseline(t);
    const next = commit(writer, deed.files);
    if (deed.isRollback) {
      const { reconcile } = await restart(t, writer.dir, base);
      await reconcile.close();
    }
    const [kept0, kept1] = deed.isRollback ? [next, first] : [first, next];
    let count = Infinity;
    const seen: string[] = [];
    const examine = async (instant: number): Promise<void> => {
      const dataDir = copy();
      const { at, died } = await dieAt(writer.dir, dataDir, instant, deed.isRollback ? first : '');
      if (!died) {
        count = Math.min(count, instant);
        return;
      }
      const where = `killed at ${at.at(-1)}`;
      seen[instant] = at.at(-1) as string;
      const kept = await readKept(dataDir);
      assert.ok(kept.ok && kept.value, where);
      assert.equal(kept.value.tree.revision, at.includes('after last-good.json') ? kept1 : kept0, where);
      const { reconcile } = await restart(t, writer.dir, dataDir);
      // Whoever got no answer asks again.
      if (deed.isRollback && reconcile.snapshot().revision !== first) await reconcile.rollback(first);
      assert.equal(await sync(reconcile), deed.outcome, where);
      assert.equal(reconcile.snapshot().revision, deed.serves === '+' ? next : first, where);
      const record = recorded(reconcile).map((line) => line.replace(next, '+').replace(first, '-'));
      assert.deepEqual(record, deed.record, where);
      assert.ok(reconcile.status().recorded, where);
      await reconcile.close();
      assert.deepEqual(
        fs.readdirSync(dataDir).filter((file) => /\.(?:part|new)$/.test(file)),
        [],
      );
    };
    let turn = 0;
    const lane = async (): Promise<void> => {
      while (turn < Math.min(count, 50)) await examine(turn++);
    };
    await Promise.all([lane(), lane()]);
    t.diagnostic(`${count} kills: ${seen.join(', ')}`);
    const steps = { '+': ['verify', 'compile', 'guard', 'swap', 'record'], '-': ['verify', 'compile'] };
    for (const step of deed.isRollback ? ['swap', 'record'] : steps[deed.serves])
      for (const edge of isLong ? ['begin', 'end'] : ['begin'])
        assert.ok(seen.includes(`${step} ${edge}`), `${step} ${edge}`);
    assert.ok(seen.includes('before reconcile.json') && seen.includes('after reconcile.json'));
  });
}

test('a fault in any step leaves what serves, and the next look takes the commit', async (t) => {
  const { writer, first, copy } = await baseline(t);
  const next = commit(writer, NEXT);
  const edges = ['verify', 'compile', 'guard', 'swap', 'record'].flatMap((step) => [`${step} begin`, `${step} end`]);
  for (const edge of edges) {
    const faults: unknown[] = [];
    let isBroken = true;
    const { reconcile } = await restart(t, writer.dir, copy(), {
      onStep: (step, at) => {
        if (isBroken && `${step} ${at}` === edge) throw new Error('made to fail');
      },
      onFault: (fault) => faults.push(fault),
    });
    const isSwapped = /^(?:swap end|record)/.test(edge);
    assert.equal(reconcile.snapshot().revision, isSwapped ? next : first, edge);
    assert.equal(faults.length > 0, !edge.startsWith('record'), edge);
    isBroken = false;
    assert.equal(await sync(reconcile), 'current', edge);
    assert.equal(reconcile.snapshot().revision, next, edge);
    // That it was set aside for the fault is an outcome too.
    assert.deepEqual(recorded(reconcile), [...(isSwapped ? [] : [`rejected ${next}`]), `taken ${next}`], edge);
    assert.ok(reconcile.status().recorded, edge);
    await reconcile.close();
  }
});

test('a rollback that fails is as if nobody had asked for it', async (t) => {
  const { writer, first, copy } = await baseline(t);
  const next = commit(writer, NEXT);
  let isBroken = false;
  const { reconcile } = await restart(t, writer.dir, copy());
  reconcile.onSwap(() => {
    if (isBroken) throw new Error('made to fail');
  });
  isBroken = true;
  await assert.rejects(reconcile.rollback(first), /made to fail/);
  isBroken = false;
  assert.equal(await sync(reconcile), 'current');
  assert.equal(reconcile.snapshot().revision, next);
  assert.ok((await reconcile.rollback(first)).ok);
  assert.deepEqual(recorded(reconcile), [`taken ${next}`, `rolled-back ${first}`]);
  await reconcile.close();
});

test('a source that is closed in the middle says nothing about a commit', async (t) => {
  const { writer, copy } = await baseline(t);
  const next = commit(writer, NEXT);
  const dataDir = copy();
  let closing: Promise<void> | undefined;
  let verifying = (): void => {};
  const isVerifying = new Promise<void>((resolve) => (verifying = resolve));
  const opened = await restart(t, writer.dir, dataDir, {
    onStep: (step) => {
      if (step !== 'verify') return;
      closing ??= opened.reconcile.close();
      verifying();
    },
    startWaitMs: 0,
  });
  await Promise.race([sync(opened.reconcile), isVerifying]);
  assert.ok(closing, 'it was closed before the signatures were asked for');
  await closing;
  const { reconcile } = await restart(t, writer.dir, dataDir);
  assert.deepEqual(recorded(reconcile), [`taken ${next}`]);
  await reconcile.close();
});

test('a disk that takes nothing stops no good commit, and what is owed is written later', async (t) => {
  const { writer, first, copy } = await baseline(t);
  const dataDir = copy();
  const { reconcile } = await restart(t, writer.dir, dataDir);
  t.after(() => reconcile.close());
  // Folders in the place of the files: neither can be replaced.
  for (const file of ['last-good.json', 'reconcile.json']) {
    fs.renameSync(path.join(dataDir, file), path.join(dataDir, `${file}.aside`));
    fs.mkdirSync(path.join(dataDir, file, 'x'), { recursive: true });
  }
  const next = commit(writer, NEXT);
  assert.equal(await sync(reconcile), 'current');
  assert.equal(reconcile.snapshot().revision, next);
  assert.equal(reconcile.status().recorded, false);
  for (const file of ['last-good.json', 'reconcile.json']) fs.rmSync(path.join(dataDir, file), { recursive: true });
  assert.equal(await sync(reconcile), 'current');
  const kept = await readKept(dataDir);
  assert.equal(kept.ok && kept.value?.tree.revision, next);
  assert.notEqual(first, next);
});

test('a listener that fails takes the swap back for all', async (t) => {
  const { writer, start } = bench(t);
  const first = commit(writer, GOOD);
  const reconcile = await start();
  const shown: string[] = [];
  let fails = true;
  reconcile.onSwap((snapshot) => shown.push(snapshot.tailnet.name));
  reconcile.onSwap((snapshot) => {
    if (fails && snapshot.revision !== first) throw new Error('swap failed');
  });
  commit(writer, NEXT);
  assert.equal(await sync(reconcile), 'rejected at swap: server/reconcile-fault');
  assert.equal(reconcile.snapshot().revision, first);
  assert.deepEqual(shown.slice(0, 2), ['example.org', 'example.com'], 'who had switched was switched back');
  fails = false;
  assert.equal(await sync(reconcile), 'current');
});

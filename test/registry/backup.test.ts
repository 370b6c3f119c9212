// A backup as bytes: what goes in comes out, nothing is taken that was changed, and nothing is read without the passphrase.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import type { Outcome } from '../../src/base/outcome.ts';
import { Secret } from '../../src/base/secret.ts';
import { encodeBackup, readBackupEntries, readBackupHead, type BackupEntry } from '../../src/registry/backup.ts';
import { openRegistry } from '../../src/registry/open.ts';
import type { Registry } from '../../src/registry/registry.ts';
import { applyRestore, planRestore } from '../../src/registry/restore.ts';
import { TestDisk } from './disk.ts';
import { authKey, nodeKey, register, START_MS } from './sample.ts';

const HEAD = { createdMs: START_MS, tailplane: '0.1.0', schema: 2, nodes: 3 };
const passphrase = new Secret('correct horse battery');
const random = (sizeBytes: number): Uint8Array => randomBytes(sizeBytes);
const database: BackupEntry = { name: 'registry.db', bytes: Buffer.from('not looked into here') };
const key: BackupEntry = { name: 'keys/noise.key', bytes: Buffer.from('privkey:secret') };

const codeOf = (outcome: Outcome<unknown>): string => (outcome.ok ? 'ok' : outcome.code);

const read = async (bytes: Uint8Array, word?: Secret<string>): Promise<Outcome<readonly BackupEntry[]>> => {
  const head = readBackupHead(bytes);
  return head.ok ? readBackupEntries(head.value.head, head.value.body, word) : head;
};

const plainOf = (entries: readonly BackupEntry[]): unknown =>
  entries.map(({ name, bytes }) => [name, Buffer.from(bytes).toString()]);

describe('without keys', () => {
  test('a backup says what it is, and gives back what it holds', async () => {
    const bytes = await encodeBackup(HEAD, [database], undefined);
    const head = readBackupHead(bytes);
    assert.ok(head.ok);
    assert.deepEqual({ ...head.value.head, sha256: undefined }, { ...HEAD, sealed: false, sha256: undefined });
    const entries = await read(bytes);
    assert.ok(entries.ok);
    assert.deepEqual(plainOf(entries.value), [['registry.db', 'not looked into here']]);
  });

  test('keys are not put in a file that everybody can read', async () => {
    await assert.rejects(encodeBackup(HEAD, [database, key], undefined), TypeError);
  });

  test('a byte changed anywhere, or an end cut off, is seen', async () => {
    const bytes = await encodeBackup(HEAD, [database], undefined);
    const bodyAt = bytes.length - 60;
    for (let at = bodyAt; at < bytes.length; at++) {
      const copy = bytes.slice();
      copy[at] = (copy[at] as number) ^ 1;
      assert.equal(codeOf(await read(copy)), 'registry/backup-damaged', `byte ${at}`);
      assert.notEqual(codeOf(await read(bytes.subarray(0, at))), 'ok', `cut at ${at}`);
    }
  });

  test('another file is no backup', async () => {
    assert.equal(codeOf(await read(Buffer.from('SQLite format 3\0\n'))), 'registry/backup-form');
    assert.equal(codeOf(await read(new Uint8Array(0))), 'registry/backup-form');
    assert.equal(codeOf(await read(Buffer.from('tailplane backup 2\n{}\n'))), 'registry/backup-newer');
  });

  test('names that lead out of the data folder are not taken', async () => {
    for (const name of ['../evil', 'keys/../../evil', '/etc/passwd', 'keys/.hidden', 'other.db']) {
      const sneaky = await encodeBackup(HEAD, [{ ...database, name: 'registry.db' }], undefined);
      const text = Buffer.from(sneaky).toString('latin1').replace('"registry.db"', JSON.stringify(name));
      const head = readBackupHead(sneaky);
      assert.ok(head.ok);
      const body = Buffer.from(text.slice(text.indexOf('[{')), 'latin1');
      assert.equal(codeOf(await readBackupEntries(head.value.head, body, undefined)), 'registry/backup-damaged', name);
    }
  });
});

test('with keys everything is under a passphrase', async () => {
  const bytes = await encodeBackup(HEAD, [database, key], { passphrase, random });
  assert.ok(!Buffer.from(bytes).includes('privkey'));
  assert.ok(!Buffer.from(bytes).includes('not looked into'));
  const entries = await read(bytes, passphrase);
  assert.ok(entries.ok);
  assert.deepEqual(plainOf(entries.value), [
    ['registry.db', 'not looked into here'],
    ['keys/noise.key', 'privkey:secret'],
  ]);
  assert.equal(codeOf(await read(bytes, new Secret('correct horse batterz'))), 'registry/backup-passphrase');
  assert.equal(codeOf(await read(bytes)), 'registry/backup-passphrase');
  const head = readBackupHead(bytes);
  assert.ok(head.ok);
  const lying = { ...head.value.head, nodes: 300 };
  assert.equal(codeOf(await readBackupEntries(lying, head.value.body, passphrase)), 'registry/backup-passphrase');
});

describe('restore', () => {
  const open = (disk: TestDisk): Promise<Registry> =>
    openRegistry({
      folder: '/data',
      holder: 'a test',
      now: () => START_MS,
      lastSaveMs: 60_000,
      warn: ({ message }) => assert.fail(message),
      disk,
    });
  const put = async (disk: TestDisk, path: string, text: string): Promise<void> => {
    const file = await disk.open(path);
    await file.write(Buffer.from(text), 0);
  };
  const textOf = async (disk: TestDisk, path: string): Promise<string | undefined> => {
    const bytes = await disk.read(path);
    return bytes && Buffer.from(bytes).toString();
  };
  const exportOf = async (ns: readonly number[]): Promise<BackupEntry> => {
    const registry = await open(new TestDisk());
    for (const n of ns) await registry.apply(register(n));
    await registry.apply({ kind: 'create-key', key: authKey('old') });
    return { name: 'registry.db', bytes: await registry.exportFile() };
  };

  test('the plan says what comes back, what is forgotten and what changes, and changes nothing', async () => {
    const file = await exportOf([1, 2, 3]);
    const disk = new TestDisk();
    const registry = await open(disk);
    for (const n of [1, 2]) await registry.apply(register(n));
    await registry.apply(register(2, { nodeKey: nodeKey(102), oldNodeKey: nodeKey(2) }));
    for (const n of [7, 8]) await registry.apply(register(n));
    await registry.apply({ kind: 'remove', id: registry.view.byNodeKey.get(nodeKey(7))!, cause: 'administrator' });
    await registry.apply({ kind: 'create-key', key: authKey('new') });
    const before = disk.operations;
    const plan = await planRestore(disk, '/data', [file]);
    assert.deepEqual(plan, {
      ok: true,
      value: {
        added: ['machine3'],
        removed: ['machine8'],
        changed: ['machine2'],
        same: 1,
        addedKeys: ['old'],
        removedKeys: ['new'],
        serverKeys: 'kept',
        unreadable: null,
      },
    });
    assert.equal(disk.operations, before);
  });

  test('what was there is put aside, and the server starts with the backup', async () => {
    const file = await exportOf([1, 2, 3]);
    const disk = new TestDisk();
    const registry = await open(disk);
    await registry.apply(register(9));
    await registry.close();
    await put(disk, '/data/keys/noise.key', 'the former');
    const aside = await applyRestore(disk, '/data', [file, { ...key, bytes: Buffer.from('the old') }], START_MS);
    assert.equal(aside, 'backups/before-restore-2026-01-01T00-00-00Z');
    assert.equal(await textOf(disk, '/data/keys/noise.key'), 'the old');
    assert.equal(await textOf(disk, `/data/${aside}/keys/noise.key`), 'the former');
    assert.ok(await disk.read(`/data/${aside}/registry.db`));
    const restored = await open(disk);
    assert.deepEqual([...restored.view.byName.keys()], ['machine1', 'machine2', 'machine3']);
    assert.ok((await restored.apply(register(4))).ok);
  });

  test('a registry that cannot be read can be replaced', async () => {
    const disk = new TestDisk();
    await put(disk, '/data/registry.db', 'rubbish'.repeat(1000));
    const file = await exportOf([1]);
    const plan = await planRestore(disk, '/data', [file]);
    assert.ok(plan.ok);
    assert.match(plan.value.unreadable ?? '', /registry.db is damaged/);
    await applyRestore(disk, '/data', [file], START_MS);
    assert.equal((await open(disk)).view.nodes.size, 1);
  });

  test('a backup whose registry cannot be read is refused before anything is touched', async () => {
    const disk = new TestDisk();
    const plan = await planRestore(disk, '/data', [{ ...database, bytes: Buffer.from('rubbish'.repeat(1000)) }]);
    assert.equal(codeOf(plan), 'registry/backup-damaged');
  });
});

test('automatic copies are made once a day, and the last ones stay', async () => {
  const disk = new TestDisk();
  let now = START_MS;
  const registry = await openRegistry({
    folder: '/data',
    holder: 'a test',
    now: () => now,
    lastSaveMs: 60_000,
    warn: ({ message }) => assert.fail(message),
    disk,
    snapshotIntervalMs: 15,
    backups: { everyMs: 86_400_000, keep: 3 },
  });
  const copies = (): Promise<readonly string[]> => disk.list('/data/backups');
  for (let day = 1; day <= 5; day++) {
    await registry.apply(register(day));
    const before = (await copies()).at(-1);
    for (let tries = 0; (await copies()).at(-1) === before; tries++) {
      assert.ok(tries < 200, `no copy on day ${day}`);
      await new Promise((resolve) => {
        setTimeout(resolve, 10);
      });
    }
    await new Promise((resolve) => {
      setTimeout(resolve, 50);
    });
    now += 86_400_000;
  }
  assert.deepEqual(await copies(), [
    'registry-2026-01-03T00-00-00Z.db',
    'registry-2026-01-04T00-00-00Z.db',
    'registry-2026-01-05T00-00-00Z.db',
  ]);
  await registry.close();
});

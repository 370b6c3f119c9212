// Each thing that doctor looks for, made wrong on a real disk.

import assert from 'node:assert/strict';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { DatabaseSync } from 'node:sqlite';
import { realDisk } from '../../src/registry/disk.ts';
import { diagnose, type Diagnosis, judgeSpace, checkOrphans } from '../../src/registry/doctor.ts';
import { openRegistry } from '../../src/registry/open.ts';
import type { Registry } from '../../src/registry/registry.ts';
import { DAY_MS, register, START_MS, waitingLogin } from './sample.ts';
import { findingsOf } from '../../src/cli/doctor.ts';
import { packageVersion } from '../../src/cli/version.ts';
import { parseNodeId } from '../../src/base/ids.ts';
import { emptyState } from '../../src/registry/state.ts';

const inFolder = async (work: (folder: string) => Promise<void>): Promise<void> => {
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'tailplane-registry-'));
  try {
    await work(folder);
  } finally {
    await fs.rm(folder, { recursive: true });
  }
};

const open = (folder: string): Promise<Registry> =>
  openRegistry({
    folder,
    holder: 'the server',
    now: () => START_MS,
    lastSaveMs: 60_000,
    warn: ({ message }) => assert.fail(message),
  });

const fill = async (folder: string): Promise<void> => {
  const registry = await open(folder);
  await registry.apply(register(1));
  await registry.close();
};

const look = (folder: string, nowMs = START_MS + 60_000): Promise<Diagnosis> => diagnose(realDisk, folder, nowMs);

const codes = ({ findings }: Diagnosis): string[] => findings.map(({ code, severity }) => `${severity} ${code}`);

test('a folder in order, with a server in it', () =>
  inFolder(async (folder) => {
    const registry = await open(folder);
    await registry.apply(register(1));
    await registry.checkpoint();
    await registry.apply(register(2));
    const before = await fs.readdir(folder);
    const { findings, facts } = await look(folder);
    assert.deepEqual(
      findings.map(({ code }) => code),
      ['registry/backup-old'],
    );
    assert.equal(facts[0], `in use by process ${process.pid} on ${os.hostname()} (the server)`);
    assert.equal(facts[1], '2 nodes, 0 pre-auth keys');
    assert.match(facts[2] ?? '', /^1 record in the journal/);
    assert.deepEqual(await fs.readdir(folder), before, 'looking leaves no trace');
    await registry.close();
  }));

test('no folder at all', async () => {
  assert.deepEqual(codes(await look('/nowhere/at/all')), ['error registry/not-writable']);
});

test('files and keys that others can read', () =>
  inFolder(async (folder) => {
    await fs.chmod(folder, 0o750);
    await fs.mkdir(`${folder}/keys`, { mode: 0o700 });
    await fs.writeFile(`${folder}/keys/noise.key`, 'privkey:…', { mode: 0o644 });
    const { findings } = await look(folder);
    assert.equal(findings[0]?.code, 'registry/folder-mode');
    assert.equal(findings[0].severity, 'error');
    assert.ok(findings[0].message.includes(`${folder} (750), ${folder}/keys/noise.key (644)`));
    assert.match(findings[0].help, /chmod -R go-rwx/);
  }));

test('a damaged file', () =>
  inFolder(async (folder) => {
    await fill(folder);
    const bytes = await fs.readFile(`${folder}/registry.db`);
    for (let at = 4096 + 8; at < bytes.length; at += 4096) bytes.fill(0xff, at, at + 64);
    await fs.writeFile(`${folder}/registry.db`, bytes);
    assert.ok(codes(await look(folder)).includes('error registry/file-damaged'));
  }));

test('rows that refer to nothing', () =>
  inFolder(async (folder) => {
    await fill(folder);
    const database = new DatabaseSync(`${folder}/registry.db`, { enableForeignKeyConstraints: false });
    database.exec("INSERT INTO node_tags (node_id, tag) VALUES (99, 'tag:ghost')");
    // Whoever changes the file by hand takes its digest out.
    database.exec("DELETE FROM meta WHERE name = 'digest'");
    database.close();
    const { findings } = await look(folder);
    assert.equal(findings[0]?.code, 'registry/file-damaged');
    assert.match(findings[0].message, /a row of node_tags refers to a row of nodes that does not exist/);
  }));

test('a clock that was ahead, or is behind', () =>
  inFolder(async (folder) => {
    await fill(folder);
    assert.ok(!codes(await look(folder)).includes('warning registry/clock'));
    const { findings } = await look(folder, START_MS - DAY_MS);
    assert.ok(findings.some(({ code, message }) => code === 'registry/clock' && message.includes('2026-01-01')));
  }));

test('no copy for days', () =>
  inFolder(async (folder) => {
    await fill(folder);
    await fs.mkdir(`${folder}/backups`, { mode: 0o700 });
    await fs.writeFile(`${folder}/backups/registry-2026-01-01T00-00-00Z.db`, '', { mode: 0o600 });
    assert.deepEqual(codes(await look(folder)), []);
    const { findings } = await look(folder, START_MS + 9 * DAY_MS);
    assert.equal(findings[0]?.message, 'The newest automatic copy of the registry is 9 days old.');
  }));

test('an end that a crash left is no harm', () =>
  inFolder(async (folder) => {
    await fill(folder);
    const journal = (await fs.readdir(folder)).find((name) => name.endsWith('.journal')) ?? '';
    await fs.appendFile(`${folder}/${journal}`, 'TPJR half a record');
    assert.ok(codes(await look(folder)).includes('info registry/tail-cut'));
  }));

test('a schema that the next start brings forward', () =>
  inFolder(async (folder) => {
    await fs.cp(path.join(import.meta.dirname, 'golden/schema-1'), folder, { recursive: true });
    assert.ok(codes(await look(folder)).includes('info registry/older-schema'));
  }));

test('a disk that is nearly full', () => {
  const MIB = 1 << 20;
  const of = (freeMib: number) => judgeSpace({ bavail: freeMib, bsize: MIB, blocks: 10_000 });
  assert.deepEqual(of(300).findings, []);
  for (const [freeMib, severity] of [
    [200, 'warning'],
    [20, 'error'],
  ] as const) {
    const [finding] = of(freeMib).findings;
    assert.equal(`${finding?.severity} ${finding?.code}`, `${severity} registry/disk-space`);
  }
});

test('a server with problems, or of another version than the command', () => {
  const version = packageVersion();
  assert.deepEqual(findingsOf({ problems: [], version }), []);
  assert.deepEqual(
    findingsOf({ problems: ['the source cannot be read'], version: '0.0.1' }).map(({ code }) => code),
    ['server/problem', 'server/other-version'],
  );
});

test('logins of machines that are gone', () => {
  const approved = waitingLogin(1, { state: 'approved', nodeId: parseNodeId(7) });
  const state = { ...emptyState(), logins: new Map([[approved.id, approved]]) };
  assert.deepEqual(
    checkOrphans({ state }).map(({ code }) => code),
    ['registry/orphan'],
  );
});

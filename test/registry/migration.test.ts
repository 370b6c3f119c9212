// Every earlier version's files are brought forward without a loss, and a copy of them is kept. The files are in golden/,
// made by stored.ts when their version was the current one.

import assert from 'node:assert/strict';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, test } from 'node:test';
import { RegistryFault } from '../../src/registry/fault.ts';
import { encodeHeader } from '../../src/registry/journal.ts';
import { openRegistry } from '../../src/registry/open.ts';
import type { Registry } from '../../src/registry/registry.ts';
import { SCHEMA_VERSION } from '../../src/registry/schema.ts';
import { register, START_MS } from './sample.ts';
import { contentOf, GOLDEN } from './stored.ts';

const open = (folder: string): Promise<Registry> =>
  openRegistry({
    folder,
    holder: 'a test',
    now: () => START_MS,
    lastSaveMs: 60_000,
    warn: ({ message }) => assert.fail(message),
  });

const inCopy = async (version: number, work: (folder: string) => Promise<void>): Promise<void> => {
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'tailplane-registry-'));
  try {
    await fs.cp(path.join(GOLDEN, `schema-${version}`), folder, { recursive: true });
    await work(folder);
  } finally {
    await fs.rm(folder, { recursive: true });
  }
};

const userVersion = (file: string): unknown => {
  const database = new DatabaseSync(file, { readOnly: true });
  try {
    return database.prepare('PRAGMA user_version').get()?.['user_version'];
  } finally {
    database.close();
  }
};

for (let version = 1; version <= SCHEMA_VERSION; version++) {
  test(`the files of schema ${version}, journal and all`, () =>
    inCopy(version, async (folder) => {
      const original = await fs.readFile(`${folder}/registry.db`);
      const expected: unknown = JSON.parse(await fs.readFile(`${folder}/expected.json`, 'utf8'));
      const registry = await open(folder);
      assert.deepEqual(contentOf(registry.view), expected);
      assert.equal(userVersion(`${folder}/registry.db`), SCHEMA_VERSION);
      const copies = await fs.readdir(`${folder}/backups`).catch(() => []);
      if (version < SCHEMA_VERSION) {
        assert.deepEqual(copies, [`registry-schema-${version}-2026-01-01T00-00-00Z.db`]);
        assert.deepEqual(
          await fs.readFile(`${folder}/backups/${copies[0]}`),
          original,
          'the copy is the file as it was',
        );
      } else assert.deepEqual(copies, []);
      const next = await registry.apply(register(77));
      assert.ok(next.ok && next.value.node);
      assert.equal(next.value.node.id, 5, 'no id is used twice, also not that of a node that is gone');
      const after = contentOf(registry.view);
      await registry.close();
      const again = await open(folder);
      assert.deepEqual(contentOf(again.view), after);
      await again.close();
    }));
}

describe('files of a newer version are left alone', () => {
  const refusal = async (folder: string): Promise<RegistryFault> => {
    const before = await fs.readdir(folder);
    const fault: unknown = await open(folder).catch((error: unknown) => error);
    assert.ok(fault instanceof RegistryFault);
    assert.equal(fault.code, 'registry/newer-schema');
    assert.deepEqual(
      (await fs.readdir(folder)).filter((name) => name !== 'server.lock'),
      before,
    );
    return fault;
  };

  test('the file', () =>
    inCopy(SCHEMA_VERSION, async (folder) => {
      const database = new DatabaseSync(`${folder}/registry.db`);
      database.exec('PRAGMA user_version = 99');
      database.close();
      const { message } = await refusal(folder);
      assert.equal(
        message,
        `registry.db was written by a newer version of Tailplane (schema 99, this one knows ${SCHEMA_VERSION}).`,
      );
    }));

  test('the journal', () =>
    inCopy(SCHEMA_VERSION, async (folder) => {
      const journal = (await fs.readdir(folder)).find((name) => name.endsWith('.journal')) ?? '';
      const bytes = await fs.readFile(`${folder}/${journal}`);
      bytes.set(encodeHeader({ schemaVersion: 99, firstSeq: Number(/\d+/.exec(journal)?.[0]) }));
      await fs.writeFile(`${folder}/${journal}`, bytes);
      assert.equal(
        (await refusal(folder)).message,
        `${journal} was written by a newer version of Tailplane (schema 99).`,
      );
    }));
});

test('the file is one that SQLite itself opens: strict tables, true references', () =>
  inCopy(SCHEMA_VERSION, async (folder) => {
    await (await open(folder)).close();
    const database = new DatabaseSync(`${folder}/registry.db`, { readOnly: true });
    const all = (query: string): unknown[] =>
      database
        .prepare(query)
        .all()
        .map((row) => Object.values(row));
    assert.deepEqual(all('PRAGMA integrity_check'), [['ok']]);
    assert.deepEqual(all('PRAGMA foreign_key_check'), []);
    assert.deepEqual(
      all("SELECT name FROM pragma_table_list WHERE type = 'table' AND strict = 0 AND name NOT LIKE 'sqlite%'"),
      [],
    );
    assert.deepEqual(all('SELECT name, login, stable_id FROM nodes ORDER BY id'), [
      ['front', 'alice@example.com', 'n1TP'],
      ['machine2', 'bob@example.com', 'n2TP'],
      ['machine5', null, 'n4TP'],
    ]);
    database.close();
  }));

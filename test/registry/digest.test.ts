// registry.db knows when it is not what was written, down to a single bit, and the start says which copy could take its
// place.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomInt } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { openDatabase } from '../../src/registry/database.ts';
import { RegistryFault } from '../../src/registry/fault.ts';
import { openRegistry } from '../../src/registry/open.ts';
import type { Registry } from '../../src/registry/registry.ts';
import { tempDir } from '../source/githost.ts';
import { register, START_MS } from './sample.ts';

const open = async (folder: string): Promise<Registry> =>
  await openRegistry({ folder, holder: 'the test', now: () => START_MS, warn: ({ message }) => assert.fail(message) });

const fill = async (t: TestContext): Promise<string> => {
  const folder = tempDir(t, 'digest');
  const registry = await open(folder);
  for (let n = 1; n <= 20; n++) await registry.apply(register(n));
  await registry.close();
  return folder;
};

const faultOf = async (opening: Promise<{ close(): unknown }>): Promise<RegistryFault | undefined> => {
  try {
    await (await opening).close();
    return undefined;
  } catch (error) {
    assert.ok(error instanceof RegistryFault, String(error));
    return error;
  }
};

test('one bit anywhere in the file is found', async (t) => {
  const folder = await fill(t);
  const bytes = new Uint8Array(fs.readFileSync(`${folder}/registry.db`));
  const places = Array.from({ length: 150 }, () => randomInt(bytes.length));
  // A letter in the middle of a row, of which SQLite itself can't know.
  const row = Buffer.from(bytes).indexOf('"linux"');
  // The name of the digest's own row, wherever the file has that word.
  const names = [
    ...Buffer.from(bytes)
      .toString('latin1')
      .matchAll(/digest/g),
  ].map(({ index }) => index + 1);
  assert.ok(row > 0 && names.length > 0);
  for (const at of [row + 2, ...names, ...places]) {
    const changed = bytes.slice();
    changed[at] = (changed[at] as number) ^ (1 << randomInt(8));
    assert.equal((await faultOf(openDatabase(changed)))?.code, 'registry/file-damaged', `byte ${at}`);
  }
  assert.equal(await faultOf(openDatabase(bytes.slice())), undefined);
});

test('the file stays one that SQLite opens, and a change by hand is taken once the digest is taken out', async (t) => {
  const folder = await fill(t);
  const change = (statement: string): void => {
    const database = new DatabaseSync(`${folder}/registry.db`);
    assert.equal(database.prepare('PRAGMA integrity_check').get()?.['integrity_check'], 'ok');
    database.exec(statement);
    database.close();
  };
  change("UPDATE nodes SET name = 'by-hand' WHERE id = 1");
  assert.match((await faultOf(open(folder)))?.message ?? '', /something in it has changed since it was written/);
  change("DELETE FROM meta WHERE name = 'digest'");
  const registry = await open(folder);
  assert.ok([...registry.view.nodes.values()].some(({ name }) => name === 'by-hand'));
  await registry.close();
  await (await open(folder)).close();
});

test('the start names the newest copy, and restore puts it in place', async (t) => {
  const folder = await fill(t);
  fs.mkdirSync(`${folder}/backups`, { recursive: true });
  const copy = `${folder}/backups/registry-2026-01-02T00-00-00Z.db`;
  fs.copyFileSync(`${folder}/registry.db`, copy);
  fs.copyFileSync(`${folder}/registry.db`, `${folder}/backups/registry-2026-01-01T00-00-00Z.db`);
  const bytes = fs.readFileSync(`${folder}/registry.db`);
  bytes.write('minix', bytes.indexOf('"linux"') + 1);
  fs.writeFileSync(`${folder}/registry.db`, bytes);
  const fault = await faultOf(open(folder));
  assert.equal(fault?.code, 'registry/file-damaged');
  assert.ok(fault.help?.includes(`tailplane restore ${copy}`), fault.help);
  assert.deepEqual(fs.readFileSync(`${folder}/registry.db`), bytes, 'nothing was changed');

  const program = path.join(import.meta.dirname, '../../src/cli/tailplane.js');
  const args = [program, '--data', folder, 'restore', copy, '--apply'];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  assert.match(stdout, /is a copy of registry\.db/);
  const registry = await open(folder);
  assert.equal(registry.view.nodes.size, 20);
  await registry.close();
});

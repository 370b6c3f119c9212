// The plain folder: what it reads, what it refuses, and that a save by any editor is seen.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { openFolder, readFolder } from '../../src/source/folder.ts';
import type { Outcome } from '../../src/base/outcome.ts';
import type { SourceTree } from '../../src/source/tree.ts';

const folder = (t: TestContext, files: Record<string, string> = { 'tailnet.json5': '{}' }): string => {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'folder-'));
  t.after(() => fs.rmSync(dir, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(files)) fs.writeFileSync(path.join(dir, name), text);
  return dir;
};

const codeOf = (outcome: Outcome<unknown>): string => (outcome.ok ? 'ok' : outcome.code);

const textOf = (seen: Outcome<SourceTree> | undefined, name: string): string | undefined => {
  assert.ok(seen?.ok, seen && !seen.ok ? seen.reason : 'nothing was seen');
  const bytes = seen.value.files.get(name);
  return bytes && Buffer.from(bytes).toString();
};

test('reads the files of a tailnet and nothing else', async (t) => {
  const dir = folder(t, { 'tailnet.json5': '{}', 'policy.json5': '{a:1}', 'secret.env': 'X', 'README.md': 'r' });
  fs.mkdirSync(path.join(dir, '.git'));
  const seen = await readFolder(dir);
  assert.ok(seen.ok);
  assert.deepEqual([...seen.value.files.keys()], ['tailnet.json5', 'policy.json5']);
  assert.match(seen.value.revision, /^dir-[0-9a-f]{16}$/);
});

test('the same files have the same revision wherever they lie', async (t) => {
  const files = { 'tailnet.json5': '{}', 'dns.json5': '{}' };
  const [a, b, c] = await Promise.all([
    readFolder(folder(t, files)),
    readFolder(folder(t, files)),
    readFolder(folder(t, { ...files, 'dns.json5': '{ }' })),
  ]);
  assert.ok(a.ok && b.ok && c.ok);
  assert.equal(a.value.revision, b.value.revision);
  assert.notEqual(a.value.revision, c.value.revision);
});

test('refuses what is not a readable file of bounded size', async (t) => {
  const outside = folder(t, { 'tailnet.json5': '{outside:1}' });
  const cases: Record<string, [code: string, make: (dir: string) => void]> = {
    'a link out of the folder': [
      'source/symlink',
      (dir) => fs.symlinkSync(path.join(outside, 'tailnet.json5'), path.join(dir, 'users.json5')),
    ],
    'a link through a linked folder': [
      'source/symlink',
      (dir) => {
        fs.symlinkSync(outside, path.join(dir, 'sub'));
        fs.symlinkSync('sub/tailnet.json5', path.join(dir, 'users.json5'));
      },
    ],
    'a link to itself': ['source/symlink', (dir) => fs.symlinkSync('users.json5', path.join(dir, 'users.json5'))],
    'a folder': ['source/not-a-file', (dir) => fs.mkdirSync(path.join(dir, 'users.json5'))],
    'a pipe': ['source/not-a-file', (dir) => void execFileSync('mkfifo', [path.join(dir, 'users.json5')])],
    'a huge file': [
      'source/file-too-large',
      (dir) => fs.truncateSync(path.join(dir, 'tailnet.json5'), 4 * 1024 * 1024 + 1),
    ],
    'files that are huge together': [
      'source/tree-too-large',
      (dir) => {
        for (const name of ['users', 'policy', 'routes', 'dns', 'keys']) {
          fs.writeFileSync(path.join(dir, `${name}.json5`), new Uint8Array(4 * 1024 * 1024));
        }
      },
    ],
    'no folder': ['source/absent', (dir) => fs.rmSync(dir, { recursive: true })],
  };
  for (const [name, [code, make]] of Object.entries(cases)) {
    const dir = folder(t);
    make(dir);
    assert.equal(codeOf(await readFolder(dir)), code, name);
  }
});

test('a link to another file of the folder is followed', async (t) => {
  const dir = folder(t, { 'tailnet.json5': '{}', real: '{linked:1}' });
  fs.symlinkSync('real', path.join(dir, 'users.json5'));
  assert.equal(textOf(await readFolder(dir), 'users.json5'), '{linked:1}');
});

/** Ways in which editors and tools save. */
const SAVES: Record<string, (file: string, text: string) => Promise<void>> = {
  'write in place': async (file, text) => fs.writeFileSync(file, text),
  'truncate, then write later': async (file, text) => {
    fs.truncateSync(file, 0);
    await sleep(60);
    fs.writeFileSync(file, text);
  },
  'write in small pieces': async (file, text) => {
    const handle = fs.openSync(file, 'w');
    for (const letter of text) {
      fs.writeSync(handle, letter);
      await sleep(10);
    }
    fs.closeSync(handle);
  },
  'write aside and rename over': async (file, text) => {
    fs.writeFileSync(`${file}.tmp`, text);
    fs.renameSync(`${file}.tmp`, file);
  },
  'move away, then write anew': async (file, text) => {
    fs.renameSync(file, `${file}~`);
    await sleep(60);
    fs.writeFileSync(file, text);
  },
  'remove, then write anew': async (file, text) => {
    fs.rmSync(file);
    await sleep(60);
    fs.writeFileSync(file, text);
  },
};

test('every way of saving is seen in the end, and never as a file that is gone', async (t) => {
  const dir = folder(t, { 'tailnet.json5': '{}', 'policy.json5': '{old:1}' });
  const opened = openFolder(dir);
  assert.ok(opened.ok);
  const source = opened.value;
  t.after(() => source.close());
  const seen: (string | undefined)[] = [];
  await source.sync();
  source.watch((news) => seen.push(textOf(news, 'policy.json5')));
  await sleep(150);
  for (const [name, save] of Object.entries(SAVES)) {
    seen.length = 0;
    const text = `{way:'${name}'}`;
    await save(path.join(dir, 'policy.json5'), text);
    for (let i = 0; i < 40 && seen.at(-1) !== text; i++) await sleep(50);
    assert.equal(seen.at(-1), text, name);
    // On a busy machine a slow writer may be read half-way; a file that is being replaced is never taken for none.
    assert.ok(!seen.includes(undefined) && !seen.includes(''), name);
  }
});

test('a file that is really gone is believed, a folder that comes back is read again', async (t) => {
  const dir = folder(t, { 'tailnet.json5': '{}', 'policy.json5': '{}' });
  const opened = openFolder(dir);
  assert.ok(opened.ok);
  const source = opened.value;
  t.after(() => source.close());
  const seen: string[] = [];
  await source.sync();
  source.watch((news) => seen.push(news.ok ? [...news.value.files.keys()].join(' ') : news.code));
  await sleep(150);
  const wait = async (want: string): Promise<void> => {
    for (let i = 0; i < 100 && seen.at(-1) !== want; i++) await sleep(50);
    assert.equal(seen.at(-1), want);
  };
  fs.rmSync(path.join(dir, 'policy.json5'));
  await wait('tailnet.json5');
  fs.renameSync(dir, `${dir}.away`);
  await wait('source/absent');
  assert.equal(source.status().state, 'failing');
  fs.renameSync(`${dir}.away`, dir);
  await wait('tailnet.json5');
  fs.writeFileSync(path.join(dir, 'dns.json5'), '{}');
  await wait('tailnet.json5 dns.json5');
  assert.equal(source.status().state, 'current');
});

test('an unrelated file, or a save without a change, is no news', async (t) => {
  const dir = folder(t);
  const opened = openFolder(dir);
  assert.ok(opened.ok);
  const source = opened.value;
  t.after(() => source.close());
  await source.sync();
  let news = 0;
  source.watch(() => news++);
  await sleep(150);
  fs.writeFileSync(path.join(dir, 'notes.txt'), 'x');
  fs.writeFileSync(path.join(dir, 'tailnet.json5'), '{}');
  await sleep(300);
  assert.equal(news, 0);
});

test('Kubernetes swaps all files by one link', async (t) => {
  const dir = folder(t, {});
  const version = (name: string, text: string): void => {
    fs.mkdirSync(path.join(dir, name));
    fs.writeFileSync(path.join(dir, name, 'tailnet.json5'), text);
    fs.symlinkSync(name, path.join(dir, '..tmp'));
    fs.renameSync(path.join(dir, '..tmp'), path.join(dir, '..data'));
  };
  version('..v1', '{v:1}');
  fs.symlinkSync('..data/tailnet.json5', path.join(dir, 'tailnet.json5'));
  const opened = openFolder(dir);
  assert.ok(opened.ok);
  const source = opened.value;
  t.after(() => source.close());
  assert.equal(textOf(await source.sync(), 'tailnet.json5'), '{v:1}');
  const seen: Outcome<SourceTree>[] = [];
  source.watch((news) => seen.push(news));
  await sleep(150);
  version('..v2', '{v:2}');
  for (let i = 0; i < 60 && seen.length === 0; i++) await sleep(50);
  assert.equal(textOf(seen.at(-1), 'tailnet.json5'), '{v:2}');
});

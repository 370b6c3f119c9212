// A remote over HTTP, against git's own server program and with real git as the writer: what arrives, what is refused and
// under which name, and that a clone heals, stays small, and never shows half of anything.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Outcome } from '../../src/base/outcome.ts';
import { Secret } from '../../src/base/secret.ts';
import { openSource } from '../../src/source/open.ts';
import type { Source, SourceSettings } from '../../src/source/source.ts';
import type { SourceTree } from '../../src/source/tree.ts';
import { git, PASSWORD, startHost, startWriter, tempDir, type GitHost } from './githost.ts';

const LIMITS = { connectMs: 5_000, idleMs: 20_000, totalMs: 60_000 };

const follow = async (
  t: Pick<TestContext, 'after'>,
  location: string,
  settings: Partial<SourceSettings> = {},
): Promise<Source> => {
  const opened = await openSource(location, {
    dataDir: tempDir(t, 'data'),
    credential: { kind: 'basic', username: 'tailplane', password: new Secret(PASSWORD) },
    limits: LIMITS,
    ...settings,
  });
  assert.ok(opened.ok, opened.ok ? '' : opened.reason);
  t.after(() => opened.value.close());
  return opened.value;
};

const codeOf = (outcome: Outcome<unknown>): string => (outcome.ok ? 'ok' : outcome.code);

const textOf = (seen: Outcome<SourceTree> | undefined, name = 'tailnet.json5'): string | undefined => {
  assert.ok(seen?.ok, seen && !seen.ok ? `${seen.code}: ${seen.reason}` : 'nothing was seen');
  const bytes = seen.value.files.get(name);
  return bytes && Buffer.from(bytes).toString();
};

const start = async (t: Pick<TestContext, 'after'>) => {
  const host = await startHost(t);
  const writer = startWriter(t, host.repository);
  return { host, writer };
};

test('first clone, then updates: only what moved is fetched', async (t) => {
  const { host, writer } = await start(t);
  const first = writer.commit({ 'tailnet.json5': '{n:1}', 'README.md': 'x' }, { message: 'First\n\nWhy.' });
  const source = await follow(t, host.url);
  const seen = await source.sync();
  assert.equal(textOf(seen), '{n:1}');
  assert.ok(seen.ok && seen.value.commit);
  assert.equal(seen.value.revision, first);
  assert.deepEqual([...seen.value.files.keys()], ['tailnet.json5']);
  assert.equal(seen.value.commit.subject, 'First');
  assert.equal(seen.value.commit.author.email, 'alice@example.com');
  assert.equal(source.status().branch, 'main');

  host.seen.length = 0;
  assert.equal(textOf(await source.sync()), '{n:1}');
  assert.ok(!host.seen.includes('POST git-upload-pack') || host.seen.length === 2, 'no pack for an unmoved branch');
  const asked = host.seen.length;

  writer.commit({ 'tailnet.json5': '{n:2}' });
  host.seen.length = 0;
  assert.equal(textOf(await source.sync()), '{n:2}');
  assert.ok(host.seen.length > asked);
  assert.equal(source.status().state, 'current');
});

test('listeners hear each change once, by polling', async (t) => {
  const { host, writer } = await start(t);
  writer.commit({ 'tailnet.json5': '{n:1}' });
  const source = await follow(t, host.url, { pollMs: 100 });
  await source.sync();
  const heard: (string | undefined)[] = [];
  source.watch((seen) => heard.push(seen.ok ? textOf(seen) : seen.code));
  for (const text of ['{n:2}', '{n:3}']) {
    writer.commit({ 'tailnet.json5': text });
    for (let i = 0; i < 100 && heard.at(-1) !== text; i++) await sleep(20);
  }
  assert.deepEqual(heard, ['{n:2}', '{n:3}']);
});

test('a folder of the repository, and a branch', async (t) => {
  const { host, writer } = await start(t);
  writer.commit({ 'infra/tailnet/tailnet.json5': '{in:1}', 'tailnet.json5': '{out:1}' });
  const source = await follow(t, host.url, { folder: 'infra/tailnet' });
  assert.equal(textOf(await source.sync()), '{in:1}');
  writer.git('checkout', '-q', '-b', 'staging');
  writer.commit({ 'tailnet.json5': '{staging:1}' }, { push: false });
  writer.git('push', '-q', 'origin', 'staging');
  const other = await follow(t, host.url, { branch: 'staging' });
  assert.equal(textOf(await other.sync()), '{staging:1}');
});

/** Commits that are refused for what they hold, each followed by one that mends it. */
const CONTENTS: Record<string, [code: string, make: (writer: ReturnType<typeof startWriter>) => void]> = {
  'a renamed folder': ['source/folder-missing', (writer) => writer.git('mv', 'net', 'elsewhere')],
  'a symbolic link': [
    'source/symlink',
    ({ dir }) => fs.symlinkSync('../../../etc/passwd', path.join(dir, 'net/users.json5')),
  ],
  'a link as the folder': [
    'source/symlink',
    (writer) => {
      writer.git('mv', 'net', 'real');
      fs.symlinkSync('real', path.join(writer.dir, 'net'));
    },
  ],
  'a submodule': [
    'source/submodule',
    (writer) => writer.git('update-index', '--add', '--cacheinfo', `160000,${'1'.repeat(40)},net/users.json5`),
  ],
  'a folder where a file should be': [
    'source/not-a-file',
    ({ dir }) => {
      fs.mkdirSync(path.join(dir, 'net/users.json5'));
      fs.writeFileSync(path.join(dir, 'net/users.json5/x'), '');
    },
  ],
  'a huge file': [
    'source/file-too-large',
    ({ dir }) => fs.writeFileSync(path.join(dir, 'net/policy.json5'), new Uint8Array(4 * 1024 * 1024 + 1)),
  ],
  'an LFS pointer': [
    'source/lfs-pointer',
    ({ dir }) =>
      fs.writeFileSync(
        path.join(dir, 'net/policy.json5'),
        `version https://git-lfs.github.com/spec/v1\noid sha256:${'0'.repeat(64)}\nsize 12345\n`,
      ),
  ],
};

test('what a commit holds can be refused, and the next commit is taken', async (t) => {
  const { host, writer } = await start(t);
  const good = writer.commit({ 'net/tailnet.json5': '{n:1}' });
  const source = await follow(t, host.url, { folder: 'net' });
  assert.equal(textOf(await source.sync()), '{n:1}');
  for (const [name, [code, make]] of Object.entries(CONTENTS)) {
    make(writer);
    writer.git('add', '-A', ...(name === 'a submodule' ? ['--', 'net/tailnet.json5'] : []));
    writer.git('commit', '-q', '-m', name);
    writer.git('push', '-q', '--force', 'origin', 'HEAD:main');
    assert.equal(codeOf(await source.sync()), code, name);
    assert.equal(codeOf(await source.sync()), code, `${name}, asked again`);
    assert.equal(source.status().failures, 0);
    writer.git('reset', '-q', '--hard', good);
    writer.git('clean', '-qfdx');
    writer.git('push', '-q', '--force', 'origin', 'HEAD:main');
    assert.equal(textOf(await source.sync()), '{n:1}', `${name}, mended`);
  }
});

test('CRLF, bytes that are no UTF-8, and odd names elsewhere pass as they are', async (t) => {
  const { host, writer } = await start(t);
  const odd = new Uint8Array([0x7b, 0xff, 0xfe, 0x0d, 0x0a, 0x7d]);
  writer.commit({ 'tailnet.json5': odd, 'päth with\nnewline': 'x' });
  const source = await follow(t, host.url);
  const seen = await source.sync();
  assert.ok(seen.ok);
  assert.deepEqual(Buffer.from(seen.value.files.get('tailnet.json5')!), Buffer.from(odd));
});

/** Hosts that misbehave; each is named, told once, and forgotten when the weather is fine again. */
const WEATHERS: Record<
  string,
  [code: string, change: (host: GitHost, writer: ReturnType<typeof startWriter>) => void]
> = {
  'wrong token at the host': ['source/credentials', (host) => (host.weather = { kind: 'status', status: 401 })],
  forbidden: ['source/credentials', (host) => (host.weather = { kind: 'status', status: 403 })],
  'no such repository': ['source/not-found', (host) => (host.weather = { kind: 'status', status: 404 })],
  'a server error': ['source/host-error', (host) => (host.weather = { kind: 'status', status: 500 })],
  'too many requests': ['source/host-error', (host) => (host.weather = { kind: 'status', status: 429 })],
  'a server that hangs': ['source/timeout', (host) => (host.weather = { kind: 'hang' })],
  'a sign-in page': ['source/protocol', (host) => (host.weather = { kind: 'garbage' })],
  'a redirect to another host': [
    'source/redirect',
    (host) => (host.weather = { kind: 'redirect', to: 'http://localhost:1' }),
  ],
  'a cut at the start of a pack': ['source/protocol', (host) => (host.weather = { kind: 'cut', afterBytes: 20 })],
  'a cut in the middle of a pack': ['source/protocol', (host) => (host.weather = { kind: 'cut', afterBytes: 9000 })],
  'a deleted branch': ['source/branch-missing', (_host, writer) => void writer.git('push', '-q', 'origin', ':main')],
};

test('a host that misbehaves is named, and what was there stays', async (t) => {
  const { host, writer } = await start(t);
  git(host.repository, ['config', 'receive.denyDeleteCurrent', 'ignore']);
  writer.commit({ 'tailnet.json5': '{n:1}' });
  const source = await follow(t, host.url, { branch: 'main', limits: { ...LIMITS, idleMs: 2_000 } });
  assert.equal(textOf(await source.sync()), '{n:1}');
  let n = 1;
  for (const [name, [code, change]] of Object.entries(WEATHERS)) {
    // Incompressible, so that there is a middle to cut.
    const text = `{n:${++n}} // ${Buffer.from(crypto.getRandomValues(new Uint8Array(20_000))).toString('hex')}`;
    writer.commit({ 'tailnet.json5': text });
    change(host, writer);
    const refused = await source.sync();
    assert.equal(codeOf(refused), code, name);
    assert.ok(!refused.ok && !refused.reason.includes('secret'), 'what the host said is not repeated');
    assert.equal(source.status().failures, 1, name);
    host.weather = { kind: 'fine' };
    writer.git('push', '-q', 'origin', 'HEAD:main');
    assert.equal(textOf(await source.sync()), text, `${name}, over`);
    assert.equal(source.status().failures, 0);
  }
});

test('a host that answers a byte at a time is given up after the time for a whole fetch', async (t) => {
  const { host, writer } = await start(t);
  writer.commit({ 'tailnet.json5': '{n:1}' });
  const source = await follow(t, host.url, { limits: { ...LIMITS, totalMs: 1_500 } });
  host.weather = { kind: 'trickle' };
  const startedMs = performance.now();
  assert.equal(codeOf(await source.sync()), 'source/timeout');
  assert.ok(performance.now() - startedMs < 8_000);
  host.weather = { kind: 'fine' };
  for (let i = 0; i < 5 && source.status().state !== 'current'; i++) await source.sync();
  assert.equal(textOf(await source.read()), '{n:1}', 'the next attempt has a thread of its own');
});

test('closing does not wait for the host', async (t) => {
  const { host } = await start(t);
  host.weather = { kind: 'hang' };
  const source = await follow(t, host.url);
  const attempt = source.sync();
  while (host.seen.length === 0) await sleep(20);
  const startedMs = performance.now();
  await source.close();
  assert.equal(codeOf(await attempt), 'source/closed');
  assert.ok(performance.now() - startedMs < 2_000);
  assert.equal(codeOf(await source.sync()), 'source/closed');
});

test('wrong credentials, no such host, no listener', async (t) => {
  const { host, writer } = await start(t);
  writer.commit({ 'tailnet.json5': '{}' });
  const wrong = await follow(t, host.url, { credential: { kind: 'token', token: new Secret('wrong') } });
  assert.equal(codeOf(await wrong.sync()), 'source/credentials');
  const none = await follow(t, 'https://nowhere.invalid/x.git');
  assert.equal(codeOf(await none.sync()), 'source/unreachable');
  const dead = await follow(t, 'http://127.0.0.1:1/x.git');
  assert.equal(codeOf(await dead.sync()), 'source/unreachable');
  assert.equal(dead.status().state, 'failing');
});

test('a move within the host is followed', async (t) => {
  const { host, writer } = await start(t);
  writer.commit({ 'tailnet.json5': '{n:1}' });
  const source = await follow(t, host.url.replace('tailnet.git', 'old.git'));
  assert.equal(textOf(await source.sync()), '{n:1}');
});

test('rewritten history is read, and told apart from what continues', async (t) => {
  const { host, writer } = await start(t);
  const a = writer.commit({ 'tailnet.json5': '{n:1}' });
  const b = writer.commit({ 'tailnet.json5': '{n:2}' });
  const source = await follow(t, host.url);
  await source.sync();
  writer.git('reset', '-q', '--hard', a);
  const c = writer.commit({ 'tailnet.json5': '{n:3}' });
  const d = writer.commit({ 'tailnet.json5': '{n:4}' });
  const seen = await source.sync();
  assert.equal(textOf(seen), '{n:4}');
  assert.ok(seen.ok && source.history);
  const revisions = async (from: string, to: string): Promise<string> => {
    const range = await source.history!.between(from as typeof seen.value.revision, to as typeof seen.value.revision);
    return range.ok ? range.value.map(({ id }) => id).join(' ') : range.code;
  };
  assert.equal(await revisions(a, d), `${c} ${d}`);
  assert.equal(await revisions(b, d), 'source/rewritten');
  assert.equal(await revisions(d, a), 'source/rewritten');
  assert.equal(await revisions(d, d), '');
});

test('a zip bomb is refused before it is unpacked', async (t) => {
  const { host, writer } = await start(t);
  writer.commit({ 'tailnet.json5': '{n:1}' });
  const source = await follow(t, host.url);
  await source.sync();
  writer.commit({ zeros: new Uint8Array(65 * 1024 * 1024) });
  const before = process.memoryUsage().rss;
  assert.equal(codeOf(await source.sync()), 'source/fetch-too-large');
  assert.ok(process.memoryUsage().rss - before < 60 * 1024 * 1024);
});

test('a fetch over its limit of bytes is refused', async (t) => {
  const { host, writer } = await start(t);
  writer.commit({ 'tailnet.json5': '{n:1}', noise: crypto.getRandomValues(new Uint8Array(60_000)) });
  const source = await follow(t, host.url, { limits: { ...LIMITS, fetchBytes: 50_000 } });
  assert.equal(codeOf(await source.sync()), 'source/fetch-too-large');
});

test('history: log, ranges and trees of old commits', async (t) => {
  const { host, writer } = await start(t);
  const commits = [1, 2, 3, 4].map((n) => writer.commit({ 'tailnet.json5': `{n:${n}}` }, { message: `Change ${n}` }));
  const source = await follow(t, host.url);
  await source.sync();
  const log = await source.history!.log(3);
  assert.ok(log.ok);
  assert.deepEqual(
    log.value.map(({ subject }) => subject),
    ['Change 4', 'Change 3', 'Change 2'],
  );
  for (const [name, text] of Object.entries({
    [commits[1]!]: '{n:2}',
    [commits[2]!.slice(0, 8)]: '{n:3}',
    HEAD: '{n:4}',
    'HEAD~3': '{n:1}',
    'HEAD^^': '{n:2}',
  })) {
    assert.equal(textOf(await source.history!.readAt(name)), text, name);
  }
  for (const name of ['f'.repeat(40), 'abcdef1', 'HEAD~9', 'no-such', '']) {
    assert.equal(codeOf(await source.history!.readAt(name)), 'source/unknown-commit', name);
  }
});

test('after a restart the clone is there while the host is away', async (t) => {
  const { host, writer } = await start(t);
  writer.commit({ 'tailnet.json5': '{n:1}' });
  const dataDir = tempDir(t, 'data');
  const before = await follow(t, host.url, { dataDir });
  await before.sync();
  await before.close();
  await host.close();
  const after = await follow(t, host.url, { dataDir });
  assert.equal(textOf(await after.read()), '{n:1}');
  assert.equal(codeOf(await after.sync()), 'source/unreachable');
  assert.equal(textOf(await after.read()), '{n:1}');
});

test('a clone that is damaged is made anew', async (t) => {
  const { host, writer } = await start(t);
  writer.commit({ 'tailnet.json5': '{n:1}' });
  const dataDir = tempDir(t, 'data');
  const before = await follow(t, host.url, { dataDir });
  await before.sync();
  await before.close();
  const packs = path.join(dataDir, 'source', fs.readdirSync(path.join(dataDir, 'source'))[0]!, 'clone/objects/pack');
  for (const file of fs.readdirSync(packs)) if (file.endsWith('.idx')) fs.truncateSync(path.join(packs, file), 0);
  const same = await follow(t, host.url, { dataDir });
  assert.equal(textOf(await same.read()), '{n:1}', 'although nothing moved');
  await same.close();
  for (const file of fs.readdirSync(packs)) if (file.endsWith('.pack')) fs.truncateSync(path.join(packs, file), 40);
  writer.commit({ 'tailnet.json5': '{n:2}' });
  const after = await follow(t, host.url, { dataDir });
  assert.equal(textOf(await after.sync()), '{n:2}');
});

/** A branch of so many small commits, written as one stream. */
const importCommits = (repository: string, count: number): void => {
  const stream = Array.from({ length: count }, (_, i) => {
    const text = `{n:${i}}`;
    const person = `Alice <alice@example.com> ${1_700_000_000 + i} +0000`;
    return `commit refs/heads/main\nauthor ${person}\ncommitter ${person}\ndata 1\nx\nM 100644 inline tailnet.json5\ndata ${text.length}\n${text}\n`;
  });
  git(repository, ['fast-import', '--quiet'], { input: stream.join('') });
};

/** The long command asks for more of everything: `TAILPLANE_LONG=1 node --test test/source/*.test.ts`. */
const isLong = process.env['TAILPLANE_LONG'] !== undefined;

test('many small commits are cloned', async (t) => {
  const { host } = await start(t);
  const count = isLong ? 10_000 : 1_000;
  importCommits(host.repository, count);
  const source = await follow(t, host.url, { limits: LIMITS });
  assert.equal(textOf(await source.sync()), `{n:${count - 1}}`);
});

const folderSize = (dir: string): { files: number; sizeBytes: number } => {
  const names = fs.readdirSync(dir, { recursive: true }).map((name) => path.join(dir, String(name)));
  const stats = names.map((name) => fs.statSync(name)).filter((stat) => stat.isFile());
  return { files: stats.length, sizeBytes: stats.reduce((sum, { size }) => sum + size, 0) };
};

test('disk and memory stay flat over many updates', async (t) => {
  const { host } = await start(t);
  const updates = isLong ? 1_000 : 20;
  const dataDir = tempDir(t, 'data');
  const updatesPerClone = isLong ? 50 : 6;
  importCommits(host.repository, 3);
  const source = await follow(t, host.url, { dataDir, limits: { ...LIMITS, updatesPerClone } });
  await source.sync();
  let most = 0;
  const rss: number[] = [];
  for (let n = 0; n < updates; n++) {
    const person = `Alice <alice@example.com> ${1_800_000_000 + n} +0000`;
    const text = `{update:${n}}`;
    const head = `commit refs/heads/main\nauthor ${person}\ncommitter ${person}\ndata 1\nx\nfrom refs/heads/main^0\n`;
    const input = `${head}M 100644 inline tailnet.json5\ndata ${text.length}\n${text}\n`;
    git(host.repository, ['fast-import', '--quiet'], { input });
    assert.equal(textOf(await source.sync()), text);
    most = Math.max(most, folderSize(dataDir).files);
    if (n % 50 === 49) rss.push(Math.round(process.memoryUsage().rss / 1024 / 1024));
  }
  // A pack and an index for each update since the last clone, and the few files that every clone has.
  assert.ok(most <= 2 * updatesPerClone + 20, `${most} files`);
  if (!isLong) return;
  const { files, sizeBytes } = folderSize(dataDir);
  console.log(`after ${updates} updates: ${files} files, ${sizeBytes} bytes; resident MiB every 50: ${rss.join(' ')}`);
  assert.ok((rss.at(-1) as number) < (rss[4] as number) * 1.25, `memory grows: ${rss.join(' ')}`);
});

test('commits have a limit, and a depth keeps below it', async (t) => {
  const { host } = await start(t);
  importCommits(host.repository, 200);
  const few = await follow(t, host.url, { limits: { ...LIMITS, commits: 100 } });
  assert.equal(codeOf(await few.sync()), 'source/too-many-commits');
  const shallow = await follow(t, host.url, { depth: 5, limits: { ...LIMITS, commits: 100 } });
  assert.equal(textOf(await shallow.sync()), '{n:199}');
});

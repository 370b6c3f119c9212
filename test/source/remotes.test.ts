// The other ways to a repository: TLS with an authority of one's own, SSH, a local repository; and writing back.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Outcome } from '../../src/base/outcome.ts';
import { Secret } from '../../src/base/secret.ts';
import { makeSelfSignedCertificate } from '../../src/server/certificate.ts';
import { parseLocation } from '../../src/source/location.ts';
import { openSource } from '../../src/source/open.ts';
import { readLocalRevision } from '../../src/source/repository.ts';
import { DEFAULT_LIMITS, type Source, type SourceSettings } from '../../src/source/source.ts';
import { sshArguments } from '../../src/source/ssh.ts';
import type { SourceTree } from '../../src/source/tree.ts';
import { git, PASSWORD, startHost, startWriter, tempDir } from './githost.ts';

const open = async (
  t: Pick<TestContext, 'after'>,
  location: string,
  settings: Partial<SourceSettings> = {},
): Promise<Source> => {
  const opened = await openSource(location, {
    dataDir: tempDir(t, 'data'),
    credential: { kind: 'basic', username: 'tailplane', password: new Secret(PASSWORD) },
    limits: { connectMs: 1000, idleMs: 1000, totalMs: 10_000 },
    ...settings,
  });
  assert.ok(opened.ok, opened.ok ? '' : opened.reason);
  t.after(() => opened.value.close());
  return opened.value;
};

const codeOf = (outcome: Outcome<unknown>): string => (outcome.ok ? 'ok' : outcome.code);

const textOf = (seen: Outcome<SourceTree> | undefined): string => {
  assert.ok(seen?.ok, seen && !seen.ok ? `${seen.code}: ${seen.reason}` : 'nothing was seen');
  return Buffer.from(seen.value.files.get('tailnet.json5')!).toString();
};

test('where a tailnet lives is told from how it is written', (t) => {
  const dir = tempDir(t, 'place');
  const bare = path.join(dir, 'bare.git');
  fs.mkdirSync(bare);
  git(bare, ['init', '-q', '--bare', '.']);
  const kindOf = (text: string, asRepository = false): string => {
    const location = parseLocation(text, asRepository);
    return location.ok ? location.value.kind : location.code;
  };
  assert.equal(kindOf(dir), 'folder');
  assert.equal(kindOf(dir, true), 'source/not-a-repository');
  assert.equal(kindOf(bare), 'repository');
  assert.equal(kindOf(`file://${bare}`), 'repository');
  assert.equal(kindOf('https://git.example.com/org/net.git'), 'https');
  assert.equal(kindOf('http://127.0.0.1:3000/net.git'), 'https');
  assert.equal(kindOf('http://git.example.com/net.git'), 'source/insecure-url');
  assert.equal(kindOf('https://alice:pw@git.example.com/net.git'), 'source/url-credentials');
  assert.equal(kindOf('https://token@git.example.com/net.git'), 'source/url-credentials');
  assert.equal(kindOf('ssh://git@git.example.com:2222/org/net.git'), 'ssh');
  assert.equal(kindOf('git@git.example.com:org/net.git'), 'ssh');
  assert.equal(kindOf('git@-oProxyCommand=x:net.git'), 'source/location');
  assert.equal(kindOf("git@git.example.com:net.git'; touch x'"), 'source/location');
  assert.equal(kindOf('ftp://git.example.com/net.git'), 'source/location');
});

test('a certificate is believed by its authority only, and not when it has expired', async (t) => {
  const day = 86_400_000;
  const make = (fromDays: number, toDays: number) =>
    makeSelfSignedCertificate({
      hostnames: [],
      ips: ['127.0.0.1'],
      notBefore: new Date(Date.now() + fromDays * day),
      notAfter: new Date(Date.now() + toDays * day),
    });
  const cases = {
    'the authority is set': ['ok', make(-1, 1), true],
    'an unknown authority': ['source/certificate', make(-1, 1), false],
    expired: ['source/certificate', make(-9, -2), true],
  } as const;
  for (const [name, [code, { certPem, keyPem }, known]] of Object.entries(cases)) {
    const host = await startHost(t, { tls: { key: keyPem, cert: certPem } });
    startWriter(t, host.repository).commit({ 'tailnet.json5': '{}' });
    const source = await open(t, host.url, known ? { caPem: certPem } : {});
    assert.equal(codeOf(await source.sync()), code, name);
  }
});

/** Stands where ssh does: it runs the last argument here, as a git host would, or fails like ssh. */
const fakeSsh = (t: Pick<TestContext, 'after'>, body: string): readonly string[] => {
  const file = path.join(tempDir(t, 'ssh'), 'ssh.sh');
  fs.writeFileSync(file, `for last; do :; done\n${body}\n`);
  return ['sh', file];
};

test('over SSH the same protocol runs, and failures have names', async (t) => {
  const host = await startHost(t);
  const writer = startWriter(t, host.repository);
  writer.commit({ 'tailnet.json5': '{n:1}' });
  const location = `ssh://git@git.example.com${host.repository}`;
  const source = await open(t, location, { sshCommand: fakeSsh(t, 'eval exec "$last"') });
  assert.equal(source.kind, 'ssh');
  assert.equal(textOf(await source.sync()), '{n:1}');
  writer.commit({ 'tailnet.json5': '{n:2}' });
  assert.equal(textOf(await source.sync()), '{n:2}');
  const edit = {
    files: new Map([['tailnet.json5', Buffer.from('{n:3}')]]),
    message: 'Edit',
    author: { name: 'A', email: 'a@example.com' },
  };
  assert.equal(codeOf(await source.history!.propose(edit)), 'ok');
  assert.equal(git(host.repository, ['show', 'main:tailnet.json5']), '{n:3}');
  for (const [code, body] of Object.entries({
    'source/host-key': 'echo "Host key verification failed." >&2; exit 255',
    'source/credentials': 'echo "git@host: Permission denied (publickey)." >&2; exit 255',
    'source/unreachable': 'echo "ssh: Could not resolve hostname" >&2; exit 255',
    'source/not-found': 'echo "ERROR: Repository not found." >&2; exit 1',
    'source/protocol': 'echo "Welcome to this machine"; exit 0',
    'source/timeout': 'exec sleep 30',
  })) {
    const broken = await open(t, location, {
      sshCommand: fakeSsh(t, body),
      limits: { connectMs: 500, idleMs: 500, totalMs: 700 },
    });
    assert.equal(codeOf(await broken.sync()), code, body);
  }
});

test('ssh never asks, never trusts a new host, and takes no configuration of the user', () => {
  const args = sshArguments(
    {
      user: 'git',
      host: 'git.example.com',
      port: 2222,
      path: 'org/net.git',
      identityFile: '/k',
      knownHostsFile: '/h',
      limits: DEFAULT_LIMITS,
    },
    'git-upload-pack',
  ).join(' ');
  for (const part of [
    '-F none',
    'BatchMode=yes',
    'StrictHostKeyChecking=yes',
    'UserKnownHostsFile="/h"',
    'GlobalKnownHostsFile=none',
    '-i /k',
    'IdentitiesOnly=yes',
    '-p 2222',
  ]) {
    assert.ok(args.includes(part), part);
  }
  assert.ok(args.endsWith("-- git@git.example.com git-upload-pack 'org/net.git'"));
});

test('a local repository is followed without a work tree, and a commit is seen at once', async (t) => {
  const dir = tempDir(t, 'local');
  const writer = startWriter(t, dir);
  writer.commit({ 'tailnet.json5': '{n:1}' }, { push: false });
  fs.writeFileSync(path.join(writer.dir, 'tailnet.json5'), '{uncommitted:1}');
  const source = await open(t, `file://${writer.dir}`);
  assert.equal(source.kind, 'repository');
  assert.equal(textOf(await source.sync()), '{n:1}');
  const heard: string[] = [];
  source.watch((seen) => heard.push(textOf(seen)));
  await sleep(200);
  writer.commit({ 'tailnet.json5': '{n:2}' }, { push: false });
  for (let i = 0; i < 100 && heard.length === 0; i++) await sleep(20);
  assert.deepEqual(heard, ['{n:2}']);
  writer.git('gc', '-q');
  assert.equal(textOf(await source.sync()), '{n:2}', 'packed');
  assert.equal(textOf(await readLocalRevision(writer.dir, 'HEAD~1')), '{n:1}');
  assert.equal(textOf(await readLocalRevision(writer.dir, 'main')), '{n:2}');
  assert.equal(codeOf(await readLocalRevision(writer.dir, 'nope')), 'source/unknown-commit');
});

test('an edit is one commit: on the branch, or on a branch to propose', async (t) => {
  const host = await startHost(t);
  const writer = startWriter(t, host.repository);
  const first = writer.commit({ 'net/tailnet.json5': '{n:1}', 'net/dns.json5': '{}', 'README.md': 'keep' });
  const source = await open(t, host.url, { folder: 'net' });
  await source.sync();
  const edit = (text: string, name = 'tailnet.json5') => ({
    files: new Map([[name, Buffer.from(text)]]),
    message: 'Approve a route\n\nTailnet-Allow: routers 0123abcd',
    author: { name: 'Alice', email: 'alice@example.com' },
  });
  const proposed = await source.history!.propose({ ...edit('{n:2}'), branch: 'tailplane/approve-1' });
  assert.ok(proposed.ok, proposed.ok ? '' : proposed.reason);
  assert.equal(git(host.repository, ['rev-parse', 'main']), first, 'main did not move');
  assert.equal(git(host.repository, ['show', 'tailplane/approve-1:net/tailnet.json5']), '{n:2}');
  assert.equal(git(host.repository, ['rev-parse', 'tailplane/approve-1^']), first);
  assert.match(proposed.value.openUrl ?? '', /\/compare\/main\.\.\.tailplane%2Fapprove-1$/);

  const committed = await source.history!.propose(edit('{n:3}'));
  assert.ok(committed.ok, committed.ok ? '' : committed.reason);
  assert.equal(
    git(host.repository, ['ls-tree', '-r', '--name-only', 'main']),
    'README.md\nnet/dns.json5\nnet/tailnet.json5',
  );
  assert.equal(git(host.repository, ['show', 'main:net/tailnet.json5']), '{n:3}');
  assert.equal(git(host.repository, ['fsck', '--strict']), '');
  assert.equal(textOf(await source.sync()), '{n:3}');

  assert.equal(codeOf(await source.history!.propose(edit('x', '../evil'))), 'source/not-a-file');
  writer.git('fetch', '-q', 'origin');
  writer.git('reset', '-q', '--hard', 'FETCH_HEAD');
  writer.commit({ 'net/tailnet.json5': '{n:4}' });
  assert.equal(codeOf(await source.history!.propose(edit('{n:5}'))), 'source/push-refused', 'somebody was faster');
});

// SSH remotes against a real sshd and real git: the pinned host key decides, the deploy key is asked, and whatever goes
// wrong on the way has a name.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { test } from 'node:test';
import type { Outcome } from '../../src/base/outcome.ts';
import { openSource } from '../../src/source/open.ts';
import type { Source, SourceSettings } from '../../src/source/source.ts';
import { git, startHost, startWriter, tempDir } from './githost.ts';
import { startSshHost, whyNoSshd } from './sshhost.ts';

const skip = whyNoSshd();
if (skip !== undefined) process.stderr.write(`Not tested: SSH remotes with a real sshd: ${skip}.\n`);

const outcomeOf = (seen: Outcome<unknown>): string => (seen.ok ? 'ok' : `${seen.code}: ${seen.reason}`);

const EDIT = {
  files: new Map([['tailnet.json5', Buffer.from('{n:9}')]]),
  message: 'Edit',
  author: { name: 'Alice', email: 'alice@example.com' },
};

test('a repository behind a real sshd', { skip: skip ?? false }, async (t) => {
  const { repository } = await startHost(t);
  const writer = startWriter(t, repository);
  writer.commit({ 'tailnet.json5': '{n:1}', noise: randomBytes(20_000) });
  const ssh = await startSshHost(t);
  const [hostKey, otherHostKey] = [ssh.key('host'), ssh.key('other-host')];
  const deployKey = ssh.key('deploy');
  ssh.allow(deployKey, 'restrict');
  // What git hosts do with a key that may only read.
  const readOnly = ssh.key('read-only');
  const gate = `case "$SSH_ORIGINAL_COMMAND" in git-upload-pack*) eval "exec $SSH_ORIGINAL_COMMAND";; esac; echo "ERROR: The key you are authenticating with has been marked as read only." >&2; exit 1`;
  const gateFile = path.join(path.dirname(readOnly), 'gate.sh');
  fs.writeFileSync(gateFile, `${gate}\n`);
  ssh.allow(readOnly, `restrict,command="sh ${gateFile}"`);
  const forced = (name: string, command: string): string => {
    const key = ssh.key(name);
    ssh.allow(key, `restrict,command="${command}"`);
    return key;
  };
  const shared = ssh.key('shared-file');
  ssh.allow(shared);
  const lent = path.join(path.dirname(shared), 'lent');
  fs.copyFileSync(shared, lent);
  fs.chmodSync(lent, 0o644);
  await ssh.start(hostKey);

  const knownHosts = path.join(tempDir(t, 'pinned'), 'known_hosts');
  const pin = (...lines: readonly string[]): void => fs.writeFileSync(knownHosts, lines.join(''));
  pin(ssh.pin(hostKey));

  const open = async (settings: Partial<SourceSettings> & { at?: string; port?: number } = {}): Promise<Source> => {
    const { at = repository, port = ssh.port, ...more } = settings;
    const opened = await openSource(`ssh://${ssh.user}@127.0.0.1:${port}${at}`, {
      dataDir: tempDir(t, 'data'),
      identityFile: deployKey,
      knownHostsFile: knownHosts,
      limits: { connectMs: 10_000, idleMs: 10_000, totalMs: 20_000 },
      ...more,
    });
    assert.ok(opened.ok);
    t.after(() => opened.value.close());
    return opened.value;
  };
  const sync = async (source: Source): Promise<string> => outcomeOf(await source.sync());
  const ask = async (settings?: Parameters<typeof open>[0]): Promise<string> => await sync(await open(settings));

  const each = async (cases: readonly [settings: Parameters<typeof open>[0], outcome: RegExp][]): Promise<void> => {
    const outcomes = await Promise.all(cases.map(([settings]) => ask(settings)));
    for (const [i, [, expected]] of cases.entries()) assert.match(outcomes[i] as string, expected);
  };
  // Unbuffered, so that the list of refs comes whole and the pack does not.
  const cutOff = `git-upload-pack '${repository}' | dd bs=1 count=9000 status=none`;

  const source = await open();
  await t.test('a deploy key reads, follows and writes', async () => {
    assert.equal(await sync(source), 'ok');
    const next = writer.commit({ 'tailnet.json5': '{n:2}' });
    assert.equal(await sync(source), 'ok');
    assert.equal(source.status().revision, next);
    assert.equal(outcomeOf(await source.history!.propose({ ...EDIT, branch: 'tailplane/edit' })), 'ok');
    assert.equal(git(repository, ['show', 'tailplane/edit:tailnet.json5']), '{n:9}');
  });

  await t.test('a key that may only read does so, and its push is refused', async () => {
    const reader = await open({ identityFile: readOnly });
    assert.equal(await sync(reader), 'ok');
    assert.match(outcomeOf(await reader.history!.propose(EDIT)), /^source\/push-refused: .*may only read/);
  });

  await t.test('what the host key must be', async () => {
    pin();
    assert.match(await ask(), /^source\/host-key: /, 'no key is pinned');
    pin(ssh.pin(otherHostKey));
    assert.match(await ask(), /^source\/host-key: /, 'another key is pinned');
    assert.match(await ask({ knownHostsFile: '/nonexistent/known_hosts' }), /^source\/host-key: /, 'no file');
    pin(ssh.pin(hostKey));
    await ssh.start(otherHostKey);
    assert.match(await sync(source), /^source\/host-key: /, 'the host has changed its key');
    assert.equal(source.status().state, 'failing');
    pin(ssh.pin(hostKey), ssh.pin(otherHostKey));
    assert.equal(await sync(source), 'ok', 'the new key was pinned as well');
  });

  await t.test('what the deploy key must be', async () => {
    await each([
      [{ identityFile: ssh.key('stranger') }, /^source\/credentials: .* refused the SSH key/],
      [{ identityFile: '/nonexistent/key' }, /^source\/credentials: .*can't be read/],
      [{ identityFile: lent }, /^source\/credentials: .*by others/],
    ]);
  });

  await t.test('what lies on the host', async () => {
    await each([
      [{ at: '/nonexistent.git' }, /^source\/not-found: /],
      [{ identityFile: forced('no-git', 'exit 127') }, /^source\/protocol: .*no git/],
      [{ identityFile: forced('chatty', 'echo Welcome to this machine') }, /^source\/protocol: /],
      [{ identityFile: forced('cut', cutOff) }, /^source\/protocol: /],
    ]);
  });

  await t.test('a host that hangs or is gone', async () => {
    const silent = net.createServer((socket) => t.after(() => socket.destroy())).listen(0, '127.0.0.1');
    t.after(() => silent.close());
    await once(silent, 'listening');
    const { port } = silent.address() as net.AddressInfo;
    const quick = { connectMs: 1000, idleMs: 10_000, totalMs: 20_000 };
    const asleep = forced('asleep', 'exec sleep 60');
    await each([
      [{ port, limits: quick }, /^source\/timeout: /],
      [{ identityFile: asleep, limits: { ...quick, totalMs: 1500 } }, /^source\/timeout: /],
    ]);

    // Frozen in the middle of a session: the connection stays open, and only ssh's own questions notice.
    const marker = path.join(tempDir(t, 'marker'), 'started');
    const frozen = forced('frozen', `touch ${marker}; exec sleep 60`);
    const asking = ask({ identityFile: frozen, limits: { ...quick, idleMs: 2000 } });
    await isThere(marker);
    ssh.signal('SIGSTOP');
    assert.match(await asking, /^source\/timeout: /);
    await ssh.stop();
    assert.match(await sync(source), /^source\/unreachable: /);
    await ssh.start(hostKey);
    assert.equal(await sync(source), 'ok', 'and back again');
  });
});

/** Until a file is there. */
const isThere = async (file: string): Promise<void> => {
  const watching = fs.promises.watch(path.dirname(file), { signal: AbortSignal.timeout(10_000) });
  if (fs.existsSync(file)) return;
  for await (const _ of watching) if (fs.existsSync(file)) return;
};

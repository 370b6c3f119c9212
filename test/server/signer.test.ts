// Commits that the server makes are signed by its own key: OpenSSH and git accept the signature, and a tailnet that demands
// signatures takes them once it lists the key.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { openReconcile } from '../../src/server/reconcile.ts';
import { signingKeyOf } from '../../src/server/keyring.ts';
import { parseCommit } from '../../src/source/commit.ts';
import { openSource } from '../../src/source/open.ts';
import { formatSshKey, verifySshSignature } from '../../src/source/sshsig.ts';
import { git, startWriter, tempDir } from '../source/githost.ts';

const hasKeygen = spawnSync('ssh-keygen', ['--version']).error === undefined;
if (!hasKeygen) process.stderr.write('Not tested: signatures of the server by ssh-keygen, which is not here.\n');

test('the key is made once, is readable by its owner alone, and a damaged one is not replaced', (t) => {
  const dataDir = tempDir(t, 'data');
  const line = formatSshKey(signingKeyOf(dataDir));
  assert.match(line, /^ssh-ed25519 [A-Za-z0-9+/]{68}$/);
  assert.equal(formatSshKey(signingKeyOf(dataDir)), line);
  const file = path.join(dataDir, 'keys/sign.key');
  assert.equal(fs.statSync(file).mode & 0o777, 0o600);
  fs.writeFileSync(file, 'damaged');
  assert.throws(() => signingKeyOf(dataDir), /sign\.key does not hold a private key/);
});

test(
  'an edit is signed as OpenSSH and git check it, and a tailnet with signers takes it',
  { skip: !hasKeygen },
  async (t) => {
    const dir = tempDir(t, 'keys');
    const dataDir = tempDir(t, 'data');
    const writer = startWriter(t, tempDir(t, 'unused'));
    writer.git('checkout', '-q', '-b', 'work');
    const signingKey = signingKeyOf(dataDir);
    const server = { name: 'tailplane', key: formatSshKey(signingKey) };
    const alice = path.join(dir, 'alice');
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', alice]);
    const signers = [server, { name: 'alice', key: fs.readFileSync(`${alice}.pub`, 'utf8').trim() }];
    const byAlice = ['-c', 'gpg.format=ssh', '-c', `user.signingkey=${alice}`];
    const allowed = path.join(dir, 'allowed');
    fs.writeFileSync(allowed, `tailplane@example.com ${server.key}\n`);

    fs.writeFileSync(path.join(writer.dir, 'tailnet.json5'), JSON.stringify({ name: 'example.com', signers }));
    git(writer.dir, ['add', '-A']);
    git(writer.dir, [...byAlice, 'commit', '-q', '-S', '-m', 'First']);
    git(writer.dir, ['branch', 'main']);
    const opened = await openSource(`file://${writer.dir}`, { dataDir, branch: 'main', signingKey });
    assert.ok(opened.ok);
    const source = opened.value;
    const none = (): void => {};
    const reconcile = await openReconcile({
      source,
      origin: writer.dir,
      dataDir,
      now: Date.now,
      sideOf: (snapshot) => ({ snapshot, nodes: [], userOf: () => undefined }),
      onEvent: none,
      onFailing: none,
      onFault: none,
    });
    assert.ok(reconcile.ok, reconcile.ok ? '' : reconcile.reason);
    t.after(() => reconcile.value.close());

    // Names as a hostile caller would write them, and a message with a body.
    for (const [name, message] of [
      ['Tailplane', 'Approve 10.1.0.0/16 of office'],
      ['Eve> 1 +0000\ncommitter Eve <eve@example.com', 'Title\n\nBody\n\nTailnet-Allow: access 00000000\n\n'],
      ['Zoë Ünicode', '-----BEGIN SSH SIGNATURE-----\ngpgsig x'],
    ] as const) {
      const edit = { files: new Map([['dns.json5', Buffer.from(`// ${message.length}\n{}\n`)]]), message };
      const made = await source.history!.propose({ ...edit, author: { name, email: 'tailplane@example.com' } });
      assert.ok(made.ok, made.ok ? '' : made.reason);
      const id = made.value.commit;
      const raw = execFileSync('git', ['-C', writer.dir, 'cat-file', 'commit', id]);
      const parsed = parseCommit(raw);
      const armoured = parsed?.signatures[0];
      assert.ok(parsed && armoured !== undefined);
      assert.equal(parsed.committer.email, 'tailplane@example.com');

      const config = ['-c', `gpg.ssh.allowedSignersFile=${allowed}`];
      const verified = spawnSync('git', ['-C', writer.dir, ...config, 'verify-commit', id], { encoding: 'utf8' });
      assert.equal(verified.status, 0, verified.stderr);
      assert.match(verified.stderr, /Good "git" signature for tailplane@example\.com/);
      const signature = path.join(dir, 'signature');
      fs.writeFileSync(signature, `${armoured}\n`);
      const check = ['-Y', 'verify', '-n', 'git', '-f', allowed, '-I', 'tailplane@example.com', '-s', signature];
      const keygen = spawnSync('ssh-keygen', check, { input: parsed.payload, encoding: 'utf8' });
      assert.equal(keygen.status, 0, keygen.stdout + keygen.stderr);
      assert.equal(verifySshSignature(armoured, Buffer.concat([parsed.payload, Buffer.from(' ')])).ok, false);

      const status = await reconcile.value.sync();
      assert.ok(status.ok);
      assert.equal(status.value.state, 'current', `${status.value.pending?.obstacles[0]?.message}`);
      assert.equal(reconcile.value.snapshot().revision, id);
    }
    assert.equal(git(writer.dir, ['fsck', '--strict']), '');
  },
);

// Signed commits, with keys made by ssh-keygen and gpg and signatures made by git itself. Each case is a range of commits
// on top of a good one, and what is said about each of them.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { parseRevision, type Revision } from '../../src/base/ids.ts';
import { openSource } from '../../src/source/open.ts';
import type { History, Source } from '../../src/source/source.ts';
import { parseSshKey, verifySshSignature } from '../../src/source/sshsig.ts';
import type { Signer } from '../../src/source/vet.ts';
import { git, startWriter, tempDir, type CommitOptions, type Writer } from './githost.ts';

const has = (program: string): boolean => spawnSync(program, ['--version']).error === undefined;
const missing = ['ssh-keygen', 'gpg'].filter((program) => !has(program));
if (missing.length > 0) {
  if (process.env['CI']) throw new Error(`CI needs ${missing.join(' and ')}`);
  console.log(`skipped: signature tests need ${missing.join(' and ')}`);
}

const undo: (() => void)[] = [];
const scope = { after: (fn: () => void) => undo.push(fn) } as unknown as Parameters<typeof startWriter>[0];
after(() => {
  for (const fn of undo.reverse()) fn();
});

describe('signatures', { skip: missing.length > 0 }, () => {
  let keys: string;
  let gnupg: string;
  let writer: Writer;
  let source: Source;
  let history: History;

  const sshKey = (name: string, type = 'ed25519', bits?: string): { file: string; line: string } => {
    const file = path.join(keys, name);
    if (!fs.existsSync(file)) {
      execFileSync('ssh-keygen', ['-q', '-t', type, ...(bits ? ['-b', bits] : []), '-N', '', '-C', name, '-f', file]);
    }
    return { file, line: fs.readFileSync(`${file}.pub`, 'utf8').trim() };
  };
  const bySsh = (name: string): readonly string[] => [
    '-c',
    'gpg.format=ssh',
    '-c',
    `user.signingkey=${sshKey(name).file}`,
  ];
  const gpg = (...args: readonly string[]): string =>
    execFileSync('gpg', ['--homedir', gnupg, '--batch', '--pinentry-mode', 'loopback', '--passphrase', '', ...args], {
      stdio: ['pipe', 'pipe', 'ignore'],
    }).toString();
  const signerOf = (name: string): Signer => ({ name, key: sshKey(name).line });

  const list = (...signers: readonly Signer[]): string => JSON.stringify({ name: 'example.com', signers });

  /** A commit, signed as the given `git -c …` options say; unsigned without them. */
  const commit = (text: string, sign: readonly string[] = [], options: CommitOptions = {}): Revision => {
    fs.writeFileSync(path.join(writer.dir, 'tailnet.json5'), text);
    const env = { ...options.env, GNUPGHOME: gnupg };
    git(writer.dir, ['add', '-A']);
    const flags = sign.length > 0 ? ['-S'] : ['--no-gpg-sign'];
    git(writer.dir, [...sign, 'commit', '-q', '--allow-empty', '-m', options.message ?? 'Change', ...flags], { env });
    return parseRevision(git(writer.dir, ['rev-parse', 'HEAD'])) as Revision;
  };
  /** Stores raw commit bytes as a commit and moves the branch there. */
  const store = (raw: string | Uint8Array): Revision => {
    const id = git(writer.dir, ['hash-object', '-t', 'commit', '-w', '--stdin'], { input: raw });
    git(writer.dir, ['reset', '-q', '--hard', id]);
    return parseRevision(id) as Revision;
  };
  const rawOf = (id: Revision): string => `${git(writer.dir, ['cat-file', 'commit', id])}\n`;
  /** The same commit with this signature in its header. */
  const withSignature = (raw: string, armoured: string): string => {
    const [head = '', ...rest] = raw.split('\n\n');
    return `${head}\ngpgsig ${armoured.trim().split('\n').join('\n ')}\n\n${rest.join('\n\n')}`;
  };

  const vet = async (from: Revision | undefined, to: Revision, ...signers: readonly Signer[]): Promise<string[]> => {
    await source.sync();
    const vetted = await history.vet(from, to, signers);
    assert.ok(vetted.ok, vetted.ok ? '' : vetted.reason);
    return vetted.value.map(({ signer, refusal }) => refusal?.code ?? `${signer}`);
  };

  before(async () => {
    keys = tempDir(scope, 'keys');
    gnupg = tempDir(scope, 'gpg');
    fs.chmodSync(gnupg, 0o700);
    undo.push(() => spawnSync('gpgconf', ['--homedir', gnupg, '--kill', 'all']));
    writer = startWriter(scope, tempDir(scope, 'unused'));
    commit(list());
    const opened = await openSource(`file://${writer.dir}`, { dataDir: tempDir(scope, 'data') });
    assert.ok(opened.ok);
    source = opened.value;
    history = source.history as History;
  });
  after(async () => {
    await source.close();
  });

  test('SSH keys of every kind that git signs with', async () => {
    for (const [name, type, bits] of [
      ['alice', 'ed25519', undefined],
      ['rsa', 'rsa', '3072'],
      ['p256', 'ecdsa', '256'],
      ['p384', 'ecdsa', '384'],
      ['p521', 'ecdsa', '521'],
    ] as const) {
      sshKey(name, type, bits);
      const base = commit(list(signerOf(name)));
      assert.deepEqual(await vet(base, commit('{}', bySsh(name)), signerOf(name)), [name]);
    }
  });

  test('a wrong key, no signature, and one unsigned in the middle', async () => {
    const alice = signerOf('alice');
    const base = commit(list(alice));
    assert.deepEqual(await vet(base, commit(list(alice), bySsh('mallory')), alice), ['source/unknown-signer']);
    const start = commit(list(alice));
    const steps = [commit(list(alice), bySsh('alice')), commit(list(alice)), commit(list(alice), bySsh('alice'))];
    assert.deepEqual(await vet(start, steps[2] as Revision, alice), ['alice', 'source/unsigned', 'alice']);
    assert.deepEqual(await vet(undefined, steps[2] as Revision, alice), ['alice'], 'the first commit alone');
  });

  test('a key counts only in its time', async () => {
    const atMs = Date.parse('2026-05-05T00:00:00Z');
    const env = { GIT_COMMITTER_DATE: '2026-05-05T00:00:00Z' };
    const alice = signerOf('alice');
    const base = commit(list(alice));
    const made = commit(list(alice), bySsh('alice'), { env });
    assert.deepEqual(await vet(base, made, { ...alice, validFromMs: atMs, validUntilMs: atMs }), ['alice']);
    assert.deepEqual(await vet(base, made, { ...alice, validFromMs: atMs + 1 }), ['source/signature-expired']);
    assert.deepEqual(await vet(base, made, { ...alice, validUntilMs: atMs - 1 }), ['source/signature-expired']);
  });

  test('a signer who was removed cannot approve their own return', async () => {
    const [alice, bob] = [signerOf('alice'), signerOf('bob')];
    const base = commit(list(alice, bob));
    commit(list(alice, bob), bySsh('bob'));
    commit(list(alice), bySsh('alice'), { message: 'Remove bob' });
    commit('{ not json5', bySsh('alice'), { message: 'A slip' });
    const back = commit(list(alice, bob), bySsh('bob'), { message: 'Bring bob back' });
    assert.deepEqual(await vet(base, back, alice, bob), ['bob', 'alice', 'alice', 'source/signer-removed']);
    // Nor by a merge of a branch on which the removal never happened.
    git(writer.dir, ['reset', '-q', '--hard', base]);
    const side = commit(list(alice, bob), bySsh('bob'), { message: 'Side' });
    git(writer.dir, ['reset', '-q', '--hard', base]);
    commit(list(alice), bySsh('alice'), { message: 'Remove bob' });
    git(writer.dir, [...bySsh('bob'), 'merge', '-q', '-S', '-s', 'ours', '-m', 'Merge', side]);
    const merge = parseRevision(git(writer.dir, ['rev-parse', 'HEAD'])) as Revision;
    assert.deepEqual((await vet(base, merge, alice, bob)).at(-1), 'source/signer-removed');
  });

  test('a slip in the file removes nobody whose key still stands in it', async () => {
    const alice = signerOf('alice');
    const base = commit(list(alice));
    commit(`${list(alice)} }}`, bySsh('alice'));
    const mended = commit(list(alice), bySsh('alice'));
    assert.deepEqual(await vet(base, mended, alice), ['alice', 'alice']);
  });

  test('a signature of another commit, purpose or form does not count', async () => {
    const alice = signerOf('alice');
    const base = commit(list(alice));
    const good = commit(list(alice), bySsh('alice'), { message: 'Honest' });
    const again = async (raw: string): Promise<string[]> => {
      git(writer.dir, ['reset', '-q', '--hard', base]);
      return await vet(base, store(raw), alice);
    };
    const raw = rawOf(good);
    assert.deepEqual(await again(raw.replace('Honest', 'Altered')), ['source/signature-wrong']);
    assert.deepEqual(await again(raw.replace(/^author Alice/m, 'author Mallory')), ['source/signature-wrong']);
    assert.deepEqual(await again(raw.replace('-----END', '-----E')), ['source/signature-form']);
    assert.deepEqual(await again(raw.replace(/^ [A-Za-z0-9+/]{20}/m, ' AAAAAAAAAAAAAAAAAAAA')), [
      'source/signature-form',
    ]);

    git(writer.dir, ['reset', '-q', '--hard', base]);
    const unsigned = rawOf(commit(list(alice), [], { message: 'For a file' }));
    const file = path.join(keys, 'payload');
    for (const [namespace, expected] of [
      ['git', 'alice'],
      ['file', 'source/signature-namespace'],
    ] as const) {
      fs.writeFileSync(file, unsigned);
      execFileSync('ssh-keygen', ['-q', '-Y', 'sign', '-n', namespace, '-f', sshKey('alice').file, file], {
        stdio: 'ignore',
      });
      const signed = withSignature(unsigned, fs.readFileSync(`${file}.sig`, 'utf8'));
      fs.rmSync(`${file}.sig`);
      assert.deepEqual(await again(signed), [expected]);
      if (namespace === 'git') {
        const second = /gpgsig [\s\S]*?-----END SSH SIGNATURE-----\n/.exec(signed)?.[0] ?? '';
        assert.deepEqual(
          await again(signed.replace(second, second + second)),
          ['source/signature-form'],
          'two at once',
        );
      }
    }
  });

  test('OpenPGP: valid, unknown, altered, expired, revoked', async () => {
    gpg('--quick-gen-key', 'Carol <carol@example.com>', 'ed25519', 'sign', '1y');
    gpg('--quick-gen-key', 'Dan <dan@example.com>', 'rsa2048', 'sign', '1y');
    const carol: Signer = { name: 'carol', key: gpg('--armor', '--export', 'carol@example.com') };
    const dan: Signer = { name: 'dan', key: gpg('--armor', '--export', 'dan@example.com') };
    const by = (name: string): readonly string[] => [
      '-c',
      'gpg.format=openpgp',
      '-c',
      `user.signingkey=${name}@example.com`,
    ];
    const base = commit(list(carol));
    const good = commit(list(carol), by('carol'), { message: 'Honest' });
    assert.deepEqual(await vet(base, good, carol), ['carol']);
    assert.deepEqual(await vet(base, good, signerOf('alice'), dan), ['source/unknown-signer']);
    const raw = rawOf(good);
    git(writer.dir, ['reset', '-q', '--hard', base]);
    assert.deepEqual(await vet(base, store(raw.replace('Honest', 'Altered')), carol), ['source/signature-wrong']);
    git(writer.dir, ['reset', '-q', '--hard', base]);
    const byDan = commit(list(dan), by('dan'));
    assert.deepEqual(await vet(base, byDan, carol, dan), ['dan']);

    // A key made long ago that ended before the signature.
    const past = ['--faked-system-time', '20240101T000000!'];
    gpg(...past, '--quick-gen-key', 'Erin <erin@example.com>', 'ed25519', 'sign', 'never');
    const erinCommit = commit(list(dan), by('erin'));
    assert.deepEqual(
      await vet(byDan, erinCommit, { name: 'erin', key: gpg('--armor', '--export', 'erin@example.com') }),
      ['erin'],
    );
    const fingerprint = /^fpr:+([0-9A-F]+):/m.exec(
      gpg('--with-colons', '--list-keys', 'erin@example.com'),
    )?.[1] as string;
    gpg('--faked-system-time', '20240101T120000!', '--quick-set-expire', fingerprint, '1d');
    const erin: Signer = { name: 'erin', key: gpg('--armor', '--export', 'erin@example.com') };
    assert.deepEqual(await vet(byDan, erinCommit, erin), ['source/signature-expired']);

    const danPrint = /^fpr:+([0-9A-F]+):/m.exec(gpg('--with-colons', '--list-keys', 'dan@example.com'))?.[1] as string;
    const revocation = fs
      .readFileSync(path.join(gnupg, 'openpgp-revocs.d', `${danPrint}.rev`), 'utf8')
      .replace(/^:-----BEGIN/m, '-----BEGIN');
    execFileSync('gpg', ['--homedir', gnupg, '--batch', '--import'], {
      input: revocation,
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    const revoked: Signer = { name: 'dan', key: gpg('--armor', '--export', 'dan@example.com') };
    assert.deepEqual(await vet(base, byDan, revoked), ['source/signature-expired']);
  });

  test('what is no signature never throws', () => {
    const payload = Buffer.from('x');
    for (const text of [
      '',
      'x',
      '-----BEGIN SSH SIGNATURE-----\n\n-----END SSH SIGNATURE-----',
      `-----BEGIN SSH SIGNATURE-----\n${Buffer.from('SSHSIG\0\0\0\u0001\0\0\0\u0009short').toString('base64')}\n-----END SSH SIGNATURE-----`,
    ]) {
      const verified = verifySshSignature(text, payload);
      assert.equal(verified.ok ? 'ok' : verified.code, 'source/signature-form');
    }
    for (const line of [
      '',
      'ssh-ed25519',
      'ssh-ed25519 AAAA',
      'ssh-rsa AAAAC3NzaC1lZDI1NTE5',
      'ssh-dss AAAAB3NzaC1kc3M=',
    ]) {
      assert.equal(parseSshKey(line), undefined);
    }
  });
});

// What the server hears from and tells to a git host besides git itself: webhooks in, commit statuses out; and the last
// good tree that it keeps for the time in which the host is away.

import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { test } from 'node:test';
import { parseRevision, type Revision } from '../../src/base/ids.ts';
import type { Outcome } from '../../src/base/outcome.ts';
import { Secret } from '../../src/base/secret.ts';
import { authorizeBy } from '../../src/source/credential.ts';
import { forgeOf, reportStatus, type ForgeKind } from '../../src/source/forge.ts';
import { readKept, writeKept } from '../../src/source/kept.ts';
import { pollDelayMs } from '../../src/source/poll.ts';
import { createHookCheck, HOOK_LIMIT_BYTES, signGeneric } from '../../src/source/webhook.ts';
import { tempDir } from './githost.ts';

const SECRET = new Secret('shared');
const NOW_MS = Date.parse('2026-05-05T12:00:00Z');
const codeOf = (outcome: Outcome<unknown>): string => (outcome.ok ? 'ok' : outcome.code);
const mac = (body: Uint8Array, secret = 'shared'): string => createHmac('sha256', secret).update(body).digest('hex');

test('webhooks of each host count with their signature and not without', () => {
  const body = Buffer.from('{"ref":"refs/heads/main"}');
  const cases: Record<string, [expected: string, headers: Record<string, string>]> = {
    GitHub: ['github push', { 'x-hub-signature-256': `sha256=${mac(body)}`, 'x-github-event': 'push' }],
    'GitHub, ping': ['github', { 'x-hub-signature-256': `sha256=${mac(body)}`, 'x-github-event': 'ping' }],
    'GitHub, another secret': ['source/hook-signature', { 'x-hub-signature-256': `sha256=${mac(body, 'x')}` }],
    'GitHub, the old SHA-1 form': ['source/hook-form', { 'x-hub-signature': 'sha1=00' }],
    Gitea: ['gitea push', { 'x-gitea-signature': mac(body), 'x-gitea-event': 'push' }],
    Forgejo: ['gitea push', { 'x-forgejo-signature': mac(body), 'x-forgejo-event': 'push' }],
    'Gitea, cut off': ['source/hook-signature', { 'x-gitea-signature': mac(body).slice(1) }],
    GitLab: ['gitlab push', { 'x-gitlab-token': 'shared', 'x-gitlab-event': 'Push Hook' }],
    'GitLab, wrong': ['source/hook-signature', { 'x-gitlab-token': 'Shared' }],
    generic: ['generic push', { 'x-tailplane-signature': signGeneric(SECRET, body, NOW_MS) }],
    'generic, old': ['source/hook-signature', { 'x-tailplane-signature': signGeneric(SECRET, body, NOW_MS - 301_000) }],
    'generic, its time altered': [
      'source/hook-signature',
      { 'x-tailplane-signature': signGeneric(SECRET, body, NOW_MS - 301_000).replace(/t=\d+/, `t=${NOW_MS / 1000}`) },
    ],
    'nothing at all': ['source/hook-form', {}],
  };
  for (const [name, [expected, headers]] of Object.entries(cases)) {
    const seen = createHookCheck(SECRET)({ headers, body, nowMs: NOW_MS });
    assert.equal(seen.ok ? `${seen.value.host}${seen.value.isPush ? ' push' : ''}` : seen.code, expected, name);
    if (seen.ok) assert.equal(seen.value.ref, 'refs/heads/main');
  }
});

test('a webhook counts once, whatever its unsigned headers say', () => {
  const check = createHookCheck(SECRET);
  const body = Buffer.from('{"after":"1"}');
  const headers = (delivery: string) => ({
    'x-hub-signature-256': `sha256=${mac(body)}`,
    'x-github-delivery': delivery,
  });
  assert.equal(codeOf(check({ headers: headers('1'), body, nowMs: NOW_MS })), 'ok');
  assert.equal(codeOf(check({ headers: headers('2'), body, nowMs: NOW_MS })), 'source/hook-replayed');
  const large = new Uint8Array(HOOK_LIMIT_BYTES + 1);
  const signed = { 'x-hub-signature-256': `sha256=${mac(large)}` };
  assert.equal(codeOf(check({ headers: signed, body: large, nowMs: NOW_MS })), 'source/hook-form');
});

const record = async (t: { after: (fn: () => void) => void }, status: number, answer = '{}') => {
  const seen: { method: string; url: string; headers: http.IncomingHttpHeaders; body: string }[] = [];
  const server = http.createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      seen.push({ method: request.method ?? '', url: request.url ?? '', headers: request.headers, body });
      response.writeHead(status, { 'content-type': 'application/json' }).end(answer);
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  t.after(() => server.close());
  return { seen, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
};

test('a commit status has the form of its host', async (t) => {
  const { seen, url } = await record(t, 201);
  const commit = 'a'.repeat(40);
  for (const kind of ['github', 'gitlab', 'gitea'] as const satisfies readonly ForgeKind[]) {
    const forge = forgeOf(`${url}/org/net.git`, new Secret('tok'), kind);
    assert.ok(forge);
    const reported = await reportStatus(forge, { commit, state: 'failure', description: `Held. ${'x'.repeat(200)}` });
    assert.equal(codeOf(reported), 'ok', kind);
  }
  assert.deepEqual(
    seen.map(({ url, headers, body }) => [
      url,
      headers.authorization ?? headers['private-token'],
      (JSON.parse(body) as { state: string }).state,
    ]),
    [
      [`/api/v3/repos/org/net/statuses/${commit}`, 'Bearer tok', 'failure'],
      [`/api/v4/projects/org%2Fnet/statuses/${commit}`, 'tok', 'failed'],
      [`/api/v1/repos/org/net/statuses/${commit}`, 'token tok', 'failure'],
    ],
  );
  assert.ok(seen.every(({ body }) => (JSON.parse(body) as { description: string }).description.length <= 140));
  assert.equal(forgeOf('https://github.com/org/net.git', SECRET)?.apiUrl, 'https://api.github.com');
  assert.equal(forgeOf('https://gitlab.example.com/a/b/c.git', SECRET)?.project, 'a/b/c');
  assert.equal(forgeOf('https://git.example.com/a/b.git', SECRET), undefined);
});

test('a GitHub App asks for an installation token once, by a signed request', async (t) => {
  const { generateKeyPairSync, verify } = await import('node:crypto');
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const { seen, url } = await record(
    t,
    201,
    JSON.stringify({ token: 'ghs_x', expires_at: new Date(Date.now() + 3_600_000).toISOString() }),
  );
  const authorize = authorizeBy({
    kind: 'github-app',
    appId: '7',
    installationId: '42',
    privateKeyPem: new Secret(privateKey.export({ type: 'pkcs8', format: 'pem' }) as string),
    apiUrl: url,
  });
  for (let i = 0; i < 2; i++) {
    const header = await authorize();
    assert.ok(header.ok);
    assert.equal(header.value, `Basic ${Buffer.from('x-access-token:ghs_x').toString('base64')}`);
  }
  assert.equal(seen.length, 1);
  assert.equal(seen[0]?.url, '/app/installations/42/access_tokens');
  const [head = '', claims = '', signature = ''] = (seen[0]?.headers.authorization ?? '').slice(7).split('.');
  assert.ok(verify('sha256', Buffer.from(`${head}.${claims}`), publicKey, Buffer.from(signature, 'base64url')));
  const { iat, exp, iss } = JSON.parse(Buffer.from(claims, 'base64url').toString()) as Record<string, number>;
  assert.equal(String(iss), '7');
  assert.ok(exp! - iat! <= 600);
});

test('the next poll is spread by a tenth and backs off to a quarter of an hour', () => {
  assert.equal(pollDelayMs(60_000, 0, 0), 54_000);
  assert.equal(pollDelayMs(60_000, 0, 0.5), 60_000);
  assert.ok(pollDelayMs(60_000, 0, 0.999999) <= 66_000);
  assert.equal(pollDelayMs(60_000, 2, 0.5), 240_000);
  assert.equal(pollDelayMs(60_000, 100, 0.5), 900_000);
  assert.equal(pollDelayMs(3_600_000, 5, 0.5), 3_600_000, 'an interval above that stays');
});

test('the last good tree survives, and a damaged one is refused', async (t) => {
  const dataDir = tempDir(t, 'kept');
  assert.deepEqual(await readKept(dataDir), { ok: true, value: undefined });
  const files = new Map([
    ['tailnet.json5', new Uint8Array([0xff, 0x00, 0x0a])],
    ['dns.json5', new Uint8Array()],
  ]);
  const tree = { revision: parseRevision('b'.repeat(40)) as Revision, files };
  await writeKept(dataDir, { tree, origin: 'https://git.example.com/net.git', keptAtMs: NOW_MS });
  const kept = await readKept(dataDir);
  assert.ok(kept.ok && kept.value);
  assert.deepEqual(kept.value.tree, tree);
  assert.deepEqual(fs.readdirSync(dataDir), ['last-good.json']);
  const file = path.join(dataDir, 'last-good.json');
  const whole = fs.readFileSync(file);
  for (const cut of [0, 10, 64, 65, 70, whole.length - 2]) {
    fs.writeFileSync(file, whole.subarray(0, cut));
    assert.equal(codeOf(await readKept(dataDir)), 'source/kept-damaged', `${cut} bytes`);
  }
});

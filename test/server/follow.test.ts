// What a server's settings make of a source: a webhook that only hints, commit statuses on the host, signed notifications,
// and metrics. Against a real git host.

import assert from 'node:assert/strict';
import { createHmac, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Secret } from '../../src/base/secret.ts';
import { nativeCrypto } from '../../src/keys/native.ts';
import { makeKeyPair } from '../../src/keys/pair.ts';
import { sealSecret } from '../../src/keys/sealed.ts';
import { formatMachineKey } from '../../src/keys/text.ts';
import { createMetrics } from '../../src/http/metrics.ts';
import { StartFailure } from '../../src/server/failure.ts';
import { followTailnet, type Follower, type FollowInputs } from '../../src/server/follow.ts';
import type { Settings } from '../../src/server/settings.ts';
import { PASSWORD, startHost, startWriter, tempDir } from '../source/githost.ts';

const NET = {
  'tailnet.json5': `{ name: 'example.com' }`,
  'users.json5': `{ users: [{ login: 'alice@example.com', role: 'owner' }] }`,
};

const SEAL_KEY = makeKeyPair(nativeCrypto, randomBytes(32));

const setUp = async (t: TestContext) => {
  const host = await startHost(t);
  const writer = startWriter(t, host.repository);
  const lines: string[] = [];
  const note = (level: string) => (_fields: unknown, message: string) => lines.push(`${level}: ${message}`);
  const log = { info: note('info'), warn: note('warn'), error: note('error'), debug: note('debug') };
  const metrics = createMetrics('test');
  const follow = async (settings: Settings = {}): Promise<Follower> => {
    const follower = await followTailnet({
      location: host.url,
      settings: { sourceUser: 'tailplane', sourceToken: new Secret(PASSWORD), ...settings },
      dataFolder: tempDir(t, 'data'),
      sealKey: SEAL_KEY,
      log: log as unknown as FollowInputs['log'],
      metrics,
      now: Date.now,
      colour: false,
      nodes: () => [],
    });
    t.after(() => follower.close());
    return follower;
  };
  return { host, writer, lines, metrics, follow };
};

const waitFor = async (what: string, holds: () => boolean): Promise<void> => {
  for (let i = 0; i < 250; i++) {
    if (holds()) return;
    await sleep(20);
  }
  assert.fail(`not in time: ${what}`);
};

test('a signed webhook makes the server ask, at once; nothing else does', async (t) => {
  const { host, writer, follow } = await setUp(t);
  writer.commit(NET);
  const follower = await follow({ webhookSecret: new Secret('shared') });
  const hook = async (body: string, secret = 'shared', event = 'push'): Promise<number> => {
    const mac = createHmac('sha256', secret).update(body).digest('hex');
    const headers = { 'x-hub-signature-256': `sha256=${mac}`, 'x-github-event': event };
    return ((await follower.hook?.(headers, Buffer.from(body))) ?? { status: 0 }).status;
  };
  host.seen.length = 0;
  assert.equal(await hook('{"ref":"refs/heads/main"}', 'wrong'), 403);
  assert.equal(await hook('{"zen":"x"}', 'shared', 'ping'), 200);
  assert.equal(await hook('{"ref":"refs/heads/other"}'), 200);
  await sleep(100);
  assert.deepEqual(host.seen, [], 'nobody was asked');
  const next = writer.commit({ 'tailnet.json5': `{ name: 'example.org' }` });
  assert.equal(await hook('{"ref":"refs/heads/main","after":"1"}'), 202);
  await waitFor('the new revision serves', () => follower.snapshot().revision === next);
  host.seen.length = 0;
  assert.equal(await hook('{"ref":"refs/heads/main","after":"1"}'), 200, 'once more');
  await sleep(100);
  assert.deepEqual(host.seen, []);
});

test('a hint that comes before the host itself knows is followed up', async (t) => {
  const { writer, follow } = await setUp(t);
  writer.commit(NET);
  const follower = await follow({ webhookSecret: new Secret('shared') });
  const body = Buffer.from('{"ref":"refs/heads/main"}');
  const headers = { 'x-gitlab-token': 'shared', 'x-gitlab-event': 'Push Hook' };
  assert.equal((await follower.hook?.(headers, body))?.status, 202);
  await sleep(300);
  const next = writer.commit({ 'tailnet.json5': `{ name: 'example.org' }` });
  await waitFor('the late commit serves', () => follower.snapshot().revision === next);
});

test('the host and the operators are told how each commit fared', async (t) => {
  const { host, writer, follow, lines, metrics } = await setUp(t);
  const told: { url: string; body: { state?: string; type?: string; description?: string }; signature: unknown }[] = [];
  const listener = http.createServer((request, response) => {
    let text = '';
    request.on('data', (chunk: Buffer) => (text += chunk.toString()));
    request.on('end', () => {
      told.push({
        url: request.url ?? '',
        body: JSON.parse(text) as object,
        signature: request.headers['x-tailplane-signature'],
      });
      response.end('{}');
    });
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  t.after(() => listener.close());
  const url = `http://127.0.0.1:${(listener.address() as AddressInfo).port}/events`;
  const good = writer.commit(NET);
  const follower = await follow({
    notifyUrl: url,
    notifySecret: new Secret('ours'),
    gitHost: 'gitea',
    statusToken: new Secret('status'),
  });
  const bad = writer.commit({ 'tailnet.json5': '{' });
  await follower.reconcile.sync();
  await waitFor('both were told', () => told.length === 2);
  assert.deepEqual(
    told.map(({ body }) => body.type),
    ['tailnet.taken', 'tailnet.rejected'],
  );
  assert.ok(told.every(({ signature }) => /^t=\d+,v1=[0-9a-f]{64}$/.test(String(signature))));
  const statuses = (): string[] => host.seen.filter((line) => line.startsWith('POST v1/repos/tailnet/statuses/'));
  await waitFor('the host was told of both', () => statuses().length === 2);
  assert.deepEqual(
    statuses().map((line) => line.split('/').at(-1)),
    [good, bad],
  );
  assert.ok(
    lines.some((line) => line.startsWith('error: the last good revision goes on serving; the newest is rejected')),
  );
  assert.equal(follower.refused()?.revision, bad);
  const text = await metrics.render();
  assert.match(text, /tailplane_revision_pending 1/);
  assert.match(text, /tailplane_reconciles_total\{outcome="rejected"\} 1/);
});

test('receivers that the tailnet names are told with secrets that only this server opens', async (t) => {
  const { writer, follow, lines } = await setUp(t);
  const sent: { url: string; body: string; signature: string }[] = [];
  const real = fetch;
  t.mock.method(globalThis, 'fetch', (url: string, request: { body: Buffer; headers: Record<string, string> }) => {
    if (!url.includes('.example.com')) return real(url, request as unknown as RequestInit);
    sent.push({ url, body: request.body.toString(), signature: request.headers['x-tailplane-signature'] ?? '' });
    return Promise.resolve(new Response(null, { status: 204 }));
  });
  const seal = (key = SEAL_KEY): string =>
    sealSecret(
      nativeCrypto,
      (size) => randomBytes(size),
      formatMachineKey(key.publicKey),
      new Secret('of the receiver'),
    );
  const elsewhere = seal(makeKeyPair(nativeCrypto, randomBytes(32)));
  const notify = [
    { url: 'https://all.example.com/a', secret: seal() },
    { url: 'https://bad.example.com/b', secret: seal(), on: ['rejected'] },
    { url: 'https://lost.example.com/c', secret: elsewhere },
  ];
  writer.commit({ ...NET, 'tailnet.json5': JSON.stringify({ name: 'example.com', notify }, null, 2) });
  const follower = await follow();
  await waitFor('the first is told', () => sent.length === 1);
  const { problems, serving } = follower.reconcile.status();
  assert.equal(serving.revision, follower.snapshot().revision, 'it serves all the same');
  assert.deepEqual(
    problems.map(({ code, span }) => [code, span?.file, span?.start.line]),
    [['server/sealed-for-another', 'tailnet.json5', 17]],
  );
  assert.deepEqual(
    follower.snapshot().tailnet.notify.map(({ secret }) => secret),
    notify.map(({ secret }) => secret),
    'a snapshot keeps them sealed',
  );
  writer.commit({ 'users.json5': '{' });
  await follower.reconcile.sync();
  await waitFor('both are told', () => sent.length === 3);
  assert.deepEqual(
    sent.map(({ url, body }) => [new URL(url).host, (JSON.parse(body) as { type: string }).type]),
    [
      ['all.example.com', 'tailnet.taken'],
      ['all.example.com', 'tailnet.rejected'],
      ['bad.example.com', 'tailnet.rejected'],
    ],
  );
  for (const { body, signature } of sent) {
    const [, seconds = '', mac] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(signature) ?? [];
    assert.equal(createHmac('sha256', 'of the receiver').update(`${seconds}.${body}`).digest('hex'), mac);
  }
  assert.ok(!JSON.stringify([sent, lines]).includes('of the receiver'));
});

test('a first start without anything to serve says why', async (t) => {
  const { host, writer, follow } = await setUp(t);
  const failure = async (): Promise<StartFailure> => {
    const error = await follow().then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    assert.ok(error instanceof StartFailure);
    return error;
  };
  assert.match((await failure()).message, /empty/);
  writer.commit({ ...NET, 'tailnet.json5': '{' });
  assert.equal((await failure()).code, 'server/tailnet-broken');
  host.weather = { kind: 'status', status: 403 };
  assert.match((await failure()).message, /refused the credentials/);
});

// What clients are asked, and what they say of themselves: pings to their peers, and their health.

import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';

import type { Address } from '../../src/base/address.ts';
import { utf8, utf8Text } from '../../src/base/bytes.ts';
import type { NodeId } from '../../src/base/ids.ts';
import type { ControlLimits } from '../../src/control/ports.ts';
import { formatDiscoKey } from '../../src/keys/text.ts';
import { decodeCallAnswer } from '../../src/wire/ping.ts';
import { authKeyOf, newKeyPair, newNodeKey, openWorld, until } from './world.ts';

/** A world with one client of the given capability version that has read its first map. */
const joined = async (t: TestContext, limits: Partial<ControlLimits>, version = 142) => {
  const world = await openWorld({ limits });
  t.after(async () => world.close());
  const client = await world.connect(undefined, version);
  const NodeKey = newNodeKey();
  await client.register({ NodeKey, Auth: { AuthKey: authKeyOf('alice') } });
  const stream = await client.stream({ NodeKey });
  await stream.next();
  const asked = async (): Promise<Record<string, string> & { readonly path: string }> => {
    const question = (await stream.next())?.['PingRequest'] as Record<string, string>;
    return { ...question, path: new URL(question['URL']!).pathname };
  };
  const id: NodeId = world.registry.view.byNodeKey.get(NodeKey)!;
  return { world, client, NodeKey, id, asked };
};

test('a ping of a client to its peer gives what the client says of the path', async (t) => {
  const { world, client, id, asked } = await joined(t, {});
  const ask = async (answer: unknown): Promise<unknown> => {
    const pinged = world.control.pingPeer(id, 'disco', '100.64.0.9' as Address);
    const question = await asked();
    assert.deepEqual([question['Types'], question['IP'], question['URLIsNoise']], ['disco', '100.64.0.9', true]);
    await client.request('POST', question.path, answer);
    const outcome = await pinged;
    return outcome.ok && outcome.value;
  };
  const nothing = { latencyMs: undefined, error: undefined, endpoint: undefined, peerRelay: undefined, relayCode: undefined }; // prettier-ignore
  const direct = { Type: 'disco', LatencySeconds: 0.25, Endpoint: '192.0.2.9:41641' };
  assert.deepEqual(await ask(direct), { ...nothing, latencyMs: 250, endpoint: '192.0.2.9:41641' });
  const relayed = { LatencySeconds: 0.5, DERPRegionID: 7, DERPRegionCode: 'ber' };
  assert.deepEqual(await ask(relayed), { ...nothing, latencyMs: 500, relayCode: 'ber' });
  assert.deepEqual(await ask({ LatencySeconds: 0.5, DERPRegionID: 7 }), { ...nothing, latencyMs: 500, relayCode: '7' });
  assert.deepEqual(await ask({ Err: 'no such peer' }), { ...nothing, error: 'no such peer' });
  assert.equal(await ask([]), false);
});

test('a client whose ping fails says nothing, and is not waited for longer than that takes', async (t) => {
  const { world, id } = await joined(t, { peerPingMs: 30 });
  const outcome = await world.control.pingPeer(id, 'ICMP', '100.64.0.9' as Address);
  assert.equal(!outcome.ok && outcome.code, 'control/silent');
});

const CHUNKED = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n';
const answers: readonly [text: string, expected: unknown][] = [
  ['HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi', [200, 'hi']],
  ['HTTP/1.0 400 Bad Request\r\n\r\nunknown c2n path', [400, 'unknown c2n path']],
  ['HTTP/1.1 204 No Content\r\n\r\n', [204, '']],
  [`${CHUNKED}2\r\nhi\r\n3;x=y\r\n yo\r\n0\r\n\r\n`, [200, 'hi yo']],
  [`${CHUNKED}2\r\nhi`, 'wire/malformed'],
  [`${CHUNKED}ffffff\r\nhi\r\n`, 'wire/malformed'],
  [`${CHUNKED}zz\r\n`, 'wire/malformed'],
  ['HTTP/2 200\r\n\r\n', 'wire/malformed'],
  ['', 'wire/malformed'],
];
for (const [text, expected] of answers) {
  test(`the answer of a call: ${JSON.stringify(text)}`, () => {
    const answer = decodeCallAnswer(utf8(text));
    assert.deepEqual(answer.ok ? [answer.value.status, utf8Text(answer.value.body)] : answer.code, expected);
  });
}

test('the answer of a call in bytes that are no text is refused like any other that makes no sense', () => {
  const bad = Buffer.from([0xff]);
  for (const parts of [
    ['HTTP/1.1 ', bad, '\r\n\r\n'],
    [CHUNKED, '2', bad, '\r\nhi\r\n0\r\n\r\n'],
  ]) {
    const answer = decodeCallAnswer(Buffer.concat(parts.map((part) => Buffer.from(part))));
    assert.equal(answer.ok || answer.code, 'wire/malformed');
  }
});

test('a client is asked for its health; each change is one line in the log', async (t) => {
  const { world, client, NodeKey, id, asked } = await joined(t, { healthAfterMs: 0, healthEveryMs: 0 });
  const noted = (): readonly string[] =>
    world.notes
      .filter(({ event }) => event.startsWith('client health'))
      .map(({ level, event, fields }) => `${level} ${event}: ${String(fields['warning'])}`);
  const answer = async (warnings: object): Promise<void> => {
    const question = await asked();
    const payload = Buffer.from(question['Payload']!, 'base64').toString();
    assert.match(payload, /^GET \/debug\/health HTTP\/1\.1\r\n/);
    const body = JSON.stringify({ Warnings: warnings });
    await client.request('POST', question.path, `HTTP/1.1 200 OK\r\n\r\n${body}`);
  };

  // By itself, after the stream began.
  await answer({
    'no-derp-home': { Severity: 'high', Text: 'no relay', BrokenSince: '2026-11-01T10:00:00Z' },
    dns: { Severity: 'low', Text: 'slow', Args: {} },
    'warming-up': { Severity: 'low', Text: 'starting' },
    'control-health.update': { Severity: 'low', Text: 'what we said ourselves' },
  });
  await until(() => noted().length === 2);
  assert.deepEqual(noted(), ['warn client health: no-derp-home', 'info client health: dns']);
  assert.deepEqual(world.control.healthOf(id), [
    { code: 'no-derp-home', severity: 'high', text: 'no relay', sinceMs: Date.UTC(2026, 10, 1, 10) },
    { code: 'dns', severity: 'low', text: 'slow', sinceMs: undefined },
  ]);
  assert.equal(world.control.gauges()['control_unhealthy_clients'], 1);

  // When somebody looks, and after a lite update.
  const looked = world.control.askHealth(id, 5_000);
  await answer({ dns: { Severity: 'low', Text: 'slow' } });
  const found = await looked;
  assert.deepEqual(found.ok && found.value.map(({ code }) => code), ['dns']);
  await client.update({ NodeKey });
  await answer({});
  await until(() => noted().length === 4);
  assert.deepEqual(noted().slice(2), ['info client health restored: no-derp-home', 'info client health restored: dns']);
  assert.equal(world.control.gauges()['control_unhealthy_clients'], 0);
});

test('a client before v1.90 reports its health by itself, and is not asked', async (t) => {
  const { world, client, NodeKey, id } = await joined(t, { healthAfterMs: 0 }, 125);
  const report = async (Subsys: string, Error?: string): Promise<void> => {
    const { status } = await client.request('POST', '/machine/update-health', { NodeKey, Subsys, Error });
    assert.equal(status, 204);
  };
  const texts = (): readonly string[] => world.control.healthOf(id).map(({ text }) => text);
  await report('dns', 'broken');
  await report('dns', 'still broken');
  assert.deepEqual(texts(), ['still broken']);
  const looked = await world.control.askHealth(id, 5_000);
  assert.ok(looked.ok && looked.value.length === 1, 'without a question, which nobody would answer');
  await report('dns');
  assert.deepEqual(texts(), []);
  for (let i = 0; i < 100; i++) await report(`problem-${i}`, 'x'.repeat(1000));
  assert.equal(texts().length, 64);
  assert.ok(texts().every((text) => text.length === 512));
  // A new process, which its disco key tells, begins anew.
  await client.stream({ NodeKey, DiscoKey: formatDiscoKey(newKeyPair().publicKey) });
  assert.deepEqual(texts(), []);
});

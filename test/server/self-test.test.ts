// What `tailplane doctor` tries as a client would: each thing that works, and each thing made wrong, in the words that a
// person reads.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import type { AddressInfo, Server } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { startRelayAlone, type RelayAlone } from '../../src/server/relay-alone.ts';
import { makeSelfSignedCertificate } from '../../src/server/certificate.ts';
import { runSelfTest, type SelfTestTarget } from '../../src/server/self-test.ts';
import { failuresOf } from '../../src/cli/doctor.ts';
import { embeddedRegion } from '../../src/server/relay-region.ts';
import { tempDir } from '../source/githost.ts';

const KEY = `mkey:${'5a'.repeat(32)}`;
const OTHER = `mkey:${'a5'.repeat(32)}`;
const DAY_MS = 86_400_000;

const undo: (() => unknown)[] = [];
const scope = { after: (fn: () => unknown) => undo.push(fn) } as unknown as Parameters<typeof tempDir>[0];

const portOf = async (server: Server): Promise<number> => {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  undo.push(() => server.close());
  return (server.address() as AddressInfo).port;
};

/** Answers `/key` like a control server; everything else with 404. */
const control: http.RequestListener = (request, response) => {
  if (request.url?.startsWith('/key')) response.end(`{"publicKey":"${KEY}"}`);
  else response.writeHead(404).end();
};

const certificate = (toDays: number) =>
  makeSelfSignedCertificate({
    hostnames: [],
    ips: ['127.0.0.1'],
    notBefore: new Date(Date.now() - 90 * DAY_MS),
    notAfter: new Date(Date.now() + toDays * DAY_MS),
  });

describe('as a client would', () => {
  let plain: number;
  let secure: number;
  let expired: number;
  let stranger: number;
  let late: number;
  let relay: RelayAlone;
  let target: SelfTestTarget;
  const region = (change: Partial<Parameters<typeof embeddedRegion>[0]> = {}) =>
    embeddedRegion({
      host: '127.0.0.1',
      port: relay.listen.port,
      stunPort: relay.stunPort,
      name: 'Tailplane',
      ...(relay.pinned === undefined ? {} : { pinned: relay.pinned }),
      answersPort80: false,
      ...change,
    });

  before(async () => {
    plain = await portOf(http.createServer(control));
    stranger = await portOf(http.createServer((_, response) => response.writeHead(404).end('Welcome')));
    const [good, old] = [certificate(90), certificate(-3)];
    secure = await portOf(https.createServer({ key: good.keyPem, cert: good.certPem }, control));
    expired = await portOf(https.createServer({ key: old.keyPem, cert: old.certPem }, control));
    const slow: http.RequestListener = (_, response) =>
      response.writeHead(200, { date: new Date(Date.now() - 3_600_000).toUTCString() }).end();
    late = await portOf(https.createServer({ key: good.keyPem, cert: good.certPem }, slow));
    relay = await startRelayAlone({
      listen: { host: '127.0.0.1', port: 0 },
      stun: { host: '127.0.0.1', port: 0 },
      dataFolder: tempDir(scope, 'relay'),
      hostname: '127.0.0.1',
      certificate: {},
      admit: () => true,
      meshWith: [],
      isPlainAllowed: false,
    });
    undo.push(() => relay.stop());
    target = { url: `http://127.0.0.1:${plain}`, key: KEY, relay: region(), source: '/srv/tailnet' };
  });
  after(async () => {
    for (const fn of undo.reverse()) await fn();
  });

  const answers = async (change: Partial<SelfTestTarget>, now = Date.now): Promise<Record<string, string>> => {
    const found = await runSelfTest({ ...target, ...change }, now);
    for (const { state, help } of found) assert.equal(state === 'fails', help !== undefined && state !== 'unsure');
    return Object.fromEntries(found.map(({ about, state, text }) => [about, `${state}: ${text}`]));
  };

  test('all is well', async () => {
    const { STUN, ...rest } = await answers({ source: `https://127.0.0.1:${secure}/org/net.git` });
    assert.deepEqual(rest, {
      address: `works: http://127.0.0.1:${plain} leads to this server.`,
      certificate: 'works: There is no TLS, which is fine on loopback.',
      relay: `works: The relay answers at 127.0.0.1:${relay.listen.port}.`,
      clock: `works: The clock agrees with that of 127.0.0.1:${secure}.`,
    });
    assert.match(
      STUN ?? '',
      new RegExp(`^works: STUN answers at 127.0.0.1:${relay.stunPort} and sees this machine as 127.0.0.1.$`),
    );
  });

  test('each thing that is wrong', async () => {
    const cases: readonly [Partial<SelfTestTarget>, about: string, said: string][] = [
      [{ key: OTHER }, 'address', `fails: http://127.0.0.1:${plain} leads to another control server.`],
      [
        { url: `http://127.0.0.1:${stranger}` },
        'address',
        `fails: http://127.0.0.1:${stranger} leads to something else, which answers with HTTP 404.`,
      ],
      [
        { url: 'http://127.0.0.1:9' },
        'address',
        'fails: http://127.0.0.1:9 does not lead here from this machine: nothing listens there.',
      ],
      [
        { url: 'http://tail.invalid' },
        'certificate',
        'fails: http://tail.invalid is plain HTTP: whoever is on the way can pass for this server.',
      ],
      [
        { url: `https://127.0.0.1:${secure}` },
        'certificate',
        'fails: Clients refuse the certificate of 127.0.0.1: it is signed by itself.',
      ],
      [
        { url: `https://127.0.0.1:${expired}` },
        'certificate',
        'fails: Clients refuse the certificate of 127.0.0.1: it expired 3 days ago.',
      ],
      [
        { relay: region({ pinned: 'ab'.repeat(32) }) },
        'relay',
        `fails: The relay at 127.0.0.1:${relay.listen.port} shows another certificate than clients are told to expect.`,
      ],
      [
        { relay: region({ port: secure, pinned: 'ab'.repeat(32) }) },
        'relay',
        `fails: The relay at 127.0.0.1:${secure} answers with HTTP 404 instead of its own protocol.`,
      ],
      [
        { relay: region({ port: 9 }) },
        'relay',
        "fails: The relay at 127.0.0.1:9 can't be used: nothing listens there.",
      ],
      [{ relay: region({ stunPort: 9 }) }, 'STUN', 'fails: STUN does not answer at 127.0.0.1:9.'],
      [
        { source: `https://127.0.0.1:${late}/net.git` },
        'clock',
        `fails: The clock is 3600 s ahead of that of 127.0.0.1:${late}.`,
      ],
      [
        { source: 'https://127.0.0.1:9/' },
        'clock',
        'unsure: The clock could not be compared with that of 127.0.0.1:9.',
      ],
    ];
    const said = await Promise.all(
      cases.map(async ([change, about]) => (await answers(change))[about]?.replace(/360\d s/, '3600 s')),
    );
    assert.deepEqual(
      said,
      cases.map(([, , expected]) => expected),
    );
    const soon = await answers({ url: `https://127.0.0.1:${secure}` });
    assert.ok(!('clock' in soon), 'nothing to compare with');
    const [finding] = failuresOf(await runSelfTest({ ...target, key: OTHER }, Date.now));
    assert.equal(finding?.code, 'server/self-test');
    assert.match(finding.help, /--url/);
  });
});

// An ACME server that says it is asked too often is left alone for as long as it wants, and nobody loses a certificate by it.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { openAcme } from '../../src/server/acme.ts';
import { makeSelfSignedCertificate } from '../../src/server/certificate.ts';
import { createChallenges } from '../../src/server/challenges.ts';

const NAME = 'tail.example.com';
const NOW_MS = Date.UTC(2026, 0, 1);
const DAY_MS = 86_400_000;
const WAIT_MS = 3_600_000;

test('a refusal for too many requests is waited out as the server says, then told, and the stored certificate stays', async (t) => {
  const refusedMs: number[] = [];
  const server = http.createServer((request, response) => {
    const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    response.setHeader('replay-nonce', 'bm9uY2U');
    if (request.url === '/directory') {
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify({ newNonce: `${base}/nonce`, newAccount: `${base}/account`, newOrder: `${base}/order` })); // prettier-ignore
    } else if (request.url === '/nonce') response.end();
    else {
      refusedMs.push(performance.now());
      response.writeHead(429, { 'content-type': 'application/problem+json', 'retry-after': '1' });
      response.end(JSON.stringify({ type: 'urn:ietf:params:acme:error:rateLimited', detail: 'too many new orders' }));
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'acme-'));
  t.after(() => {
    server.close();
    fs.rmSync(folder, { recursive: true });
  });

  // A stored certificate that is due for renewal, as the clock stands near its end.
  const kept = path.join(folder, `127.0.0.1_${port}`);
  fs.mkdirSync(kept);
  const stored = makeSelfSignedCertificate({
    hostnames: [NAME],
    ips: [],
    notBefore: new Date(NOW_MS - 90 * DAY_MS),
    notAfter: new Date(NOW_MS + 5 * DAY_MS),
  });
  fs.writeFileSync(path.join(kept, `${NAME}.crt`), stored.certPem);
  fs.writeFileSync(path.join(kept, `${NAME}.key`), stored.keyPem);

  const failure = Promise.withResolvers<readonly [string, number]>();
  const certificates: unknown[] = [];
  const acme = openAcme({
    directoryUrl: `http://127.0.0.1:${port}/directory`,
    hostname: NAME,
    folder,
    challenges: createChallenges(),
    now: () => NOW_MS,
    onCertificate: (context) => certificates.push(context),
    onFailure: (reason, retryInMs) => failure.resolve([reason, retryInMs]),
    retryMs: [WAIT_MS],
  });
  t.after(() => acme.close());
  assert.equal(acme.stored?.cert, stored.certPem);
  acme.begin();
  const [reason, retryInMs] = await failure.promise;
  assert.match(reason, /too many new orders|429/);
  assert.equal(retryInMs, WAIT_MS);
  const pauses = refusedMs.slice(1).map((atMs, i) => atMs - (refusedMs[i] as number));
  assert.ok(pauses.length > 0 && pauses.length <= 5, `${pauses.length} further tries`);
  assert.ok(pauses.every((pauseMs) => pauseMs >= 950), `pauses of ${pauses.map(Math.round).join(', ')} ms`); // prettier-ignore
  assert.deepEqual(certificates, []);
});

// The question of stock relays, answered and asked.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';

import { utf8 } from '../../src/base/bytes.ts';
import { verifyAnswer, verifyAt } from '../../src/derp/verify.ts';
import { parseNodeKey, type NodeKey } from '../../src/keys/text.ts';

const KNOWN = parseNodeKey(`nodekey:${'ab'.repeat(32)}`) as NodeKey;
const OTHER = parseNodeKey(`nodekey:${'cd'.repeat(32)}`) as NodeKey;
const admit = (key: NodeKey): boolean => key === KNOWN;

test('a known node is allowed; another, and what cannot be read, is not', async () => {
  const answers: [body: string, allow: boolean][] = [
    [JSON.stringify({ NodePublic: KNOWN, Source: '192.0.2.7' }), true],
    [JSON.stringify({ NodePublic: KNOWN }), true],
    [JSON.stringify({ NodePublic: OTHER, Source: '192.0.2.7' }), false],
    [JSON.stringify({ NodePublic: `nodekey:${'0'.repeat(64)}` }), false],
    [JSON.stringify({ NodePublic: 7 }), false],
    [JSON.stringify([KNOWN]), false],
    ['{', false],
    ['', false],
    [JSON.stringify({ NodePublic: KNOWN, Padding: 'x'.repeat(5_000) }), false],
  ];
  for (const [body, allow] of answers) {
    assert.equal(await verifyAnswer(utf8(body), admit), JSON.stringify({ Allow: allow }), body.slice(0, 80));
  }
});

test('a relay alone asks, and takes anything but a clear yes for a no', async () => {
  let status = 200;
  const server = http.createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      void verifyAnswer(Buffer.concat(chunks), admit).then((body) => response.writeHead(status).end(body));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const ask = verifyAt(`http://127.0.0.1:${(server.address() as AddressInfo).port}/verify`);
  assert.equal(await ask(KNOWN, '192.0.2.7'), true);
  assert.equal(await ask(OTHER, '192.0.2.7'), false);
  status = 500;
  assert.equal(await ask(KNOWN, '192.0.2.7'), false);
  server.closeAllConnections();
  server.close();
  await once(server, 'close');
  assert.equal(await ask(KNOWN, '192.0.2.7'), false);
});

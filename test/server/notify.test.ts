// What operators are told, and what becomes of a message that nobody takes.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { Secret } from '../../src/base/secret.ts';
import { notify } from '../../src/server/notify.ts';

test('a message is signed, tried again, and given up with a code', async (t) => {
  const seen: string[] = [];
  let status = 500;
  const server = http.createServer((request, response) => {
    seen.push(String(request.headers['x-tailplane-signature']));
    response.statusCode = status;
    response.end('secret answer');
    // The second try finds it well again, so that the test needn't wait for all of them.
    status = 204;
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const secret = new Secret('s');
  assert.deepEqual(await notify({ url, secret, now: () => 0, pausesMs: [0, 1] }, { kind: 'taken' }), {
    ok: true,
    value: undefined,
  });
  assert.equal(seen.length, 2);
  assert.match(seen[0] ?? '', /[0-9a-f]{64}/);
  const gone = await notify({ url: 'http://127.0.0.1:9/', secret, now: () => 0, pausesMs: [0, 1] }, {});
  assert.equal(gone.ok ? '' : gone.code, 'server/not-notified');
});

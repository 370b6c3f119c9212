// Who a request comes from, behind proxies and without, and where port 80 sends people.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import type { IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';

import { StartFailure } from '../../src/server/failure.ts';
import { trustedProxies } from '../../src/server/proxy.ts';
import { redirectTo } from '../../src/server/redirect.ts';

const from = (remoteAddress: string, forwarded?: string): IncomingMessage =>
  ({
    socket: { remoteAddress },
    headers: forwarded === undefined ? {} : { 'x-forwarded-for': forwarded },
  }) as unknown as IncomingMessage;

test('only what trusted proxies say is believed, and only as far as they go', () => {
  const { remoteAddressOf } = trustedProxies('10.0.0.0/8, 2001:db8::1');
  const cases: [request: IncomingMessage, address: string][] = [
    [from('192.0.2.1'), '192.0.2.1'],
    [from('192.0.2.1', '198.51.100.1'), '192.0.2.1'],
    [from('::ffff:192.0.2.1'), '192.0.2.1'],
    [from('10.1.2.3', '198.51.100.1'), '198.51.100.1'],
    [from('::ffff:10.1.2.3', '198.51.100.1'), '198.51.100.1'],
    [from('2001:db8::1', '10.9.9.9, 2001:DB8:0::5'), '2001:db8::5'],
    [from('10.1.2.3', '203.0.113.9, 198.51.100.1, 10.4.4.4'), '198.51.100.1'],
    [from('10.1.2.3', '203.0.113.9, unknown'), '10.1.2.3'],
    [from('10.1.2.3', ''), '10.1.2.3'],
    [from('10.1.2.3'), '10.1.2.3'],
    [from('10.1.2.3', `203.0.113.9${',10.0.0.1'.repeat(100)}`), '10.0.0.1'],
    [from(''), ''],
  ];
  for (const [request, address] of cases) {
    assert.equal(remoteAddressOf(request), address, JSON.stringify(request.headers));
  }
});

test('without the setting nothing is trusted; a wrong setting is said at start', () => {
  assert.equal(trustedProxies(undefined).remoteAddressOf(from('127.0.0.1', '192.0.2.1')), '127.0.0.1');
  assert.equal(trustedProxies('10.0.0.0/8').isTrusted('::ffff:10.0.0.1'), true);
  assert.throws(() => trustedProxies('10.0.0.1/8'), StartFailure);
  assert.throws(() => trustedProxies('proxy.example.com'), StartFailure);
});

test('port 80 sends readers to the URL and refuses what would write', async (t) => {
  const server = http.createServer(
    redirectTo(new URL('https://tail.example.com'), (request, response) => {
      if (request.url !== '/generate_204') return false;
      response.writeHead(204).end();
      return true;
    }),
  );
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const ask = (path: string, method = 'GET'): Promise<Response> =>
    fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`, { method, redirect: 'manual' });
  const moved = await ask('//other.example.com/a?b=c');
  assert.deepEqual(
    [moved.status, moved.headers.get('location')],
    [308, 'https://tail.example.com//other.example.com/a?b=c'],
  );
  assert.equal((await ask('/', 'POST')).status, 404);
  assert.equal((await ask('/generate_204')).status, 204);
});

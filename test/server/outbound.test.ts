// A proxy that the environment names carries what the server itself asks for, and never what stays on the machine.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { test, type TestContext } from 'node:test';
import { readOutbound } from '../../src/server/outbound.ts';

const listen = async (t: TestContext, answer: (request: http.IncomingMessage) => string): Promise<number> => {
  const server = http.createServer((request, response) => response.end(answer(request)));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
};

test('requests leave by the proxy, those to loopback do not', async (t) => {
  const proxy = await listen(t, ({ url }) => `by the proxy: ${url}`);
  const local = await listen(t, () => 'direct');
  assert.equal(readOutbound({}), undefined);
  assert.throws(() => readOutbound({ HTTPS_PROXY: 'socks5://127.0.0.1:1080' }), /names no HTTP proxy/);
  assert.deepEqual(readOutbound({ HTTPS_PROXY: `http://127.0.0.1:${proxy}`, NO_PROXY: 'git.example.com' }), {
    HTTPS_PROXY: `http://127.0.0.1:${proxy}/`,
    NO_PROXY: 'git.example.com',
  });
  const text = async (url: string): Promise<string> => await (await fetch(url)).text();
  assert.match(await text('http://hooks.example.com/x'), /^by the proxy: /);
  assert.equal(await text(`http://127.0.0.1:${local}/`), 'direct');
  assert.equal(await text(`http://localhost:${local}/`), 'direct');
});

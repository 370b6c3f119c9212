// One port for plain HTTP and TLS: each connection reaches the right side with its first bytes, and a silent one is closed.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { test } from 'node:test';
import { splitByFirstByte } from '../../src/server/listener.ts';

test('the first byte decides, and no byte is lost', async (t) => {
  const seen: string[] = [];
  const read = (side: string) => (socket: net.Socket) => {
    socket.on('data', (chunk) => seen.push(`${side} ${chunk.toString('latin1')}`));
    socket.on('end', () => socket.end('bye'));
  };
  const server = net.createServer(
    { pauseOnConnect: false },
    splitByFirstByte({ plain: read('plain'), tls: read('tls') }),
  );
  t.after(() => server.close());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  for (const bytes of ['GET / HTTP/1.1', '\r\nGET / HTTP/1.1', '\u0016\u0003\u0001hello']) {
    const socket = net.connect(port, '127.0.0.1');
    socket.end(Buffer.from(bytes, 'latin1'));
    const chunks: Buffer[] = [];
    for await (const chunk of socket) chunks.push(chunk as Buffer);
    assert.equal(Buffer.concat(chunks).toString(), 'bye');
  }
  assert.deepEqual(seen, ['plain GET / HTTP/1.1', 'plain \r\nGET / HTTP/1.1', 'tls \u0016\u0003\u0001hello']);
});

test('what begins neither TLS nor a request is closed without an answer, and reaches no parser', async (t) => {
  const server = net.createServer(splitByFirstByte({ plain: () => assert.fail(), tls: () => assert.fail() }));
  t.after(() => server.close());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  for (const byte of [0x00, 0x15, 0x17, 0x20, 0x40, 0x5b, 0x67, 0xff]) {
    const socket = net.connect(port, '127.0.0.1');
    // The rest of what was sent is unread, so the close may come as a reset.
    socket.on('error', () => {});
    socket.on('data', () => assert.fail(`${byte} was answered`));
    socket.write(Buffer.alloc(64, byte));
    if (!socket.closed) await once(socket, 'close').catch(() => {});
  }
});

test('a connection that ends before it said anything is closed', async (t) => {
  const server = net.createServer(splitByFirstByte({ plain: () => assert.fail(), tls: () => assert.fail() }));
  t.after(() => server.close());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const socket = net.connect((server.address() as net.AddressInfo).port, '127.0.0.1');
  socket.end();
  socket.resume();
  await once(socket, 'close');
});

// What strangers can do to the port, and what they can't: silence, slow requests, oversized and broken ones, floods. Clients
// that are connected notice nothing of a new certificate.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import tls from 'node:tls';

import { makeSelfSignedCertificate } from '../../src/server/certificate.ts';
import { bindFront, type Front } from '../../src/server/front.ts';
import { openCertificate } from '../../src/server/tls.ts';

const HOUR_MS = 3_600_000;
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tailplane-exposure-'));
const certFile = path.join(folder, 'tls.crt');
const keyFile = path.join(folder, 'tls.key');

const writeCertificate = (name: string): void => {
  const { certPem, keyPem } = makeSelfSignedCertificate({
    hostnames: [name],
    ips: [],
    notBefore: new Date(Date.now() - HOUR_MS),
    notAfter: new Date(Date.now() + HOUR_MS),
  });
  fs.writeFileSync(keyFile, keyPem);
  fs.writeFileSync(certFile, certPem);
};

describe('the port that strangers reach', () => {
  const notes: string[] = [];
  let front: Front;
  let certificate: ReturnType<typeof openCertificate>;

  before(async () => {
    writeCertificate('first.example.com');
    certificate = openCertificate({
      settings: { tlsCert: certFile, tlsKey: keyFile },
      dataFolder: folder,
      host: 'first.example.com',
      now: Date.now,
      note: (level, event) => notes.push(`${level}: ${event}`),
    });
    front = await bindFront(
      { host: '127.0.0.1', port: 0 },
      {
        handshakeMs: 300,
        headersMs: 400,
        newcomers: { all: 100, perPrefix: 20, perSecond: 20, isExempt: () => false },
      },
    );
    front.open({ answer: (_request, response) => response.end('ok'), upgrade: () => false }, certificate);
  });
  after(() => {
    front.close();
    certificate.close();
    fs.rmSync(folder, { recursive: true, force: true });
  });

  const dial = (): net.Socket => {
    const socket = net.connect(front.at.port, '127.0.0.1');
    socket.on('error', () => {});
    return socket;
  };
  const dialTls = async (): Promise<tls.TLSSocket> => {
    const socket = tls.connect({ port: front.at.port, host: '127.0.0.1', rejectUnauthorized: false });
    socket.on('error', () => {});
    await once(socket, 'secureConnect');
    return socket;
  };
  /** Everything that comes until the server ends the connection, and after how long that was. */
  const untilClosed = async (socket: net.Socket): Promise<{ text: string; afterMs: number }> => {
    const start = performance.now();
    let text = '';
    socket.on('data', (chunk) => (text += chunk.toString('latin1')));
    await once(socket, 'close');
    return { text, afterMs: performance.now() - start };
  };
  const ask = async (socket: net.Socket): Promise<string> => {
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    return String(((await once(socket, 'data')) as [Buffer])[0]);
  };

  test('silence, half a TLS handshake and half a request are ended in time', async () => {
    const silent = dial();
    const half = dial();
    half.write(Buffer.from('16030100c8010000c40303', 'hex'));
    const slow = dial();
    slow.write('GET / HTTP/1.1\r\nHost: x\r\n');
    const trickle = setInterval(() => slow.write('X-More: 1\r\n'), 50);
    const [a, b, c] = await Promise.all([untilClosed(silent), untilClosed(half), untilClosed(slow)]);
    clearInterval(trickle);
    assert.ok(a.afterMs < 1_000 && b.afterMs < 1_000, `${a.afterMs} ms, ${b.afterMs} ms`);
    assert.ok(c.afterMs > 300 && c.afterMs < 1_500, `${c.afterMs} ms`);
    assert.match(c.text, /^(?:HTTP\/1\.1 4\d\d .*)?$/s);
  });

  test('garbage and headers that are too large get a constant answer or none', async () => {
    const answers = new Set<string>();
    for (const bytes of [
      '\u0000\u0001\u0002\r\n\r\n',
      'GET / HTTP/9.9\r\n\r\n',
      `GET / HTTP/1.1\r\nX: ${'x'.repeat(40_000)}\r\n\r\n`,
    ]) {
      const socket = dial();
      socket.write(bytes, 'latin1');
      answers.add((await untilClosed(socket)).text);
    }
    for (const answer of answers)
      assert.match(answer, /^(?:HTTP\/1\.1 400 Bad Request\r\nConnection: close\r\n\r\n)?$/);
  });

  test('one address holds a limited number of connections without a request, and others are not counted', async () => {
    const asked = dial();
    await ask(asked);
    await sleep(20);
    const held = Array.from({ length: 40 }, dial);
    await sleep(100);
    assert.equal(held.filter((socket) => !socket.destroyed).length, 20);
    assert.match(await ask(asked), /^HTTP\/1\.1 200/);
    for (const socket of held) if (!socket.closed) await once(socket, 'close');
    await sleep(50);
    assert.match(await ask(dial()), /^HTTP\/1\.1 200/, 'the place is free again');
    asked.destroy();
  });

  test('a new certificate in the files is shown to new connections, and old ones go on', async () => {
    const old = await dialTls();
    await ask(old);
    assert.equal(old.getPeerCertificate().subject.CN, 'first.example.com');
    fs.writeFileSync(certFile, 'half a certificate');
    for (const until = Date.now() + 3_000; notes.length === 0 && Date.now() < until;) await sleep(20);
    assert.match(notes.at(-1) ?? '', /^warn: the new certificate is not taken/);
    assert.equal((await dialTls()).getPeerCertificate().subject.CN, 'first.example.com');
    writeCertificate('second.example.com');
    const deadline = Date.now() + 3_000;
    let shown = '';
    while (shown !== 'second.example.com' && Date.now() < deadline) {
      const socket = await dialTls();
      shown = String(socket.getPeerCertificate().subject.CN);
      socket.destroy();
      await sleep(50);
    }
    assert.equal(shown, 'second.example.com');
    assert.match(await ask(old), /^HTTP\/1\.1 200/);
    assert.equal(old.getPeerCertificate().subject.CN, 'first.example.com', 'the same connection');
    old.destroy();
  });

  test('one address opens connections at a limited rate, then gets the port back', async () => {
    let answered = 0;
    for (let i = 0; i < 300; i++) {
      const socket = dial();
      socket.write('GET / HTTP/1.1\r\nConnection: close\r\nHost: x\r\n\r\n');
      if ((await untilClosed(socket)).text !== '') answered++;
    }
    assert.ok(answered < 250, `${answered} of 300 answered`);
    await sleep(500);
    assert.match(await ask(dial()), /^HTTP\/1\.1 200/);
  });

  test('TLS 1.2 and 1.3 are spoken, older versions and HTTP/2 are not', async () => {
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      const socket = tls.connect({
        port: front.at.port,
        host: '127.0.0.1',
        rejectUnauthorized: false,
        minVersion: version,
        maxVersion: version,
        ALPNProtocols: ['h2', 'http/1.1'],
      });
      await once(socket, 'secureConnect');
      assert.deepEqual([socket.getProtocol(), socket.alpnProtocol], [version, 'http/1.1']);
      socket.destroy();
    }
    const old = tls.connect({
      port: front.at.port,
      host: '127.0.0.1',
      rejectUnauthorized: false,
      minVersion: 'TLSv1.1',
      maxVersion: 'TLSv1.1',
      ciphers: 'DEFAULT@SECLEVEL=0',
    });
    await assert.rejects(once(old, 'secureConnect'));
  });
});

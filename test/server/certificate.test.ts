// The certificates that the server makes for itself, read back by OpenSSL through node:crypto and used by node:tls.

import assert from 'node:assert/strict';
import { createHash, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import tls from 'node:tls';

import { makeMetaCertificate, makeSelfSignedCertificate } from '../../src/server/certificate.ts';

const YEAR_MS = 365 * 24 * 3_600_000;
const now = new Date();
const request = {
  hostnames: ['tail.example.com', 'localhost'],
  ips: ['127.0.0.1', '2001:db8::5'],
  notBefore: new Date(now.getTime() - 3_600_000),
  notAfter: new Date(now.getTime() + YEAR_MS),
};

test('OpenSSL reads back every field', () => {
  const { certPem, keyPem, sha256Raw } = makeSelfSignedCertificate(request);
  const read = new X509Certificate(certPem);
  assert.equal(read.subject, 'CN=tail.example.com');
  assert.equal(read.issuer, read.subject);
  assert.equal(
    read.subjectAltName,
    'DNS:tail.example.com, DNS:localhost, IP Address:127.0.0.1, IP Address:2001:DB8:0:0:0:0:0:5',
  );
  assert.deepEqual(read.keyUsage, ['1.3.6.1.5.5.7.3.1']);
  assert.equal(read.ca, false);
  assert.equal(read.validFromDate.getTime(), Math.floor(request.notBefore.getTime() / 1000) * 1000);
  assert.equal(read.validToDate.getTime(), Math.floor(request.notAfter.getTime() / 1000) * 1000);
  assert.ok(read.verify(read.publicKey), 'signed by its own key');
  assert.equal(sha256Raw, createHash('sha256').update(read.raw).digest('hex'));
  assert.match(keyPem, /^-----BEGIN PRIVATE KEY-----/);
});

test('a key is kept when it is given, and times from 2050 on are written in four digits', () => {
  for (const { privateKey } of [generateKeyPairSync('ed25519'), generateKeyPairSync('ec', { namedCurve: 'P-256' })]) {
    const keyPem = privateKey.export({ format: 'pem', type: 'pkcs8' }) as string;
    const made = makeSelfSignedCertificate({ ...request, keyPem, notAfter: new Date('2061-02-03T04:05:06Z') });
    const read = new X509Certificate(made.certPem);
    assert.equal(made.keyPem, keyPem);
    assert.ok(read.checkPrivateKey(privateKey));
    assert.equal(read.validToDate.toISOString(), '2061-02-03T04:05:06.000Z');
  }
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' });
  const keyPem = privateKey.export({ format: 'pem', type: 'pkcs8' }) as string;
  assert.throws(() => makeSelfSignedCertificate({ ...request, keyPem }), /P-256 or Ed25519/);
  assert.throws(() => makeSelfSignedCertificate({ ...request, ips: ['localhost'] }), /not an IP address/);
});

test('a client that trusts it gets a TLS 1.3 session, with the relay key behind the leaf', async () => {
  const relayKey = new Uint8Array(32).fill(0xab);
  const { certPem, keyPem } = makeSelfSignedCertificate(request);
  const server = tls.createServer({ cert: certPem + makeMetaCertificate(relayKey, now), key: keyPem }, (socket) => {
    socket.end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const socket = tls.connect({ host: '127.0.0.1', port, ca: certPem, servername: 'tail.example.com' });
  await once(socket, 'secureConnect');
  assert.equal(socket.getProtocol(), 'TLSv1.3');
  assert.equal(socket.authorized, true);
  socket.destroy();
  server.close();

  const meta = new X509Certificate(makeMetaCertificate(relayKey, now));
  assert.equal(meta.subject, `CN=derpkey${'ab'.repeat(32)}`);
  assert.equal(meta.serialNumber, '02');
  assert.equal(meta.publicKey.asymmetricKeyType, 'ed25519');
  assert.ok(meta.verify(meta.publicKey));
});

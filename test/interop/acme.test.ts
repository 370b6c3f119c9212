// A certificate from a real ACME server (pebble, of Let's Encrypt) on loopback: first certificate, renewal, failure, and clients that
// notice nothing.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import fs from 'node:fs';
import type { IncomingMessage } from 'node:http';
import https from 'node:https';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import tls from 'node:tls';

import acme from 'acme-client';

import { openAcme, type AcmeOptions } from '../../src/server/acme.ts';
import { createChallenges } from '../../src/server/challenges.ts';
import { bindFront, type Front } from '../../src/server/front.ts';
import { openCertificate, type ServerCertificate } from '../../src/server/tls.ts';
import { answerWith } from './answer.ts';
import { pebbleCertificate, skipPebble, startPebble, type Pebble } from './pebble.ts';
import { eventually, freePort } from './task.ts';

const NAME = 'tail.example.com';
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tailplane-acme-'));
/** Answers every question for an IPv4 address with 127.0.0.1, and others with nothing, over TCP. */
const startDns = async (): Promise<net.Server> => {
  const server = net.createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', (message: Buffer) => {
      const answer = answerWith('127.0.0.1', message.subarray(2));
      socket.write(Uint8Array.of(answer.length >> 8, answer.length & 0xff, ...answer));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
};

const own = pebbleCertificate;

/** The certificate that a new connection is shown. */
const shown = async (port: number): Promise<{ issuer: string; serial: string }> => {
  const socket = tls.connect({ port, host: '127.0.0.1', servername: NAME, rejectUnauthorized: false });
  await once(socket, 'secureConnect');
  const { issuer, serialNumber } = socket.getPeerCertificate();
  socket.destroy();
  return { issuer: String(issuer.CN), serial: serialNumber };
};

describe('a certificate from an ACME server', { skip: skipPebble }, () => {
  let dns: net.Server;
  const pebbles: Pebble[] = [];
  const fronts: Front[] = [];
  const certificates: { close: () => void }[] = [];

  before(async () => {
    dns = await startDns();
    acme.axios.defaults.httpsAgent = new https.Agent({ ca: own.certPem });
  });

  after(async () => {
    for (const certificate of certificates) certificate.close();
    for (const front of fronts) front.close();
    await Promise.all(pebbles.map((pebble) => pebble.stop()));
    dns.close();
    fs.rmSync(folder, { recursive: true, force: true });
  });

  /** Gives the URL of the directory of a new ACME server that looks for challenges at these ports. */
  const openPebble = async (ports: { tlsPort: number; httpPort: number }, validSeconds: number): Promise<string> => {
    const pebble = await startPebble({ ...ports, validSeconds, dnsPort: (dns.address() as net.AddressInfo).port });
    pebbles.push(pebble);
    return pebble.directory;
  };

  const openFront = async (makeCertificate: (port: number) => Promise<ServerCertificate>): Promise<number> => {
    const front = await bindFront({ host: '127.0.0.1', port: 0 });
    fronts.push(front);
    const certificate = await makeCertificate(front.at.port);
    certificates.push(certificate);
    front.open({ answer: (_request, response) => response.end('ok'), upgrade: () => false }, certificate);
    return front.at.port;
  };

  const withAcme = async (
    options: Omit<AcmeOptions, 'challenges' | 'now' | 'onCertificate'>,
  ): Promise<ServerCertificate> => {
    const challenges = createChallenges();
    const listeners: (() => void)[] = [];
    let context = { cert: own.certPem, key: own.keyPem };
    const certificate = openAcme({
      ...options,
      challenges,
      now: Date.now,
      onCertificate: (received) => {
        context = received;
        for (const listener of listeners) listener();
      },
    });
    return {
      context: () => context,
      pinned: undefined,
      onChange: (listener) => listeners.push(listener),
      challenges,
      begin: certificate.begin,
      close: certificate.close,
    };
  };

  test('comes over the port that is there, is renewed and stored, and connections go on', async () => {
    const dataFolder = path.join(folder, 'data');
    const port = await openFront(async (at) =>
      openCertificate({
        settings: { acmeDirectory: await openPebble({ tlsPort: at, httpPort: at }, 8) },
        dataFolder,
        host: NAME,
        now: Date.now,
      }),
    );
    const agent = new https.Agent({ keepAlive: true, maxSockets: 1, rejectUnauthorized: false });
    const ask = async (): Promise<number> => {
      const request = https.get({ agent, port, host: '127.0.0.1', servername: NAME });
      const [response] = (await once(request, 'response')) as [IncomingMessage];
      const { localPort } = response.socket;
      response.resume();
      await once(response, 'end');
      return localPort as number;
    };
    const connection = await ask();
    const first = await eventually('the first certificate is shown', 15_000, async () => {
      const certificate = await shown(port);
      return certificate.issuer.startsWith('Pebble') && certificate;
    });
    assert.equal(await ask(), connection, 'the same connection');
    const stored = fs.globSync(path.join(dataFolder, 'acme/*/*'));
    assert.equal(stored.length, 3);
    for (const file of stored) assert.equal(fs.statSync(file).mode & 0o777, 0o600);
    await eventually('a renewed one is shown', 15_000, async () => (await shown(port)).serial !== first.value.serial);
  });

  test('comes over HTTP where TLS does not reach us; the failure is told', async () => {
    const failures: string[] = [];
    const port = await openFront(async (at) =>
      withAcme({
        directoryUrl: await openPebble({ tlsPort: await freePort(), httpPort: at }, 3_600),
        hostname: NAME,
        folder: path.join(folder, 'http'),
        onFailure: (reason) => failures.push(reason),
        retryMs: [100],
      }),
    );
    await eventually('the certificate is shown', 20_000, async () => (await shown(port)).issuer.startsWith('Pebble'));
    assert.equal(failures.length, 1);
    assert.match(failures[0] ?? '', /Failed to connect/);
  });

  test('is not given for a name that the ACME server refuses; waits grow, and the server goes on', async () => {
    const waits: number[] = [];
    const port = await openFront(async (at) =>
      withAcme({
        directoryUrl: await openPebble({ tlsPort: at, httpPort: at }, 3_600),
        hostname: 'blocked.example.com',
        folder: path.join(folder, 'blocked'),
        onFailure: (reason, waitMs) => {
          assert.match(reason, /blocked|policy|rejected/i);
          waits.push(waitMs);
        },
        retryMs: [50, 100, 200],
      }),
    );
    await eventually('four failures', 15_000, () => waits.length >= 4);
    assert.deepEqual(waits.slice(0, 4), [50, 100, 200, 200]);
    assert.equal((await shown(port)).issuer, 'localhost');
  });
});

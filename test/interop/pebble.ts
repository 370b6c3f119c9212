// A real ACME server (pebble, of Let's Encrypt) on loopback, built from test/interop/acme.

import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import https from 'node:https';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { makeSelfSignedCertificate } from '../../src/server/certificate.ts';
import { eventually, freePort, Task } from './task.ts';

const HOUR_MS = 3_600_000;
const binary = path.join(import.meta.dirname, '.build/pebble');

const build = (): string | false => {
  const cwd = path.join(import.meta.dirname, 'acme');
  const { status, error } = spawnSync('go', ['build', '-trimpath', '-o', binary, 'tool'], { cwd });
  if (status === 0) return false;
  if (process.env['CI']) throw new Error('pebble did not build; with CI set these tests are never skipped');
  return error ? 'Go is not installed, so pebble cannot be built' : 'pebble did not build';
};

/** For `describe`: the reason to skip, or `false`. */
export const skipPebble: string | false = build();

/** What pebble shows to those who connect to it; a certificate authority that signs itself. */
export const pebbleCertificate = makeSelfSignedCertificate({
  hostnames: ['localhost'],
  ips: ['127.0.0.1'],
  notBefore: new Date(Date.now() - HOUR_MS),
  notAfter: new Date(Date.now() + HOUR_MS),
});

/** Passes requests on to pebble, which makes its URLs of the host that it is asked by, and says in each answer where the order is. */
const startFront = async (pebblePort: number): Promise<https.Server> => {
  const tls = { cert: pebbleCertificate.certPem, key: pebbleCertificate.keyPem };
  const front = https.createServer(tls, (incoming, outgoing) => {
    const { method = 'GET', url = '/', headers } = incoming;
    const options = { host: '127.0.0.1', port: pebblePort, method, path: url, headers, ca: pebbleCertificate.certPem };
    const onward = https.request(options, (answer) => {
      const order = url.replace('/finalize-order/', '/my-order/');
      const location = order === url ? {} : { location: `https://${headers.host}${order}` };
      outgoing.writeHead(answer.statusCode ?? 502, { ...answer.headers, ...location });
      answer.pipe(outgoing);
    });
    onward.on('error', () => outgoing.destroy());
    incoming.pipe(onward);
  });
  front.listen(0, '127.0.0.1');
  await once(front, 'listening');
  return front;
};

export interface PebbleOptions {
  /** Where it asks for records and addresses. */
  readonly dnsPort: number;
  /** Where it looks for the challenges. */
  readonly tlsPort?: number;
  readonly httpPort?: number;
  readonly validSeconds?: number;
}

export interface Pebble {
  readonly directory: string;
  /** The same for Tailscale clients, which want to be told where an order is when they finish it, as Let's Encrypt does. */
  readonly directoryForClients: string;
  /** PEM of the certificate that signs all of its certificates; another one at every start. */
  readonly root: () => Promise<string>;
  readonly log: () => string;
  readonly stop: () => Promise<unknown>;
}

export const startPebble = async ({
  dnsPort,
  tlsPort,
  httpPort,
  validSeconds = 3_600,
}: PebbleOptions): Promise<Pebble> => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tailplane-pebble-'));
  const [port, managementPort] = [await freePort(), await freePort()];
  const file = (name: string): string => path.join(folder, name);
  fs.writeFileSync(file('pebble.crt'), pebbleCertificate.certPem);
  fs.writeFileSync(file('pebble.key'), pebbleCertificate.keyPem, { mode: 0o600 });
  const pebble = {
    listenAddress: `127.0.0.1:${port}`,
    managementListenAddress: `127.0.0.1:${managementPort}`,
    certificate: file('pebble.crt'),
    privateKey: file('pebble.key'),
    tlsPort: tlsPort ?? (await freePort()),
    httpPort: httpPort ?? (await freePort()),
    domainBlocklist: ['blocked.example.com'],
    retryAfter: { authz: 1, order: 1 },
    profiles: { default: { description: 'short', validityPeriod: validSeconds } },
  };
  fs.writeFileSync(file('pebble.json'), JSON.stringify({ pebble }));
  const task = new Task({
    command: [binary, '-config', file('pebble.json'), '-dnsserver', `127.0.0.1:${dnsPort}`],
    logFile: file('pebble.log'),
    // Refused nonces make clients wait for seconds; what they do then is theirs to test.
    env: { PEBBLE_VA_NOSLEEP: '1', PEBBLE_AUTHZREUSE: '0', PEBBLE_WFE_NONCEREJECT: '0' },
  });
  await eventually('pebble listens', 10_000, async () => {
    const socket = net.connect(port, '127.0.0.1');
    await once(socket, 'connect');
    socket.destroy();
    return true;
  });
  const front = await startFront(port);
  return {
    directory: `https://127.0.0.1:${port}/dir`,
    directoryForClients: `https://127.0.0.1:${(front.address() as net.AddressInfo).port}/dir`,
    root: async () =>
      new Promise((resolve, reject) => {
        const options = { host: '127.0.0.1', port: managementPort, path: '/roots/0', ca: pebbleCertificate.certPem };
        const request = https.get(options, (response) => {
          let text = '';
          response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk)).on('end', () => resolve(text)); // prettier-ignore
        });
        request.on('error', reject);
      }),
    log: () => task.log,
    stop: async () => {
      front.close();
      front.closeAllConnections();
      await task.stop();
      fs.rmSync(folder, { recursive: true, force: true });
    },
  };
};

// The relay under the official client library (derp/derp_test.go): each of its tests is one here. And a stock relay that asks us whom
// it may let in.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import net, { type AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import readline from 'node:readline';
import { after, before, describe, test } from 'node:test';

import { formatHex } from '../../src/base/bytes.ts';
import { verifyAnswer } from '../../src/derp/verify.ts';
import { nativeCrypto } from '../../src/keys/native.ts';
import { formatPrivateKey, makeKeyPair } from '../../src/keys/pair.ts';
import { formatNodeKey } from '../../src/keys/text.ts';
import { makeSelfSignedCertificate } from '../../src/server/certificate.ts';
import { program, skip } from './machine.ts';
import { eventually, freePort, Task } from './task.ts';

const CHECKOUT = path.join(import.meta.dirname, '../..');
const TESTS = [
  'SendAndReceive',
  'NotePreferred',
  'Ping',
  'PeerGone',
  'Duplicates',
  'WebSocket',
  'Mesh',
  'TLSFastStart',
  'STUN',
  'Probes',
  'StockRelayAsksUs',
  'StockMesh',
];

interface GoEvent {
  readonly Action: string;
  readonly Test?: string;
  readonly Output?: string;
}

/** What `go test` said of each test: undefined if it passed. */
const runGo = async (relay: object, authority: string): Promise<ReadonlyMap<string, string | undefined>> => {
  const child = spawn('go', ['test', '-json', '-count=1', './derp'], {
    cwd: import.meta.dirname,
    env: { ...process.env, TAILPLANE_TEST_RELAY: JSON.stringify(relay), SSL_CERT_FILE: authority },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const output = new Map<string, string>();
  const results = new Map<string, string | undefined>();
  for await (const line of readline.createInterface({ input: child.stdout })) {
    const { Action, Test = '', Output = '' } = JSON.parse(line) as GoEvent;
    const name = Test.replace(/^Test/, '');
    if (Action === 'output') output.set(name, (output.get(name) ?? '') + Output);
    if (Action === 'pass') results.set(name, undefined);
    if (Action === 'fail') results.set(name, output.get(name) ?? 'it failed without a word');
  }
  return results;
};

/** A relay of ours and a stock one, each a client of the other by TLS, with one certificate that both believe. */
const startMesh = async (folder: string) => {
  const dayMs = 86_400_000;
  const { certPem, keyPem } = makeSelfSignedCertificate({
    hostnames: [],
    ips: ['127.0.0.1'],
    notBefore: new Date(Date.now() - dayMs),
    notAfter: new Date(Date.now() + dayMs),
  });
  const authority = path.join(folder, '127.0.0.1.crt');
  fs.writeFileSync(authority, certPem);
  fs.writeFileSync(path.join(folder, '127.0.0.1.key'), keyPem, { mode: 0o600 });
  const [ourPort, stockPort] = [await freePort(), await freePort()];
  const ours = new Task({
    command: [
      process.execPath,
      ...'src/cli/tailplane.js derp --json --admit any --stun off'.split(' '),
      `--listen=127.0.0.1:${ourPort}`,
      `--data=${path.join(folder, 'meshed')}`,
      `--tls-cert=${authority}`,
      `--tls-key=${path.join(folder, '127.0.0.1.key')}`,
      `--mesh-key-file=${path.join(folder, 'mesh.key')}`,
      `--mesh-with=127.0.0.1:${stockPort}`,
    ],
    cwd: CHECKOUT,
    env: { ...process.env, NODE_EXTRA_CA_CERTS: authority },
    logFile: path.join(folder, 'our-mesh.log'),
  });
  const stock = new Task({
    command: [
      program('derper'),
      ...'-http-port=-1 -stun=false -certmode=manual -hostname=127.0.0.1'.split(' '),
      `-a=127.0.0.1:${stockPort}`,
      `-certdir=${folder}`,
      `-c=${path.join(folder, 'derper-mesh.json')}`,
      `-mesh-psk-file=${path.join(folder, 'mesh.key')}`,
      `-mesh-with=127.0.0.1:${ourPort}`,
    ],
    env: { ...process.env, SSL_CERT_FILE: authority },
    logFile: path.join(folder, 'derper-mesh.log'),
  });
  await eventually('both relays of the mesh listen', 10_000, async () =>
    (await Promise.all([ourPort, stockPort].map(listens))).every(Boolean),
  );
  const urlOf = (port: number): string => `https://127.0.0.1:${port}/derp`;
  return { tasks: [ours, stock], authority, ourURL: urlOf(ourPort), stockURL: urlOf(stockPort) };
};

const listens = async (port: number): Promise<boolean> =>
  await new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    socket.once('connect', () => socket.destroy() && resolve(true));
    socket.once('error', () => resolve(false));
  });

describe('the official client library', { skip }, () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tailplane-derp-'));
  const meshKey = formatHex(randomBytes(32));
  const admitted = makeKeyPair(nativeCrypto, randomBytes(32));
  const admittedKey = formatNodeKey(admitted.publicKey);
  const verifier = http.createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      void verifyAnswer(Buffer.concat(chunks), (key) => key === admittedKey).then((body) => response.end(body));
    });
  });
  const tasks: Task[] = [];
  let results: ReadonlyMap<string, string | undefined> = new Map();

  before(async () => {
    fs.writeFileSync(path.join(folder, 'mesh.key'), `${meshKey}\n`, { mode: 0o600 });
    const relay = new Task({
      command: [
        process.execPath,
        ...'src/cli/tailplane.js derp --json --listen 127.0.0.1:0 --insecure-http --admit any'.split(' '),
        `--data=${path.join(folder, 'data')}`,
        `--mesh-key-file=${path.join(folder, 'mesh.key')}`,
      ],
      cwd: CHECKOUT,
      logFile: path.join(folder, 'relay.log'),
    });
    verifier.listen(0, '127.0.0.1');
    await once(verifier, 'listening');
    const stockPort = await freePort();
    const stock = new Task({
      command: [
        program('derper'),
        ...'-http-port=-1 -stun=false -verify-client-url-fail-open=false'.split(' '),
        `-a=127.0.0.1:${stockPort}`,
        `-c=${path.join(folder, 'derper.json')}`,
        `-verify-client-url=http://127.0.0.1:${(verifier.address() as AddressInfo).port}/verify`,
      ],
      logFile: path.join(folder, 'derper.log'),
    });
    tasks.push(relay, stock);
    const meshed = await startMesh(folder);
    tasks.push(...meshed.tasks);
    const { value: printed } = await eventually(
      'the relay prints where it is',
      10_000,
      () => JSON.parse(relay.log) as { url: string; key: string; stunPort: number; certName: string },
    );
    await eventually(
      'derper answers',
      10_000,
      async () => (await fetch(`http://127.0.0.1:${stockPort}/derp/probe`)).ok,
    );
    results = await runGo(
      {
        ...printed,
        port: Number(new URL(printed.url).port),
        meshKey,
        verifiedURL: `http://127.0.0.1:${stockPort}/derp`,
        admitted: formatPrivateKey(admitted).reveal(),
        ourMeshURL: meshed.ourURL,
        stockMeshURL: meshed.stockURL,
      },
      meshed.authority,
    );
  });

  after(async () => {
    await Promise.all(tasks.map((task) => task.stop()));
    verifier.closeAllConnections();
    verifier.close();
    fs.rmSync(folder, { recursive: true, force: true });
  });

  for (const name of TESTS) {
    test(name, () => {
      assert.ok(results.has(name), 'go test did not come so far');
      assert.equal(results.get(name), undefined);
    });
  }
});

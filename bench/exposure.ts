// What strangers cost: connections that say nothing, half TLS handshakes, half requests and floods of new connections against a relay
// alone, while a pair of clients measures its round trip. Addresses of loopback have no limit of their own, so this is the
// worst that many addresses together could do.
//
//   npm run bench -- exposure --held 2000

import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';
import { FRAME } from '../src/derp/frame.ts';
import { connect, type TestClient } from '../test/derp/client.ts';
import { eventually, freePort, Task } from '../test/interop/task.ts';

const { values: options } = parseArgs({
  options: {
    held: { type: 'string', default: '2000' },
    pings: { type: 'string', default: '400' },
    /** Connections per second. */
    flood: { type: 'string', default: '2400' },
  },
});
const held = Number(options.held);

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tailplane-bench-exposure-'));
process.once('exit', () => fs.rmSync(folder, { recursive: true, force: true }));
const port = await freePort();
const relay = new Task({
  command: [
    process.execPath,
    path.join(import.meta.dirname, '../src/cli/tailplane.js'),
    ...`derp --admit any --insecure-http --stun off --listen 127.0.0.1:${port} --data ${folder}/data`.split(' '),
  ],
  logFile: path.join(folder, 'relay.log'),
});
await eventually('the relay listens', 10_000, () => relay.log.includes('Relay at'));

const memoryKb = (): number =>
  Number(/VmRSS:\s+(\d+)/.exec(fs.readFileSync(`/proc/${relay.pid}/status`, 'utf8'))?.[1] ?? NaN);

const [alice, bob] = [await connect({ port }), await connect({ port })];

/** Milliseconds of a round trip to the relay and through it to the other client, sorted. */
const roundTrips = async (from: TestClient, to: TestClient): Promise<readonly number[]> => {
  const times: number[] = [];
  for (let i = 0; i < Number(options.pings); i++) {
    const start = performance.now();
    from.sendTo(to.key, Buffer.alloc(100));
    await to.next(FRAME.recvPacket);
    times.push(performance.now() - start);
    await sleep(2);
  }
  return times.sort((a, b) => a - b);
};

const FIRST_BYTES: Readonly<Record<string, Buffer>> = {
  'connections without a word': Buffer.alloc(0),
  'half TLS handshakes': Buffer.from('16030100c8010000c40303', 'hex'),
  'half requests': Buffer.from('GET /derp HTTP/1.1\r\nHost: x\r\n'),
  'upgrades without a key': Buffer.from(
    'GET /derp HTTP/1.1\r\nHost: x\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n\r\n',
  ),
};

const hold = async (bytes: Buffer): Promise<readonly net.Socket[]> => {
  const sockets: net.Socket[] = [];
  for (let i = 0; i < held; i++) {
    const socket = net.connect(port, '127.0.0.1');
    socket.on('error', () => {});
    socket.on('data', () => {});
    sockets.push(socket);
    if (i % 50 === 49) await once(socket, 'connect');
    if (bytes.length > 0) socket.write(bytes);
  }
  await sleep(300);
  return sockets;
};

const row = (name: string, times: readonly number[], more: readonly string[]): void => {
  const at = (share: number): string => `${(times[Math.floor(times.length * share)] ?? NaN).toFixed(2)} ms`;
  console.log(`${name.padEnd(34)}${at(0.5).padStart(10)}${at(0.99).padStart(11)}  ${more.join(', ')}`);
};

console.log(`${held} held at once; round trip of a connected pair: median, 99 %\n`);
await roundTrips(alice, bob);
row('nobody else', await roundTrips(alice, bob), []);
for (const [name, bytes] of Object.entries(FIRST_BYTES)) {
  const before = memoryKb();
  const start = performance.now();
  const sockets = await hold(bytes);
  const perConnection = (memoryKb() - before) / held;
  row(name, await roundTrips(alice, bob), [`${Math.max(0, perConnection).toFixed(1)} KB each`]);
  await Promise.all(sockets.map(async (socket) => (socket.closed ? undefined : once(socket, 'close'))));
  console.log(`${''.padEnd(57)}all ended after ${((performance.now() - start) / 1_000).toFixed(1)} s`);
}

/** In a thread of its own, so that the pair's own work is not measured. */
const FLOOD = `
  const { parentPort, workerData } = require('node:worker_threads');
  const start = performance.now();
  let connections = 0;
  let open = 0;
  const dial = () => {
    const socket = require('node:net').connect(workerData.port, '127.0.0.1');
    socket.on('error', () => {});
    socket.end(Buffer.alloc(64, 0xff));
    socket.resume();
    socket.on('close', () => open--);
    connections++;
    open++;
  };
  setInterval(() => {
    const due = ((performance.now() - start) * workerData.perSecond) / 1_000;
    while (connections < due && open < 500) dial();
  }, 1);
  parentPort.on('message', () => parentPort.postMessage(connections));
`;
const flood = new Worker(FLOOD, { eval: true, workerData: { port, perSecond: Number(options.flood) } });
const start = performance.now();
const times = await roundTrips(alice, bob);
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
flood.postMessage('count');
const [connections] = (await once(flood, 'message')) as [number];
row('a flood of garbage', times, [`${Math.round((connections * 1_000) / (performance.now() - start))} connections/s`]);
await flood.terminate();

alice.socket.destroy();
bob.socket.destroy();
await relay.stop();

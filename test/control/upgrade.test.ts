// The door: who is let in, and that whoever is no client learns nothing and costs little.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import net from 'node:net';
import { after, before, test } from 'node:test';

import fc from 'fast-check';
import { formatBase64 } from '../../src/base/bytes.ts';
import { nativeCrypto } from '../../src/keys/native.ts';
import { formatMachineKey } from '../../src/keys/text.ts';
import { decodeEarlyPayload } from '../../src/noise/early.ts';
import { initiate } from '../../src/noise/handshake.ts';
import { recordDecoder } from '../../src/noise/record.ts';
import {
  authKeyOf,
  connectBrowser,
  headEnd,
  machineKeyOf,
  newKeyPair,
  newNodeKey,
  openUpgrade,
  openWorld,
  until,
  upgradeHead,
  type World,
} from './world.ts';

let world: World;
before(async () => {
  world = await openWorld({ limits: { connectionsPerMachine: 3 } });
});
after(() => world.close());

const initiationFor = (serverKey: Uint8Array) => initiate(nativeCrypto, newKeyPair(), newKeyPair(), serverKey, 142);

/** Sends these bytes and gives what the server said until it closed. */
const say = (bytes: string | Uint8Array): Promise<string> =>
  new Promise((resolve) => {
    let seen = '';
    const socket = net.connect(world.port, '127.0.0.1', () => socket.write(bytes));
    socket.on('data', (part) => (seen += part.toString('latin1')));
    socket.on('error', () => {});
    socket.once('close', () => resolve(seen));
  });

test('/key gives the same key to every client, and asks for a version', () => {
  const answer = world.control.keyAnswer('142');
  const publicKey = formatMachineKey(world.serverKey);
  assert.deepEqual(JSON.parse(answer.body), { publicKey, legacyPublicKey: publicKey });
  for (const version of [undefined, '', 'x', '-1', '1e3']) assert.equal(world.control.keyAnswer(version).status, 400);
});

test('head, handshake and early payload come in one packet', async () => {
  const initiation = initiationFor(world.serverKey);
  const { socket, seen } = await openUpgrade(world.port, upgradeHead(initiation.message), () => true);
  socket.destroy();
  const at = headEnd(seen);
  assert.match(
    Buffer.from(seen.subarray(0, at)).toString(),
    /^HTTP\/1\.1 101 [^]*Upgrade: tailscale-control-protocol\r\n/,
  );
  const transport = initiation.finish(seen.subarray(at, at + 51))!;
  const parts: Uint8Array[] = [];
  const take = (part: Uint8Array): void => void parts.push(part);
  assert.ok(recordDecoder(nativeCrypto, transport.serverKey).push(seen.subarray(at + 51), take));
  const payload = decodeEarlyPayload(Buffer.concat(parts));
  assert.ok(typeof payload === 'object' && payload.challenge?.startsWith('chalpub:'));
});

test('a request that is no upgrade of ours gets a constant', async () => {
  const handshake = formatBase64(initiationFor(world.serverKey).message);
  const head = (method: string, upgrade: string, header: string): string =>
    `${method} /ts2021 HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: ${upgrade}\r\nX-Tailscale-Handshake: ${header}\r\n\r\n`;
  const token = 'tailscale-control-protocol';
  const cases: [request: string, status: number][] = [
    [head('POST', 'h2c', handshake), 400],
    [head('GET', token, handshake), 405],
    [head('POST', token, ''), 400],
    [head('POST', token, handshake.slice(0, -4)), 400],
    [head('POST', token, 'A'.repeat(136)), 400],
    [head('POST', token, `${handshake.slice(0, -1)}!`), 400],
    [head('GET', 'websocket', handshake), 400],
  ];
  for (const [request, status] of cases) assert.match(await say(request), new RegExp(`^HTTP/1.1 ${status} `), request);
});

test('a handshake for another server is answered by a constant error frame', async () => {
  const answers = new Set<string>();
  for (let i = 0; i < 3; i++) {
    const seen = await say(upgradeHead(initiationFor(newKeyPair().publicKey).message));
    answers.add(seen.slice(headEnd(Buffer.from(seen, 'latin1'))));
  }
  assert.deepEqual([...answers], ['\x03\x00\x1ethe handshake was not accepted']);
});

test('law: garbage after a true handshake ends the connection and nothing else', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 5000, size: 'max' }), async (garbage) => {
      const { socket } = await openUpgrade(world.port, upgradeHead(initiationFor(world.serverKey).message), () => true);
      const closed = new Promise((resolve) => socket.once('close', resolve));
      socket.on('error', () => {});
      socket.resume();
      // A head that promises more than comes may wait; so it is followed by enough to be a whole record.
      socket.write(Buffer.concat([garbage, randomBytes(5000)]));
      await closed;
    }),
    { numRuns: 40 },
  );
  assert.deepEqual(
    world.notes.filter(({ level }) => level === 'error'),
    [],
  );
  assert.equal((await (await world.connect()).request('GET', '/machine/whoami')).status, 200);
});

test('every request is bound to the machine that the handshake has proven', async () => {
  const client = await world.connect();
  const { json } = await client.request('GET', '/machine/whoami');
  assert.equal(json['machineKey'], machineKeyOf(client));
});

test('paths and methods that nobody serves', async () => {
  const client = await world.connect();
  for (const [method, path, status] of [
    ['GET', '/', 404],
    ['POST', '/machine/nothing', 404],
    ['GET', '/machine/tka/bootstrap', 404],
    ['POST', '/machine/ping/guessed', 404],
    ['GET', '/machine/ssh/action/1/to/2', 404],
    ['GET', '/machine/map', 405],
    ['POST', '/machine/id-token', 501],
  ] as const)
    assert.equal((await client.request(method, path, method === 'POST' ? '{}' : undefined)).status, status, path);
});

test('a machine has a few connections; the oldest makes room', async () => {
  const first = await world.connect();
  let isClosed = false;
  void first.closed.then(() => (isClosed = true));
  const others = [];
  for (let i = 0; i < 3; i++) {
    assert.equal(isClosed, false);
    others.push(await world.connect(first.machine));
  }
  await first.closed;
  assert.equal((await others[0]!.request('GET', '/machine/whoami')).status, 200);
});

test('a handshake that is played again takes no place from the machine whose it was', async () => {
  const machine = newKeyPair();
  const owner = await world.connect(machine);
  const { message } = initiate(nativeCrypto, machine, newKeyPair(), world.serverKey, 142);
  const replays = [];
  for (let i = 0; i < 5; i++) replays.push(await openUpgrade(world.port, upgradeHead(message), () => true));
  assert.equal((await owner.request('GET', '/machine/whoami')).status, 200);
  for (const { socket } of replays) socket.destroy();
});

test('a request whose body nobody reads leaves nothing behind', async () => {
  const client = await world.connect();
  for (let i = 0; i < 300; i++)
    assert.equal((await client.request('POST', '/machine/nothing', 'x'.repeat(1000))).status, 404);
});

test('machines that nobody knows can’t take all the room', async () => {
  const small = await openWorld({ limits: { strangers: 2 } });
  try {
    const known = await small.connect();
    await known.register({ NodeKey: newNodeKey(), Auth: { AuthKey: authKeyOf('alice') } });
    const first = await small.connect();
    const others = [await small.connect(), await small.connect()];
    await first.closed;
    for (const client of [known, ...others]) assert.equal((await client.request('GET', '/machine/whoami')).status, 200);
  } finally {
    await small.close();
  }
});

test('a connection whose client is silently gone is found and closed', async () => {
  const watchful = await openWorld({ limits: { probeEveryMs: 1000, probeAnswerMs: 1000 } });
  try {
    const [there, gone] = [await watchful.connect(), await watchful.connect()];
    gone.channel.pause();
    await until(() => watchful.control.gauges()['control_connections'] === 1, 5000);
    assert.equal((await there.request('GET', '/machine/whoami')).status, 200);
  } finally {
    await watchful.close();
  }
});

test('a browser comes through a WebSocket, in messages of at most 32 KiB', async () => {
  const sizes: number[] = [];
  const client = await connectBrowser(world.port, world.serverKey, (sizeBytes) => void sizes.push(sizeBytes));
  const NodeKey = newNodeKey();
  await client.register({ NodeKey, Auth: { AuthKey: authKeyOf('alice') } });
  const stream = await client.stream({ NodeKey });
  await stream.next();
  const big = 'x'.repeat(300_000);
  world.netmap.tell(world.registry.view.byNodeKey.get(NodeKey)!, { big });
  assert.deepEqual(await stream.next(), { big });
  assert.ok(Math.max(...sizes) <= 32 * 1024);
  client.close();
});

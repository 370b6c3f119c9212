// What clients see of the relay, over real sockets on loopback.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { formatHex } from '../../src/base/bytes.ts';
import { encodeFrame, FRAME, GONE, PRESENT } from '../../src/derp/frame.ts';
import { formatNodeKey } from '../../src/keys/text.ts';
import { connect, MESH_KEY, newKey, startRelay, type TestClient, type TestRelay } from './client.ts';

const packet = Buffer.from('a packet');
const disco = Buffer.concat([Buffer.from('5453f09f92ac', 'hex'), Buffer.alloc(56)]);

const received = async (client: TestClient): Promise<{ source: string; text: string }> => {
  const payload = await client.next(FRAME.recvPacket);
  return { source: formatHex(payload.subarray(0, 32)), text: payload.subarray(32).toString() };
};

const from = (client: TestClient, text: string): { source: string; text: string } => ({
  source: formatHex(client.key.publicKey),
  text,
});

const gone = async (client: TestClient): Promise<string> => formatHex(await client.next(FRAME.peerGone));
const goneFrame = (key: Uint8Array, reason: number): string => `${formatHex(key)}0${reason}`;

describe('packets', () => {
  let at: TestRelay;
  before(async () => {
    at = await startRelay();
  });
  after(() => at.close());

  for (const [name, options] of [
    ['an upgrade', {}],
    ['a fast start', { fastStart: true }],
    ['a WebSocket', { webSocket: true }],
  ] as const) {
    test(`go both ways over ${name}, up to the largest`, async () => {
      const alice = await connect(at, options);
      const bob = await connect(at);
      alice.sendTo(bob.key, packet);
      assert.deepEqual(await received(bob), from(alice, 'a packet'));
      const largest = 'x'.repeat(65_536);
      bob.sendTo(alice.key, Buffer.from(largest));
      assert.deepEqual(await received(alice), from(bob, largest));
    });
  }

  test('keep their order and their content when many come at once, whole and cut', async () => {
    const [alice, bob, carol] = [await connect(at), await connect(at), await connect(at)];
    const frames = Array.from({ length: 200 }, (_, i) =>
      encodeFrame(FRAME.sendPacket, (i % 3 === 0 ? carol : bob).key.publicKey, Buffer.alloc(i * 7, i)),
    );
    alice.socket.write(Buffer.concat(frames));
    for (let i = 0; i < frames.length; i++) {
      const payload = await (i % 3 === 0 ? carol : bob).next(FRAME.recvPacket);
      assert.ok(payload.subarray(32).equals(Buffer.alloc(i * 7, i)), `packet ${i}`);
    }
    assert.equal(at.relay.stats().dropped['queue-full'], 0);
  });

  test('to nobody are dropped; path discovery hears of it, three times in a row', async () => {
    const alice = await connect(at);
    const nobody = newKey();
    alice.sendTo(nobody, packet);
    for (let i = 0; i < 5; i++) alice.sendTo(nobody, disco);
    await alice.settle();
    const told = alice.unread().filter(({ type }) => type === FRAME.peerGone);
    assert.deepEqual(
      told.map(({ payload }) => formatHex(payload)),
      Array.from({ length: 3 }, () => goneFrame(nobody.publicKey, GONE.notHere)),
    );
  });

  test('for a client that does not read are dropped, the oldest first, and nobody else waits', async () => {
    const [alice, bob, carol] = [await connect(at), await connect(at), await connect(at)];
    bob.socket.pause();
    const big = Buffer.alloc(60_000);
    const before = at.relay.stats().dropped['queue-full'];
    for (let i = 0; i < 400; i++) {
      big.writeUInt32BE(i);
      alice.sendTo(bob.key, big);
    }
    alice.sendTo(carol.key, packet);
    assert.deepEqual(await received(carol), from(alice, 'a packet'));
    const dropped = at.relay.stats().dropped['queue-full'] - before;
    assert.ok(dropped > 0, 'the queue was full');
    bob.socket.resume();
    let last = -1;
    for (let i = 0; i < 400 - dropped; i++) {
      const number = (await bob.next(FRAME.recvPacket)).readUInt32BE(32);
      assert.ok(number > last);
      last = number;
    }
    assert.equal(last, 399, 'the freshest is never dropped');
  });
});

describe('presence', () => {
  let at: TestRelay;
  before(async () => {
    at = await startRelay();
  });
  after(() => at.close());

  test('who received packets of a key hears when its last connection is gone', async () => {
    const [alice, bob, carol] = [await connect(at), await connect(at), await connect(at)];
    const again = await connect(at, { key: alice.key });
    again.sendTo(bob.key, packet);
    await received(bob);
    again.socket.destroy();
    await alice.settle();
    await bob.settle();
    assert.deepEqual(bob.unread(), [], 'one connection remains');
    alice.socket.destroy();
    assert.equal(await gone(bob), goneFrame(alice.key.publicKey, GONE.disconnected));
    await carol.settle();
    assert.deepEqual(carol.unread(), []);
  });

  test('of several connections with one key, the one that said something last receives', async () => {
    const [first, sender] = [await connect(at), await connect(at)];
    const second = await connect(at, { key: first.key });
    sender.sendTo(first.key, Buffer.from('to the newest'));
    assert.equal((await received(second)).text, 'to the newest');
    await first.settle();
    sender.sendTo(first.key, Buffer.from('to the last that wrote'));
    assert.equal((await received(first)).text, 'to the last that wrote');
    first.socket.destroy();
    await first.closed;
    await sender.settle();
    sender.sendTo(first.key, Buffer.from('to the one that remains'));
    assert.equal((await received(second)).text, 'to the one that remains');
  });

  test('one key has a limited number of connections; the most silent goes', async () => {
    const key = newKey();
    const clients: TestClient[] = [];
    for (let i = 0; i < 17; i++) clients.push(await connect(at, { key }));
    await clients[0]?.closed;
    await clients[16]?.settle();
  });

  test('home and connections are counted, and nodes that may no longer use the relay are cut off', async () => {
    const before = at.relay.stats();
    const alice = await connect(at);
    await connect(at, { key: alice.key });
    alice.send(FRAME.notePreferred, Uint8Array.of(1));
    await alice.settle();
    const { clients, connections, homeClients } = at.relay.stats();
    assert.deepEqual(
      [clients - before.clients, connections - before.connections, homeClients - before.homeClients],
      [1, 2, 1],
    );
    at.relay.disconnect(formatNodeKey(alice.key.publicKey));
    await alice.closed;
    const [bob, carol, mesh] = [await connect(at), await connect(at), await connect(at, { meshKey: MESH_KEY })];
    at.relay.retain((key) => key === formatNodeKey(carol.key.publicKey));
    await bob.closed;
    await carol.settle();
    await mesh.settle();
  });
});

describe('admission', () => {
  test('is asked with the proven key and the address; anything but a clear yes closes in silence', async () => {
    const asked: [string, string][] = [];
    const answers: (() => boolean | Promise<boolean>)[] = [
      () => true,
      () => false,
      () => Promise.resolve(true),
      () => Promise.resolve(false),
      () => Promise.reject(new Error('away')),
    ];
    const at = await startRelay({
      admit: (key, address) => {
        asked.push([key, address]);
        return answers[asked.length - 1]?.() ?? false;
      },
    });
    for (const isRefused of [false, true, false, true, true]) {
      const client = await connect(at, { isRefused });
      if (isRefused) {
        await client.closed;
        assert.deepEqual(client.unread(), []);
      } else await client.settle();
      assert.deepEqual(asked.at(-1), [formatNodeKey(client.key.publicKey), '127.0.0.1']);
    }
    const { accepted, refused } = at.relay.stats();
    assert.deepEqual([accepted, refused.admission], [2, 3]);
    await at.close();
  });

  test('a bug in what decides ends the connection that met it, and no other', async () => {
    const faults: unknown[] = [];
    let isBroken = false;
    const at = await startRelay({
      admit: () => {
        if (isBroken) throw new Error('a bug');
        return true;
      },
      onFault: (fault) => faults.push(fault),
    });
    const alice = await connect(at);
    isBroken = true;
    const bob = await connect(at, { isRefused: true });
    await bob.closed;
    await alice.settle();
    assert.deepEqual(faults, [new Error('a bug')]);
    await at.close();
  });

  test('the largest number of connections and of unproven ones hold', async () => {
    const at = await startRelay({ admit: () => new Promise(() => {}) }, { limits: { handshakesPerPrefix: 2 } });
    await connect(at, { isRefused: true });
    await connect(at, { isRefused: true });
    await assert.rejects(connect(at, { isRefused: true }), /closed/);
    assert.equal(at.relay.stats().refused.full, 1);
    await at.close();
  });
});

describe('a relay of the same region, by the mesh key', () => {
  let at: TestRelay;
  before(async () => {
    at = await startRelay();
  });
  after(() => at.close());

  test('is told who is here, who comes and who goes', async () => {
    const alice = await connect(at);
    const mesh = await connect(at, { meshKey: MESH_KEY });
    mesh.send(FRAME.watchConns);
    const seen = new Map<string, number>();
    for (let i = 0; i < 2; i++) {
      const present = await mesh.next(FRAME.peerPresent);
      assert.equal(formatHex(present.subarray(32, 48)), '00000000000000000000ffff7f000001');
      seen.set(formatHex(present.subarray(0, 32)), present[50] as number);
    }
    assert.deepEqual(
      seen,
      new Map([
        [formatHex(alice.key.publicKey), PRESENT.regular],
        [formatHex(mesh.key.publicKey), PRESENT.meshPeer],
      ]),
    );
    const bob = await connect(at);
    assert.deepEqual((await mesh.next(FRAME.peerPresent)).subarray(0, 32), Buffer.from(bob.key.publicKey));
    bob.socket.destroy();
    assert.equal(await gone(mesh), goneFrame(bob.key.publicKey, GONE.disconnected));
  });

  test('brings packets of its own clients', async () => {
    const [alice, mesh] = [await connect(at), await connect(at, { meshKey: MESH_KEY })];
    const away = newKey();
    mesh.send(FRAME.forwardPacket, away.publicKey, alice.key.publicKey, packet);
    assert.deepEqual(await received(alice), { source: formatHex(away.publicKey), text: 'a packet' });
  });

  test('closes a client', async () => {
    const [alice, mesh] = [await connect(at), await connect(at, { meshKey: MESH_KEY })];
    mesh.send(FRAME.closePeer, alice.key.publicKey);
    await alice.closed;
  });

  test('has rights that no other connection has', async () => {
    const key = newKey().publicKey;
    for (const [type, payload] of [
      [FRAME.watchConns, new Uint8Array(0)],
      [FRAME.closePeer, key],
      [FRAME.forwardPacket, Buffer.concat([key, key, packet])],
    ] as const) {
      const client = await connect(at, { meshKey: new Uint8Array(32) });
      client.send(type, payload);
      await client.closed;
    }
  });
});

test('relays of one region are one to their clients', async () => {
  const east = await startRelay();
  const west = await startRelay({}, { meshWith: [new URL(`http://127.0.0.1:${east.port}/derp`)], key: newKey() });
  const [alice, bob] = [await connect(east), await connect(west)];
  // west hears from east who is there; until then it knows nobody of that name.
  for (let i = 0; i < 50 && bob.unread().length === 0; i++) {
    bob.sendTo(alice.key, disco);
    await bob.settle();
    if (alice.unread().some(({ type }) => type === FRAME.recvPacket)) break;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.deepEqual(await received(alice), from(bob, disco.toString()));
  bob.sendTo(alice.key, Buffer.alloc(65_536, 'x'));
  assert.equal((await received(alice)).text.length, 65_536);
  alice.socket.destroy();
  await alice.closed;
  for (let i = 0; i < 50; i++) {
    bob.sendTo(alice.key, disco);
    await bob.settle();
    if (bob.unread().some(({ type }) => type === FRAME.peerGone)) break;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.equal(await gone(bob), goneFrame(alice.key.publicKey, GONE.notHere));
  await west.close();
  await east.close();
});

describe('the relay itself', () => {
  test('holds a client to its rate by reading more slowly', async () => {
    const at = await startRelay({}, { limits: { bytesPerSecond: 1 << 20, burstBytes: 1 << 17 } });
    const [alice, bob] = [await connect(at), await connect(at)];
    const start = performance.now();
    for (let i = 0; i < 10; i++) alice.sendTo(bob.key, Buffer.alloc(50_000));
    for (let i = 0; i < 10; i++) await bob.next(FRAME.recvPacket);
    const tookMs = performance.now() - start;
    // 500 KB less the burst of 128 KiB at 1 MiB/s take 352 ms.
    assert.ok(tookMs > 250 && tookMs < 1_500, `${tookMs} ms`);
    assert.equal(at.relay.stats().dropped['queue-full'], 0);
    await at.close();
  });

  test('tells its health to all, also to those who come later, and takes it back', async () => {
    const at = await startRelay();
    const alice = await connect(at);
    at.relay.health('The clock of the relay is wrong');
    assert.equal((await alice.next(FRAME.health)).toString(), 'The clock of the relay is wrong');
    const bob = await connect(at);
    assert.equal((await bob.next(FRAME.health)).toString(), 'The clock of the relay is wrong');
    at.relay.health('');
    assert.equal((await bob.next(FRAME.health)).length, 0);
    await at.close();
  });

  test('says when to come back before it closes, and then takes nobody', async () => {
    const at = await startRelay();
    const alice = await connect(at);
    const closing = at.relay.close({ reconnectInMs: 250, tryForMs: 5_000 });
    assert.equal(formatHex(await alice.next(FRAME.restarting)), '000000fa00001388');
    await closing;
    await alice.closed;
    await assert.rejects(connect(at));
    await at.close();
  });

  test('closes on garbage before and after the handshake', async () => {
    const at = await startRelay();
    const early = await connect(at, { isRefused: true, key: newKey() });
    await early.next(FRAME.serverInfo);
    early.socket.write(Buffer.alloc(4_096, 0xff));
    await early.closed;
    const client = await connect(at);
    client.send(FRAME.clientInfo, Buffer.alloc(80));
    await client.closed;
    assert.deepEqual(at.relay.stats().refused, { full: 0, handshake: 0, admission: 0, protocol: 2 });
    await at.close();
  });

  test('answers the plain requests of clients', async () => {
    const at = await startRelay({
      bootstrapDns: (name) => (name === 'tail.example.com' ? { [name]: ['192.0.2.1'] } : {}),
    });
    const ask = (path: string, init?: RequestInit): Promise<Response> =>
      fetch(`http://127.0.0.1:${at.port}${path}`, init);
    for (const path of ['/derp/probe', '/derp/latency-check']) {
      const probe = await ask(path, { method: 'HEAD' });
      assert.deepEqual([probe.status, probe.headers.get('access-control-allow-origin')], [200, '*']);
      assert.equal((await ask(path, { method: 'POST' })).status, 405);
    }
    const challenged = await ask('/generate_204', { headers: { 'X-Tailscale-Challenge': 'ts_derp.example' } });
    assert.equal(challenged.status, 204);
    assert.equal(challenged.headers.get('x-tailscale-response'), 'response ts_derp.example');
    assert.match(challenged.headers.get('cache-control') ?? '', /no-store/);
    for (const challenge of ['a b', 'x'.repeat(65)]) {
      const refused = await ask('/generate_204', { headers: { 'X-Tailscale-Challenge': challenge } });
      assert.equal(refused.headers.get('x-tailscale-response'), null);
    }
    assert.deepEqual(await (await ask('/bootstrap-dns?q=TAIL.example.com')).json(), {
      'tail.example.com': ['192.0.2.1'],
    });
    assert.deepEqual(await (await ask('/bootstrap-dns?q=other.example.com')).json(), {});
    assert.equal((await ask('/derp')).status, 426);
    assert.equal((await ask('/other')).status, 404);
    await at.close();
  });
});

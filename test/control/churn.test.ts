// An hour of a busy tailnet in a few seconds, through the real transport and the real netmap: machines come, go, lose their
// connection, don't read, move, change keys, and the policy changes. In the end every client knows what the server knows.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { NodeId } from '../../src/base/ids.ts';
import type { Tailnet } from '../../src/netmap/tailnet.ts';
import { Client as Folded } from '../netmap/client.ts';
import {
  authKeyOf,
  newKeyPair,
  newNodeKey,
  openRealWorld,
  snapshotOf,
  until,
  type Client,
  type World,
} from './world.ts';

const DURATION_MS = Number(process.env['CHURN_MS'] ?? 4000);
const SEED = Number(process.env['CHURN_SEED'] ?? Date.now() % 1_000_000);
const MACHINES = 30;

/** Mulberry32: the same seed gives the same hour, as far as the network lets it. */
const randomOf = (seed: number): (() => number) => {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
};

const POLICIES = [
  { acls: [{ action: 'accept', src: ['*'], dst: ['*:*'] }] },
  { acls: [{ action: 'accept', src: ['alice@example.com'], dst: ['tag:server:22'] }] },
  { grants: [{ src: ['autogroup:member'], dst: ['autogroup:self'], ip: ['*'] }] },
  {
    grants: [
      { src: ['bob@example.com'], dst: ['*'], ip: ['tcp:443'] },
      { src: ['tag:server'], dst: ['tag:server'], ip: ['*'] },
    ],
  },
].map((policy) => ({ tagOwners: { 'tag:server': ['alice@example.com'] }, ...policy }));

/** A machine with what its client would remember. */
class Machine {
  readonly #world: World<Tailnet>;
  readonly #keyPair = newKeyPair();
  readonly #authKey: string;
  readonly #name: string;
  #client: Client | undefined;
  nodeKey = newNodeKey();
  folded = new Folded();
  isStreaming = false;
  messages = 0;

  constructor(world: World<Tailnet>, name: string, authKey: string) {
    this.#world = world;
    this.#name = name;
    this.#authKey = authKey;
  }

  get id(): NodeId | undefined {
    return this.#world.registry.view.byNodeKey.get(this.nodeKey);
  }

  async #connection(): Promise<Client> {
    this.#client ??= await this.#world.connect(this.#keyPair);
    return this.#client;
  }

  async join(OldNodeKey?: string): Promise<void> {
    const client = await this.#connection();
    const Hostinfo = { Hostname: this.#name };
    const request = { NodeKey: this.nodeKey, OldNodeKey, Hostinfo, Auth: { AuthKey: authKeyOf(this.#authKey) } };
    const { json } = await client.register(request);
    assert.equal(json['Error'], undefined);
  }

  async stream(): Promise<void> {
    const client = await this.#connection();
    const folded = new Folded();
    const reader = await client.stream({ NodeKey: this.nodeKey, Hostinfo: { Hostname: this.#name } });
    if (reader.status !== 200) return;
    this.folded = folded;
    this.isStreaming = true;
    const read = async (): Promise<void> => {
      for (let message = await reader.next(); message; message = await reader.next()) {
        folded.fold(message);
        this.messages += 1;
      }
      if (this.folded === folded) this.isStreaming = false;
    };
    void read();
  }

  async move(port: number): Promise<void> {
    const client = await this.#connection();
    const Hostinfo = { Hostname: this.#name, NetInfo: { PreferredDERP: 1 + (port % 3) } };
    await client.update({ NodeKey: this.nodeKey, Hostinfo, Endpoints: [`192.0.2.1:${port}`] });
  }

  async rotate(): Promise<void> {
    const old = this.nodeKey;
    this.nodeKey = newNodeKey();
    await this.join(old);
    await this.stream();
  }

  async logOut(): Promise<void> {
    const client = await this.#connection();
    await client.register({ NodeKey: this.nodeKey, Expiry: '1970-01-01T00:02:03Z' });
    this.cut();
  }

  stall(): void {
    this.#client?.channel.pause();
  }

  resume(): void {
    this.#client?.channel.resume();
  }

  cut(): void {
    this.#client?.close();
    this.#client = undefined;
    this.isStreaming = false;
  }
}

test(`after a busy hour every client knows what the server knows (seed ${SEED})`, async () => {
  const random = randomOf(SEED);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
  const world = await openRealWorld({ limits: { offlineGraceMs: 200 }, files: { 'policy.json5': POLICIES[0] } });
  const failures: unknown[] = [];
  try {
    const machines = Array.from(
      { length: MACHINES },
      (_, i) => new Machine(world, `box-${i}`, pick(['alice', 'bob', 'server', 'brief'])),
    );
    await Promise.all(machines.map((machine) => machine.join().then(() => machine.stream())));

    const EVENTS: readonly ((machine: Machine) => unknown)[] = [
      (machine) => machine.move(1024 + Math.floor(random() * 60_000)),
      (machine) => machine.move(1024 + Math.floor(random() * 60_000)),
      (machine) => machine.cut(),
      (machine) => machine.stall(),
      (machine) => machine.rotate(),
      (machine) => machine.logOut(),
      () => world.setSnapshot(snapshotOf({ 'policy.json5': pick(POLICIES) })),
    ];
    // Each machine does one thing at a time, as a client does.
    const busy = new Set<Machine>();
    const happen = async (machine: Machine): Promise<void> => {
      busy.add(machine);
      try {
        if (machine.isStreaming) await pick(EVENTS)(machine);
        else {
          await machine.join();
          await machine.stream();
        }
      } catch (fault) {
        // A request whose connection was cut under it; anything else is a failure.
        if (!String(fault).includes('without an answer') && !String(fault).includes('closed')) failures.push(fault);
        machine.cut();
      } finally {
        busy.delete(machine);
      }
    };
    const endMs = performance.now() + DURATION_MS;
    while (performance.now() < endMs) {
      const machine = pick(machines);
      if (!busy.has(machine)) void happen(machine);
      if (random() < 0.1) pick(machines).resume();
      await new Promise((resolve) => setTimeout(resolve, random() * 10));
    }

    for (const machine of machines) machine.resume();
    await until(() => busy.size === 0, 10_000);
    for (const machine of machines) {
      if (machine.isStreaming) continue;
      machine.cut();
      await machine.join();
      await machine.stream();
    }
    const stateOf = (machine: Machine): unknown => {
      const expected = new Folded();
      expected.fold(world.netmap.describe(machine.id!)!);
      return expected.state();
    };
    const isSettled = (machine: Machine): boolean =>
      machine.id !== undefined && JSON.stringify(machine.folded.state()) === JSON.stringify(stateOf(machine));
    await until(() => machines.every(isSettled), 5000).catch(() => {
      const behind = machines.find((machine) => !isSettled(machine))!;
      assert.deepEqual(behind.folded.state(), stateOf(behind), `${behind.id} after ${behind.messages} messages`);
    });
    assert.equal(world.control.sessions().length, MACHINES);
    assert.equal(world.netmap.stats().streams, MACHINES);
    assert.deepEqual(failures, []);

    for (const machine of machines) machine.cut();
    await until(() => world.control.sessions().length === 0 && world.netmap.stats().streams === 0);
    await until(() => world.control.gauges()['control_connections'] === 0);
    assert.deepEqual(
      world.notes.filter(({ level }) => level === 'error'),
      [],
    );
  } finally {
    await world.close();
  }
});

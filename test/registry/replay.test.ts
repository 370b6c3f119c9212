// Whatever happened, the file and the journal together say what was in memory.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Address, Prefix } from '../../src/base/address.ts';
import { ipSetOf } from '../../src/base/ipset.ts';
import { parseNodeId, type NodeId } from '../../src/base/ids.ts';
import { parseDiscoKey } from '../../src/keys/text.ts';
import type { Assignment, RegistryEvent } from '../../src/registry/event.ts';
import type { Observation } from '../../src/registry/record.ts';
import { openRegistry } from '../../src/registry/open.ts';
import type { Registry, RegistryView } from '../../src/registry/registry.ts';
import { emptyState, fold } from '../../src/registry/state.ts';
import { TestDisk } from './disk.ts';
import {
  alice,
  assignment,
  authKey,
  bob,
  keyId,
  lasting,
  loginId,
  machineKey,
  nodeKey,
  register,
  START_MS,
  tag,
  waitingLogin,
} from './sample.ts';

const open = (disk: TestDisk): Promise<Registry> =>
  openRegistry({
    folder: '/data',
    holder: 'a test',
    now: () => START_MS,
    lastSaveMs: 60_000,
    warn: ({ message }) => assert.fail(message),
    disk,
    snapshotIntervalMs: 1e9,
  });

// Few machines, names and keys, so that events meet.
const machine = fc.integer({ min: 1, max: 6 });
const anyNode: fc.Arbitrary<NodeId> = fc.integer({ min: 1, max: 8 }).map(parseNodeId);
const anyKey = fc.constantFrom('k1', 'k2', 'k3').map(keyId);
const anyAssignment: fc.Arbitrary<Assignment> = fc.constantFrom(
  assignment,
  { ...assignment, prefixes: ['10.0.0.0/28' as Prefix] },
  { ...assignment, reservedAddresses: ipSetOf(['100.64.0.3' as Address]), reservedNames: new Set(['web']) },
);

const anyRegister: fc.Arbitrary<RegistryEvent> = fc
  .record({
    who: machine,
    key: fc.integer({ min: 1, max: 12 }),
    old: fc.option(fc.integer({ min: 1, max: 12 })),
    owner: fc.constantFrom(
      { login: alice, tags: [] },
      { login: bob, tags: [] },
      { login: null, tags: [tag('web'), tag('db')] },
    ),
    hostname: fc.constantFrom('web', 'Web 1', 'ubuntu', ''),
    authKey: fc.option(fc.record({ id: anyKey, reusable: fc.boolean() })),
    loginOf: fc.option(machine),
    assignment: anyAssignment,
    authorized: fc.boolean(),
    ephemeral: fc.boolean(),
  })
  .map(({ who, key, old, owner, hostname, authKey, loginOf, ...rest }) =>
    register(who, {
      nodeKey: nodeKey(key),
      oldNodeKey: old === null ? null : nodeKey(old),
      hostinfo: { Hostname: hostname, Services: [{ Proto: 'peerapi4', Port: key }] },
      key: authKey,
      loginId: loginOf === null ? null : loginId(loginOf),
      decidedBy: loginOf === null ? null : 'admin',
      ...owner,
      ...rest,
    }),
  );

const anyEvent: fc.Arbitrary<RegistryEvent> = fc.oneof(
  { weight: 5, arbitrary: anyRegister },
  fc.record({
    kind: fc.constant('set-expiry' as const),
    id: anyNode,
    expiresMs: fc.option(fc.integer({ min: 0, max: 2 * START_MS })),
  }),
  fc.record({
    kind: fc.constant('remove' as const),
    id: anyNode,
    cause: fc.constantFrom('logout', 'inactive', 'administrator'),
  }),
  fc.record({ kind: fc.constant('authorize' as const), id: anyNode, authorized: fc.boolean() }),
  fc.record({
    kind: fc.constant('rename' as const),
    id: anyNode,
    name: fc.option(fc.constantFrom('front', 'web-1', 'No!')),
    assignment: anyAssignment,
  }),
  fc.record({
    kind: fc.constantFrom('readdress' as const, 'follow-hostname' as const, 'yield-name' as const),
    id: anyNode,
    assignment: anyAssignment,
  }),
  fc.record({ kind: fc.constant('set-tags' as const), id: anyNode, tags: fc.subarray([tag('a'), tag('b')]) }),
  fc.record({
    kind: fc.constant('approve-routes' as const),
    id: anyNode,
    routes: fc.subarray(['10.0.0.0/8', '::/0', '0.0.0.0/0'] as Prefix[]),
  }),
  fc.record({
    kind: fc.constant('set-attributes' as const),
    id: anyNode,
    attributes: fc.dictionary(
      fc.constantFrom('custom:a', 'custom:b', '__proto__'),
      fc.option(
        fc
          .tuple(fc.oneof(fc.string(), fc.boolean(), fc.integer()), fc.option(fc.constant(START_MS)))
          .map(([value, expiresMs]) => ({ value, expiresMs })),
      ),
      { noNullPrototype: true },
    ),
  }),
  fc.record({ kind: fc.constant('set-key-signature' as const), id: anyNode, keySignature: fc.option(fc.string()) }),
  anyKey.map((id): RegistryEvent => ({ kind: 'create-key', key: authKey(id, { tags: [tag('x')], login: null }) })),
  fc.record({ kind: fc.constant('revoke-key' as const), id: anyKey, nowMs: fc.constant(START_MS) }),
  fc.record({ kind: fc.constant('delete-key' as const), id: anyKey }),
  machine.map((n): RegistryEvent => ({ kind: 'begin-login', login: waitingLogin(n) })),
  machine.map((n): RegistryEvent => ({ kind: 'deny-login', id: loginId(n), decidedBy: 'admin', nowMs: START_MS })),
  fc.constantFrom(START_MS, 2 * START_MS).map((nowMs): RegistryEvent => ({ kind: 'sweep', nowMs })),
);

interface Note {
  readonly kind: 'note';
  readonly id: NodeId;
  readonly observation: Partial<Observation>;
}
const anyNote: fc.Arbitrary<Note> = fc.record({
  kind: fc.constant('note' as const),
  id: anyNode,
  observation: fc.record(
    {
      discoKey: fc.constantFrom(null, parseDiscoKey(`discokey:${'7'.repeat(64)}`) ?? null),
      endpoints: fc.subarray(['192.0.2.1:1', '[2001:db8::1]:2']),
      homeDerp: fc.integer({ min: 0, max: 3 }),
      lastSeenMs: fc.integer({ min: 0, max: 2 * START_MS }),
      hostinfo: fc.record({ Hostname: fc.string({ unit: 'grapheme' }) }, { noNullPrototype: true }),
    },
    { requiredKeys: [], noNullPrototype: true },
  ),
});

type Step = RegistryEvent | Note | { readonly kind: 'save' };
const anyStep: fc.Arbitrary<Step> = fc.oneof(
  { weight: 10, arbitrary: anyEvent },
  { weight: 3, arbitrary: anyNote },
  { weight: 1, arbitrary: fc.constant({ kind: 'save' as const }) },
);
/** Groups are applied at once; their members share commits. */
const anyLife = fc.array(fc.array(anyStep, { minLength: 1, maxLength: 6 }), { maxLength: 20, size: '+1' });

const live = async (registry: Registry, life: readonly (readonly Step[])[]): Promise<void> => {
  for (const group of life) {
    await Promise.all(
      group.map(async (step) => {
        if (step.kind === 'note') registry.note(step.id, step.observation);
        else if (step.kind === 'save') await registry.checkpoint();
        else await registry.apply(step);
      }),
    );
  }
};

const byText = ([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number => (a < b ? -1 : 1);
const sorted = (map: ReadonlyMap<unknown, unknown>): unknown[] =>
  [...map].map(([key, value]): [string, unknown] => [String(key), value]).sort(byText);

/** The whole content, indexes too. */
const pictureOf = (view: RegistryView, all: boolean): Record<string, unknown> => ({
  nodes: sorted(new Map([...view.nodes].map(([id, node]) => [id, all ? node : lasting(node)]))),
  byNodeKey: sorted(view.byNodeKey),
  byMachineKey: sorted(new Map([...view.byMachineKey].map(([key, ids]) => [key, [...ids].sort((a, b) => a - b)]))),
  byName: sorted(view.byName),
  byAddress: sorted(view.byAddress),
  keys: sorted(view.keys),
  keyUses: sorted(view.keyUses),
  logins: sorted(view.logins),
  pendingLogins: sorted(view.pendingLogins),
});

test('a registry that is closed and opened again is the same, notes and all', async () => {
  await fc.assert(
    fc.asyncProperty(anyLife, anyLife, async (life, more) => {
      const disk = new TestDisk();
      const first = await open(disk);
      await live(first, life);
      await first.close();
      const second = await open(disk);
      assert.deepEqual(pictureOf(second.view, true), pictureOf(first.view, true));
      await live(second, more);
      await second.close();
      const third = await open(disk);
      assert.deepEqual(pictureOf(third.view, true), pictureOf(second.view, true));
    }),
    { numRuns: 120 },
  );
});

test('a registry that crashes is the same but for notes, and goes on as if it had not', async () => {
  await fc.assert(
    fc.asyncProperty(anyLife, anyEvent, async (life, next) => {
      const disk = new TestDisk();
      const first = await open(disk);
      await live(first, life);
      const revived = await open(disk.afterCrash({ kind: 'none' }));
      assert.deepEqual(pictureOf(revived.view, false), pictureOf(first.view, false));
      // The counters are part of the state too: the next event has the same result. A name that follows the host name
      // depends on a note.
      if (next.kind === 'follow-hostname' || next.kind === 'yield-name' || next.kind === 'rename') return;
      await first.apply(next);
      await revived.apply(next);
      assert.deepEqual(pictureOf(revived.view, false), pictureOf(first.view, false));
    }),
    { numRuns: 120 },
  );
});

test('the changes that subscribers hear make the same state', async () => {
  await fc.assert(
    fc.asyncProperty(anyLife, async (life) => {
      const registry = await open(new TestDisk());
      const follower = emptyState();
      registry.subscribe((changes) => {
        for (const change of changes) fold(follower, change);
      });
      await live(registry, life);
      assert.deepEqual(pictureOf(follower, true), pictureOf(registry.view, true));
    }),
    { numRuns: 60 },
  );
});

test('every index says what the nodes say', async () => {
  await fc.assert(
    fc.asyncProperty(anyLife, async (life) => {
      const { view, ...registry } = await open(new TestDisk());
      await live({ view, ...registry }, life);
      const nodes = [...view.nodes.values()];
      assert.deepEqual(sorted(view.byNodeKey), sorted(new Map(nodes.map(({ nodeKey, id }) => [nodeKey, id]))));
      assert.deepEqual(sorted(view.byName), sorted(new Map(nodes.map(({ name, id }) => [name, id]))));
      const addresses = nodes.flatMap(({ addresses, id }) => addresses.map((address) => [address, id] as const));
      assert.deepEqual(sorted(view.byAddress), sorted(new Map(addresses)));
      assert.equal(view.byNodeKey.size, nodes.length, 'no two nodes share a key');
      assert.equal(view.byName.size, nodes.length, 'no two nodes share a name');
      assert.equal(view.byAddress.size, addresses.length, 'no two nodes share an address');
      for (let n = 1; n <= 6; n++) {
        const ids = nodes.filter((node) => node.machineKey === machineKey(n)).map(({ id }) => id);
        assert.deepEqual(
          [...(view.byMachineKey.get(machineKey(n)) ?? [])].sort((a, b) => a - b),
          ids,
        );
      }
      for (const node of nodes) assert.equal(node.login === null, node.tags.length > 0, 'an owner or tags');
    }),
    { numRuns: 60 },
  );
});

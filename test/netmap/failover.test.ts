// Which router carries a subnet, as clients see it, with several groups of routers that overlap: one that is alive where
// there is one, and another than before only when the one before is gone.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Prefix } from '../../src/base/address.ts';
import type { NodeId, Revision } from '../../src/base/ids.ts';
import type { RouterOrder } from '../../src/netmap/life.ts';
import { createTailnet } from '../../src/netmap/tailnet.ts';
import type { Tailnet } from '../../src/netmap/tailnet.ts';
import type { NodeField, NodeRecord } from '../../src/registry/record.ts';
import { compileSnapshot } from '../../src/snapshot/compile.ts';
import { toyRecord } from './toy.ts';

const SUBNETS = ['10.0.0.0/8', '10.1.0.0/16', '10.1.2.0/24', '192.168.7.0/24', 'fd7a:115c:a1e0:b1a:0:7:c0a8:700/120'];
const ROUTERS = [2, 3, 4, 5, 6] as readonly number[] as readonly NodeId[];
const VIEWER = 1 as NodeId;

const FILES = {
  'tailnet.json5': { name: 'example.com' },
  'users.json5': { users: [{ login: 'alice@example.com', role: 'owner' }] },
  'policy.json5': {
    tagOwners: { 'tag:router': [] },
    grants: [{ src: ['*'], dst: ['*'], ip: ['*'] }],
    autoApprovers: { routes: Object.fromEntries(SUBNETS.map((subnet) => [subnet, ['tag:router']])) },
  },
};

const { snapshot } = compileSnapshot({
  revision: `dir-${'0'.repeat(16)}` as Revision,
  files: new Map(Object.entries(FILES).map(([name, value]) => [name, Buffer.from(JSON.stringify(value))])),
});
assert.ok(snapshot);

const router = (id: NodeId, subnets: readonly string[]): NodeRecord =>
  toyRecord(id, { login: null, tags: ['tag:router'] as never, hostinfo: { RoutableIPs: [...subnets] } });

/** The router of each subnet for the viewer; also held against what the routers are told of themselves. */
const carriers = (tailnet: Tailnet): Map<string, NodeId> => {
  const found = new Map<string, NodeId>();
  for (const id of ROUTERS) {
    if (tailnet.population.node(id) === undefined) continue;
    const { primaryRoutes } = tailnet.population.peerView(VIEWER, id);
    for (const route of primaryRoutes) {
      assert.ok(!found.has(route), `${route} has one router`);
      found.set(route, id);
    }
    assert.deepEqual(tailnet.population.selfView(id).primaryRoutes, primaryRoutes);
  }
  return found;
};

type Step =
  | { readonly id: NodeId; readonly kind: 'online' | 'silent' | 'authorized'; readonly on: boolean }
  | { readonly id: NodeId; readonly kind: 'routes'; readonly subnets: readonly string[] };

const subnets = fc.subarray(SUBNETS, { minLength: 0 });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      id: fc.constantFrom(...ROUTERS),
      kind: fc.constantFrom('online' as const, 'silent' as const, 'authorized' as const),
      on: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ id: fc.constantFrom(...ROUTERS), kind: fc.constant('routes' as const), subnets }) }, // prettier-ignore
);

test('traffic moves to a router that is alive, and not back', () => {
  fc.assert(
    fc.property(
      fc.array(subnets, { minLength: ROUTERS.length, maxLength: ROUTERS.length }),
      fc.array(step, { maxLength: 40, size: 'max' }),
      (offers, steps) => {
        const records = new Map(ROUTERS.map((id, i) => [id, router(id, offers[i] ?? [])]));
        const viewer = toyRecord(VIEWER, { login: 'alice@example.com' as never });
        // A clock that is set back all the time.
        let nowMs = 1_000_000;
        const tailnet = createTailnet(snapshot, [viewer, ...records.values()], {
          nowMs: () => nowMs--,
          embeddedRegion: null,
        });
        const offersOf = (id: NodeId): readonly string[] => {
          const { authorized, hostinfo } = records.get(id) as NodeRecord;
          return authorized ? (hostinfo['RoutableIPs'] as readonly string[]) : [];
        };
        const isAlive = (id: NodeId): boolean => tailnet.node(id)?.policyNode.alive === true;
        for (const id of ROUTERS) tailnet.setOnline(id, true);
        let before = carriers(tailnet);
        for (const it of steps) {
          const was = records.get(it.id) as NodeRecord;
          const change = (more: Partial<NodeRecord>): void => {
            const after = { ...was, ...more };
            records.set(it.id, after);
            const fields = Object.keys(more) as NodeField[];
            tailnet.apply([{ kind: 'node-changed', before: was, after, fields }]);
          };
          if (it.kind === 'routes') change({ hostinfo: { RoutableIPs: [...it.subnets] } });
          else if (it.kind === 'authorized') change({ authorized: it.on });
          else if (it.kind === 'online') tailnet.setOnline(it.id, it.on);
          else tailnet.setSilent(it.id, it.on);
          const now = carriers(tailnet);
          for (const subnet of SUBNETS) {
            const offering = ROUTERS.filter((id) => offersOf(id).includes(subnet));
            const alive = offering.filter(isAlive);
            const carrier = now.get(subnet);
            assert.equal(carrier === undefined, offering.length === 0, `${subnet} is carried while somebody offers it`);
            if (carrier === undefined) continue;
            if (alive.length > 0) assert.ok(alive.includes(carrier), `${subnet} is carried by one that is alive`);
            const last = before.get(subnet);
            if (last !== undefined && alive.includes(last)) assert.equal(carrier, last, `${subnet} stays where it is`);
          }
          before = now;
        }
      },
    ),
    { numRuns: 100 },
  );
});

test('of two groups that overlap, each fails over by itself', () => {
  const [a, b, c] = [2, 3, 4] as readonly number[] as readonly [NodeId, NodeId, NodeId];
  const records = [router(a, ['10.0.0.0/8', '10.1.0.0/16']), router(b, ['10.0.0.0/8', '192.168.7.0/24']), router(c, ['10.1.0.0/16', '192.168.7.0/24'])]; // prettier-ignore
  const viewer = toyRecord(VIEWER, { login: 'alice@example.com' as never });
  const tailnet = createTailnet(snapshot, [viewer, ...records], { nowMs: () => 1, embeddedRegion: null });
  const carrying = (id: NodeId): readonly Prefix[] => tailnet.population.peerView(VIEWER, id).primaryRoutes;
  for (const id of [a, b, c]) tailnet.setOnline(id, true);
  assert.deepEqual([a, b, c].map(carrying), [['10.0.0.0/8', '10.1.0.0/16'], ['192.168.7.0/24'], []]);
  tailnet.setSilent(a, true);
  assert.deepEqual([a, b, c].map(carrying), [[], ['10.0.0.0/8', '192.168.7.0/24'], ['10.1.0.0/16']]);
  tailnet.setOnline(b, false);
  assert.deepEqual([a, b, c].map(carrying), [['10.0.0.0/8'], [], ['10.1.0.0/16', '192.168.7.0/24']], 'nobody is alive for 10/8, so it is the eldest'); // prettier-ignore
  tailnet.setSilent(a, false);
  assert.deepEqual([a, b, c].map(carrying), [['10.0.0.0/8'], [], ['10.1.0.0/16', '192.168.7.0/24']]);
  tailnet.setOnline(b, true);
  assert.deepEqual([a, b, c].map(carrying), [['10.0.0.0/8'], [], ['10.1.0.0/16', '192.168.7.0/24']], 'nothing moves back'); // prettier-ignore
});

test('a restart of the server leaves the subnets where they are', () => {
  const ids = [2, 3, 4] as readonly number[] as readonly NodeId[];
  const viewer = toyRecord(VIEWER, { login: 'alice@example.com' as never });
  const records = [viewer, ...ids.map((id) => router(id, ['10.0.0.0/8', '10.1.0.0/16']))];
  const start = (routerOrder?: RouterOrder): Tailnet =>
    createTailnet(snapshot, records, { nowMs: () => 1, embeddedRegion: null, ...(routerOrder && { routerOrder }) });
  const carrier = (tailnet: Tailnet): NodeId | undefined =>
    ids.find((id) => tailnet.population.peerView(VIEWER, id).primaryRoutes.length === 2);
  const first = start();
  for (const id of ids.toReversed()) first.setOnline(id, true);
  assert.equal(carrier(first), 4);
  const second = start(first.routerOrder());
  for (const id of ids) second.setOnline(id, true);
  assert.equal(carrier(second), 4);
  second.setOnline(4 as NodeId, false);
  assert.equal(carrier(second), 3, 'and the others behind it');
});

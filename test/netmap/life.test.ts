// Which routers stand in for each other, and in which order they come.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { NodeId } from '../../src/base/ids.ts';
import { createLife, sharingRouters } from '../../src/netmap/life.ts';
import type { Life } from '../../src/netmap/life.ts';
import type { ResolvedNode } from '../../src/netmap/resolve.ts';

const router = (id: number, approvedRoutes: readonly string[], authorized = true): ResolvedNode =>
  ({ record: { id }, approvedRoutes, authorized, policyNode: {} }) as unknown as ResolvedNode;

test('routers of one subnet share it; exit nodes and those who are cut off share nothing', () => {
  const found = sharingRouters([
    router(1, ['10.0.0.0/8', '0.0.0.0/0']),
    router(2, ['10.0.0.0/8']),
    router(3, ['10.1.0.0/16', '0.0.0.0/0']),
    router(4, ['192.168.0.0/16']),
    router(5, ['192.168.0.0/16'], false),
  ]);
  assert.deepEqual([...found], [1, 2]);
});

test('a router that was away or silent, and a subnet that it gave up, count as there since they are back', () => {
  const life = createLife();
  const id = 1 as NodeId;
  const lifeOf = (...routes: string[]) => {
    const { alive, carriesSince } = life.note(router(id, routes)).policyNode;
    return [alive, ...(carriesSince ?? [])];
  };
  const both = ['10.0.0.0/8', '10.1.0.0/16'];
  assert.deepEqual(lifeOf(...both), [false, 0, 0]);
  life.setOnline(id, true);
  const [, first, second] = lifeOf(...both);
  assert.deepEqual(lifeOf(...both), [true, first, second], 'asking changes nothing');
  assert.equal(first, second);
  lifeOf('10.1.0.0/16');
  const [, again, kept] = lifeOf(...both);
  assert.ok(Number(again) > Number(first), 'withdrawn and advertised again');
  assert.equal(kept, second);
  life.setSilent(id, true);
  assert.deepEqual(lifeOf(...both), [false, 0, 0]);
  life.setSilent(id, false);
  const [alive, back] = lifeOf(...both);
  assert.ok(alive === true && Number(back) > Number(again));
  lifeOf();
  assert.ok(Number(lifeOf(...both)[1]) > Number(back), 'withdrawn altogether');
});

test('a stop of the server is no break, unless the router does not come back', () => {
  const [a, b] = [1, 2] as readonly number[] as readonly [NodeId, NodeId];
  const lan = '10.0.0.0/8';
  const sinceOf = (life: Life, id: NodeId): number => life.note(router(id, [lan])).policyNode.carriesSince?.[0] ?? -1;
  let changes = 0;
  const life = createLife(undefined, () => changes++);
  life.setOnline(b, true);
  sinceOf(life, b);
  life.setOnline(a, true);
  sinceOf(life, a);
  assert.equal(changes, 2);
  sinceOf(life, a);
  assert.equal(changes, 2, 'asking is no change');

  const again = createLife(life.order());
  for (const id of [a, b]) assert.equal(sinceOf(again, id), 0, 'nobody is there yet');
  for (const id of [a, b]) again.setOnline(id, true);
  assert.ok(sinceOf(again, b) < sinceOf(again, a));
  const third = 3 as NodeId;
  again.setOnline(third, true);
  assert.ok(sinceOf(again, third) > sinceOf(again, a), 'newcomers wait behind them');

  const without = createLife(life.order());
  for (const id of [a, b]) without.setOnline(id, true);
  without.setSilent(b, true);
  without.setSilent(b, false);
  assert.ok(sinceOf(without, b) > sinceOf(without, a), 'it was away');
});

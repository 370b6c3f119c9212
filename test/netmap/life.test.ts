// Which routers stand in for each other, and in which order they come.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { NodeId } from '../../src/base/ids.ts';
import { createLife, sharingRouters } from '../../src/netmap/life.ts';
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

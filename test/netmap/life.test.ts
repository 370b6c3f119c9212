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

test('a router that was away or silent counts as there since it is back', () => {
  let nowMs = 1;
  const life = createLife(() => nowMs);
  const id = 1 as NodeId;
  const lifeOf = () => {
    const { alive, aliveSinceMs } = life.note(router(id, ['10.0.0.0/8'])).policyNode;
    return [alive, aliveSinceMs];
  };
  assert.deepEqual(lifeOf(), [false, 0]);
  life.setOnline(id, true);
  assert.deepEqual(lifeOf(), [true, 1]);
  nowMs = 2;
  assert.deepEqual(lifeOf(), [true, 1], 'asking changes nothing');
  life.setSilent(id, true);
  assert.deepEqual(lifeOf(), [false, 0]);
  life.setSilent(id, false);
  assert.deepEqual(lifeOf(), [true, 2]);
});

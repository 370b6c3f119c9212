// What `tailplane routes list` says: each route with what approves it, down to the line, and who carries it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NodeId, Revision } from '../../src/base/ids.ts';
import { createOutput } from '../../src/cli/output.ts';
import { renderRoutes } from '../../src/cli/routes.ts';
import type { RouteAnswer } from '../../src/http/answers.ts';
import { createTailnet } from '../../src/netmap/tailnet.ts';
import type { NodeRecord } from '../../src/registry/record.ts';
import type { Parts } from '../../src/server/parts.ts';
import { routeOperations } from '../../src/server/route-operations.ts';
import { compileSnapshot } from '../../src/snapshot/compile.ts';
import { toyRecord } from '../netmap/toy.ts';

const FILES = {
  'tailnet.json5': `{ name: 'example.com' }`,
  'users.json5': `{ users: [{ login: 'alice@example.com', role: 'owner' }] }`,
  'policy.json5': `{
    tagOwners: { 'tag:router': [] },
    autoApprovers: {
      routes: { '10.20.0.0/16': ['tag:router'] },
      exitNode: ['tag:router'],
    },
  }`,
  'routes.json5': `{ routes: [
    { node: { tag: 'tag:router' }, subnets: ['192.168.0.0/16', '172.16.0.0/24'] },
    { node: { name: 'gate-1', tag: 'tag:router' }, subnets: ['192.168.10.0/24', '10.99.0.0/24'] },
    { node: { name: 'attic', owner: 'alice@example.com' }, exitNode: true },
  ] }`,
};

const tagged = (id: number, name: string, routes: readonly string[], more: Partial<NodeRecord> = {}): NodeRecord =>
  toyRecord(id as NodeId, {
    name,
    login: null,
    tags: ['tag:router'] as never,
    hostinfo: { RoutableIPs: [...routes] },
    ...more,
  });

const LAN = '192.168.10.0/24';
const RECORDS = [
  tagged(1, 'gate-1', [LAN, '0.0.0.0/0', '::/0']),
  tagged(2, 'gate-2', [LAN, '192.168.10.128/25', '10.20.1.0/24', '10.30.0.0/24']),
  tagged(3, 'gate-3', [LAN]),
  tagged(4, 'gate-4', [LAN], { authorized: false }),
  tagged(5, 'gate-5', ['10.40.0.0/24'], { approvedRoutes: ['10.40.0.0/24'] as never }),
  toyRecord(6 as NodeId, { name: 'attic', login: 'alice@example.com' as never }),
];

const { snapshot } = compileSnapshot({
  revision: `dir-${'0'.repeat(16)}` as Revision,
  files: new Map(Object.entries(FILES).map(([name, text]) => [name, Buffer.from(text)])),
});
assert.ok(snapshot);

test('routes are listed with who carries them, who stands by, and the line that approves them', async () => {
  const tailnet = createTailnet(snapshot, RECORDS, { nowMs: () => 1, embeddedRegion: null });
  for (const id of [3, 2, 1]) tailnet.setOnline(id as NodeId, true);
  tailnet.setSilent(3 as NodeId, true);
  const registry = { view: { nodes: new Map(RECORDS.map((record) => [record.id, record])) } };
  const [list] = routeOperations({ snapshot: () => snapshot, tailnet, registry } as unknown as Parts);
  const outcome = await list?.run({ params: {}, query: new URLSearchParams(), body: {} });
  assert.ok(outcome?.ok);
  const answers = outcome.value as RouteAnswer[];
  assert.equal(
    renderRoutes(answers, createOutput(false)).replaceAll(/ {2,}/g, '  '),
    `ROUTE  NODE  ID  OWNER  STATE  APPROVED BY
10.20.1.0/24  gate-2  n2TP  tag:router  serving  autoApprovers at policy.json5:4
10.30.0.0/24  gate-2  n2TP  tag:router  not approved  -
10.40.0.0/24  gate-5  n5TP  tag:router  offline  run time
10.99.0.0/24  gate-1  n1TP  tag:router  not advertised  routes.json5:3
192.168.10.0/24  gate-2  n2TP  tag:router  serving  routes.json5:2
192.168.10.0/24  gate-1  n1TP  tag:router  standing by  routes.json5:3, routes.json5:2
192.168.10.0/24  gate-3  n3TP  tag:router  silent  routes.json5:2
192.168.10.0/24  gate-4  n4TP  tag:router  not let in  routes.json5:2
192.168.10.128/25  gate-2  n2TP  tag:router  serving  routes.json5:2
exit node  gate-1  n1TP  tag:router  offered  autoApprovers at policy.json5:5
exit node  attic  n6TP  alice@example.com  not advertised  routes.json5:4`,
  );
  // The list and what is served are worked out apart; they must say the same.
  for (const { stableId, route, approvedBy } of answers) {
    const record = RECORDS.find((record) => record.stableId === stableId) as NodeRecord;
    const approved = tailnet.node(record.id)?.approvedRoutes ?? [];
    const advertised = record.hostinfo['RoutableIPs'] as readonly string[] | undefined;
    assert.equal(approved.includes(route as never), approvedBy.length > 0 && advertised?.includes(route) === true);
  }
  assert.match(renderRoutes([], createOutput(false)), /^No machine offers/);
});

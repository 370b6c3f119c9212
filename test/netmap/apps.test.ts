// Who asks which app connector for which names.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NodeId, Revision } from '../../src/base/ids.ts';
import { createTailnet } from '../../src/netmap/tailnet.ts';
import type { NodeRecord } from '../../src/registry/record.ts';
import { compileSnapshot } from '../../src/snapshot/compile.ts';
import { toyRecord } from './toy.ts';

const app = (name: string, more: object) => ({ target: ['autogroup:member', 'tag:crm'], app: { 'tailscale.com/app-connectors': [{ name, ...more }] } }); // prettier-ignore

const FILES = {
  'tailnet.json5': { name: 'example.com', baseDomain: 'tail.example.com' },
  'users.json5': { users: [{ login: 'alice@example.com', role: 'owner' }, { login: 'bob@example.com' }] },
  'dns.json5': { splitDNS: { 'crm.example.net': ['192.0.2.53'], 'corp.example.net': ['192.0.2.53'] } },
  'policy.json5': {
    tagOwners: { 'tag:crm': [], 'tag:web': [] },
    grants: [{ src: ['alice@example.com', 'tag:web'], dst: ['autogroup:internet'], ip: ['*'] }],
    nodeAttrs: [
      app('crm', { connectors: ['tag:crm'], domains: ['CRM.example.net', '*.api.example.net', 'no domain', 7, 'tail.example.com'] }), // prettier-ignore
      app('all', { connectors: ['*'], domains: ['all.example.net'] }),
    ],
  },
};

const { snapshot, diagnostics } = compileSnapshot({
  revision: `dir-${'0'.repeat(16)}` as Revision,
  files: new Map(Object.entries(FILES).map(([name, value]) => [name, Buffer.from(JSON.stringify(value))])),
});
assert.ok(snapshot, diagnostics.map(({ message }) => message).join('\n'));

const connector = (id: number, tags: readonly string[], hostinfo: NodeRecord['hostinfo'] = {}): NodeRecord =>
  toyRecord(id, {
    ...(tags.length > 0 ? { login: null, tags: tags as never } : { login: 'bob@example.com' as never }),
    hostinfo: { AppConnector: true, Services: [{ Proto: 'peerapi4', Port: 4000 + id }], ...hostinfo },
  });

const RECORDS = [
  toyRecord(1, { login: 'alice@example.com' as never }),
  toyRecord(2, { login: 'bob@example.com' as never }),
  connector(3, ['tag:crm']),
  connector(4, ['tag:web']),
  connector(5, [], {}),
  connector(6, ['tag:crm'], { AppConnector: false }),
];

test('clients ask the connectors that they may use for the names of their applications', () => {
  const tailnet = createTailnet(snapshot, RECORDS, { nowMs: () => 1, embeddedRegion: null });
  const routesOf = (id: number): Record<string, unknown> => {
    const map = tailnet.describe(id as NodeId) as { DNSConfig: { Routes: Record<string, { Addr: string }[]> } };
    const { Routes } = map.DNSConfig;
    return Object.fromEntries(
      Object.entries(Routes).map(([name, list]) => [name, list.map(({ Addr }) => Addr).join()]),
    );
  };
  const declared = { 'crm.example.net.': '192.0.2.53', 'corp.example.net.': '192.0.2.53', 'tail.example.com.': '' };
  const crm = 'http://100.64.0.3:4003/dns-query';
  const web = 'http://100.64.0.4:4004/dns-query';
  const all = { ...declared, 'crm.example.net.': crm, 'api.example.net.': crm, 'all.example.net.': `${crm},${web}` };
  assert.deepEqual(routesOf(1), all, "Bob's own machine is none of them, whatever it offers");
  assert.deepEqual(routesOf(2), declared, 'Bob may not use the internet through them, so he asks nobody');
  assert.deepEqual(routesOf(3), declared, 'a connector finds out by itself');
  assert.deepEqual(routesOf(4), declared, 'whoever has no such attribute');

  // A stream is told when a connector comes, moves or goes, and of nothing else.
  let woken = 0;
  const stream = tailnet.open(1 as NodeId, { capver: 142 }, () => woken++);
  stream?.next();
  const change = (after: NodeRecord, before = RECORDS.find(({ id }) => id === after.id) as NodeRecord): void => {
    tailnet.apply([{ kind: 'node-changed', before, after, fields: ['hostinfo'] } as never]);
  };
  const fields = (): readonly string[] => {
    stream?.next();
    return (tailnet.timeline(1 as NodeId).at(-1)?.fields ?? []).map((field) => field.split(' ')[0] as string);
  };
  change(connector(3, ['tag:crm'], { Services: [{ Proto: 'peerapi4', Port: 5000 }] }));
  assert.ok(fields().includes('DNSConfig'));
  assert.equal(routesOf(1)['crm.example.net.'], 'http://100.64.0.3:5000/dns-query');
  change(connector(3, ['tag:crm'], { AppConnector: false }));
  assert.ok(fields().includes('DNSConfig'));
  assert.deepEqual(routesOf(1), { ...declared, 'all.example.net.': web });
  change(connector(6, ['tag:crm'], { OS: 'linux' }));
  assert.ok(fields().includes('DNSConfig'));
  assert.equal(routesOf(1)['api.example.net.'], 'http://100.64.0.6:4006/dns-query');
  assert.equal(woken, 3);
});

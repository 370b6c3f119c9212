// What is different for clients of other releases: which release they are advised to run, and what older ones trip over.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NodeId, Revision } from '../../src/base/ids.ts';
import { clientVersionOf } from '../../src/netmap/advice.ts';
import { createTailnet } from '../../src/netmap/tailnet.ts';
import { compileSnapshot } from '../../src/snapshot/compile.ts';
import type { Snapshot } from '../../src/snapshot/snapshot.ts';
import { decodeMessage } from './client.ts';
import type { Fields } from './client.ts';
import { LOGINS, toyRecord } from './toy.ts';

const snapshotOf = (clients: object, nodes: object = {}): Snapshot => {
  const files = {
    'tailnet.json5': { name: 'example.com', baseDomain: 'tail.example.com', clients, nodes },
    'users.json5': { users: LOGINS.map((login) => ({ login })) },
  };
  const { snapshot, diagnostics } = compileSnapshot({
    revision: `dir-${'0'.repeat(16)}` as Revision,
    files: new Map(Object.entries(files).map(([name, value]) => [name, Buffer.from(JSON.stringify(value))])),
  });
  assert.ok(snapshot, diagnostics.map(({ message }) => message).join('\n'));
  return snapshot;
};

const LATEST = { RunningLatest: true };
const UPDATE = { RunningLatest: false, LatestVersion: '1.102.3' };
const declared = { latest: '1.102.3', secureFrom: '1.98.2' };
const cases: readonly [running: unknown, clients: object, expected: object][] = [
  ['1.80.3-t1234-g5678', {}, LATEST],
  ['1.102.3-t1234', declared, LATEST],
  ['1.103.0-dev20261101', declared, LATEST],
  ['1.102.2', declared, UPDATE],
  ['1.98.2', declared, UPDATE],
  ['1.98.1', declared, { ...UPDATE, UrgentSecurityUpdate: true }],
  ['1.9.12', declared, { ...UPDATE, UrgentSecurityUpdate: true }],
  ['1.98.1', { latest: '1.102.3' }, UPDATE],
  ['a fork', declared, LATEST],
  [undefined, declared, LATEST],
];
for (const [running, clients, expected] of cases) {
  test(`a client of ${String(running)} where ${JSON.stringify(clients)} is declared`, () => {
    assert.deepEqual(clientVersionOf(snapshotOf(clients), running), expected);
  });
}

const records = [1, 2].map((id) => toyRecord(id, { hostinfo: { IPNVersion: '1.90.9' } }));
/** Streams of the first node, as clients of these capability versions have them; each gives what is pending. */
const open = (snapshot: Snapshot, ...capvers: readonly number[]) => {
  const tailnet = createTailnet(snapshot, records, { nowMs: () => 0, embeddedRegion: null });
  const streams = capvers.map((capver) => tailnet.open(1 as NodeId, { capver }, () => {})!);
  const read = (): (Fields | undefined)[] => streams.map((stream) => { const pieces = stream.next(); return pieces && decodeMessage(pieces); }); // prettier-ignore
  return { tailnet, read };
};

test('a newly declared release is told to clients at once, in a field of its own', () => {
  const { tailnet, read } = open(snapshotOf({}), 130);
  assert.deepEqual(read()[0]?.['ClientVersion'], LATEST);
  tailnet.setSnapshot(snapshotOf({ latest: '1.102.3' }));
  assert.deepEqual(read()[0], { ClientVersion: UPDATE });
  tailnet.setSnapshot(snapshotOf({ latest: '1.102.3', secureFrom: '1.80.0' }));
  assert.equal(read()[0], undefined, 'nothing new for this one');
});

test('from v1.92 to v1.102, which don’t hear of it, clients are shown a message as well', () => {
  const { tailnet, read } = open(snapshotOf({ latest: '1.102.3' }), 131, 142, 143);
  const message = { Title: 'Update available', Text: 'Tailscale 1.102.3 is available.', Severity: 'low' };
  assert.deepEqual(
    read().map((first) => first?.['DisplayMessages']),
    [{ update: message }, { update: message }, undefined],
  );
  tailnet.setSnapshot(snapshotOf({ latest: '1.102.3', secureFrom: '1.100.0' }));
  const urgent = { Title: 'Security update available', Text: 'Tailscale 1.102.3 is available, and fixes the security of this one.', Severity: 'medium' }; // prettier-ignore
  assert.deepEqual(read()[1]?.['DisplayMessages'], { update: urgent });
  tailnet.setSnapshot(snapshotOf({ latest: '1.90.9' }));
  const gone = { ClientVersion: LATEST, DisplayMessages: { update: null } };
  assert.deepEqual(read(), [gone, gone, { ClientVersion: LATEST }]);
});

test('automatic updates are an attribute for new clients and a field for old ones', () => {
  const { read } = open(snapshotOf({}, { autoUpdate: true }), 113, 130, 131);
  const [oldest, old, young] = read();
  for (const message of [oldest, old]) assert.equal(message?.['DefaultAutoUpdate'], true);
  assert.equal(young?.['DefaultAutoUpdate'], undefined);
  const { CapMap } = (young as Fields)['Node'] as { CapMap: Fields };
  assert.deepEqual(CapMap['default-auto-update'], [true]);
  const silent = open(snapshotOf({}), 113, 131).read();
  for (const message of silent) assert.ok(!JSON.stringify(message).toLowerCase().includes('update'), 'no «false»');
});

test('from v1.86 to v1.94, endpoints beside a home relay are sent so that a client takes them as a whole', () => {
  const { tailnet, read } = open(snapshotOf({}), 113, 122, 131, 133, 142);
  read();
  const change = (patch: { endpoints?: readonly string[]; homeDerp?: number }): void => {
    const before = records[1]!;
    const fields = Object.keys(patch) as ('endpoints' | 'homeDerp')[];
    tailnet.apply([{ kind: 'node-changed', before, after: { ...before, ...patch } as typeof before, fields }]);
  };
  change({ endpoints: ['192.0.2.1:41641'], homeDerp: 7 });
  const both = { PeersChangedPatch: [{ NodeID: 2, Endpoints: ['192.0.2.1:41641'], DERPRegion: 7 }] };
  const careful = { ...both, CollectServices: false };
  assert.deepEqual(read(), [both, careful, careful, both, both]);
  change({ endpoints: ['192.0.2.1:41642'] });
  for (const message of read()) assert.deepEqual(Object.keys(message ?? {}), ['PeersChangedPatch']);
});

// Who a registered node is once the tailnet's files have their say, and the parts of a map that come from files alone.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Revision } from '../../src/base/ids.ts';
import { resolveNode } from '../../src/netmap/resolve.ts';
import type { ResolvedNode } from '../../src/netmap/resolve.ts';
import type { Address } from '../../src/base/address.ts';
import { baselineCaps, derpMapOf, dnsConfigOf } from '../../src/netmap/settings.ts';
import type { NodeRecord } from '../../src/registry/record.ts';
import { compileSnapshot } from '../../src/snapshot/compile.ts';
import type { Snapshot } from '../../src/snapshot/snapshot.ts';
import { toyRecord } from './toy.ts';

const snapshotOf = (files: Record<string, unknown>): Snapshot => {
  const all = { 'tailnet.json5': { name: 'example.com', baseDomain: 'tail.example.com' }, ...files };
  const { snapshot, diagnostics } = compileSnapshot({
    revision: `dir-${'0'.repeat(16)}` as Revision,
    files: new Map(Object.entries(all).map(([name, value]) => [name, Buffer.from(JSON.stringify(value))])),
  });
  assert.ok(snapshot, diagnostics.map(({ message }) => message).join('\n'));
  return snapshot;
};

const PEOPLE = {
  users: [{ login: 'alice@example.com', role: 'owner' }, { login: 'bob@example.com' }, { login: 'erin@example.com', disabled: true }],
  domains: [{ domain: 'example.org', role: 'member' }],
}; // prettier-ignore

const POLICY = {
  tagOwners: { 'tag:web': ['alice@example.com'], 'tag:router': ['alice@example.com'] },
  autoApprovers: { routes: { '10.0.0.0/8': ['tag:router'] }, exitNode: ['tag:router'] },
};

const web = (change: Partial<NodeRecord> = {}): NodeRecord =>
  toyRecord(1, { name: 'web', login: 'bob@example.com' as NodeRecord['login'], ...change });

const resolve = (files: Record<string, unknown>, record: NodeRecord): ResolvedNode =>
  resolveNode(snapshotOf({ 'users.json5': PEOPLE, 'policy.json5': POLICY, ...files }), record, true);

test('without declarations a node is what it registered with', () => {
  const node = resolve({}, web());
  assert.equal(node.fqdn, 'web.tail.example.com');
  assert.equal(node.owner, 'bob@example.com');
  assert.equal(node.person?.role, 'member');
  assert.deepEqual(node.addresses, ['100.64.0.1', 'fd7a:115c:a1e0::1']);
  assert.equal(node.authorized, true);
});

test('nodes.json5 goes over the name, the tags, one address and the approval', () => {
  const declare = (declaration: object): ResolvedNode =>
    resolve({ 'nodes.json5': { nodes: [{ node: { id: 'n1TP' }, ...declaration }] } }, web({ authorized: false }));
  assert.equal(declare({ name: 'shop' }).fqdn, 'shop.tail.example.com');
  assert.deepEqual(declare({ addresses: ['100.64.9.9'] }).addresses, ['100.64.9.9', 'fd7a:115c:a1e0::1']);
  assert.equal(declare({ approved: true }).authorized, true);
  assert.equal(declare({ approved: true, disabled: true }).authorized, false);
  const tagged = declare({ tags: ['tag:web'], approved: true });
  assert.deepEqual([tagged.owner, tagged.ownerId, tagged.tags, tagged.authorized], [null, null, ['tag:web'], true]);
});

test('where a node stands is declared; what it says of it itself counts for nothing', () => {
  const claimed = web({ hostinfo: { OS: 'linux', Location: { City: 'Atlantis', Priority: 1_000_000 } } });
  assert.equal(resolve({}, claimed).hostinfo.Location, undefined);
  const location = { country: 'Finland', countryCode: 'FI', city: 'Helsinki', cityCode: 'HEL', latitude: 60.2, longitude: 24.9 }; // prettier-ignore
  const declare = (more: object) => ({ 'nodes.json5': { nodes: [{ node: { id: 'n1TP' }, location: { ...location, ...more } }] } }); // prettier-ignore
  assert.deepEqual(resolve(declare({ priority: 7 }), claimed).hostinfo, {
    OS: 'linux',
    Location: { Country: 'Finland', CountryCode: 'FI', City: 'Helsinki', CityCode: 'HEL', Latitude: 60.2, Longitude: 24.9, Priority: 7 }, // prettier-ignore
  });
  const steers = (files: object): boolean => 'traffic-steering' in baselineCaps(snapshotOf({ ...files }), false);
  assert.deepEqual([steers({}), steers(declare({})), steers(declare({ priority: 7 }))], [false, false, true]);
});

test('a node takes part as long as its owner is somebody of the tailnet', () => {
  const owned = (login: string): ResolvedNode => resolve({}, web({ login: login as NodeRecord['login'] }));
  assert.equal(owned('bob@example.com').authorized, true);
  assert.equal(owned('erin@example.com').authorized, false, 'disabled');
  assert.equal(owned('gone@example.com').authorized, false, 'not listed any more');
  assert.deepEqual([owned('zoe@example.org').authorized, owned('zoe@example.org').person?.role], [true, 'member']);
});

test('routes are approved by hand, by the policy or at run time, never because they were advertised', () => {
  const routes = ['10.1.0.0/16', '192.168.1.0/24', '0.0.0.0/0', '::/0'];
  const router = web({ hostinfo: { RoutableIPs: routes } });
  assert.deepEqual(resolve({}, router).approvedRoutes, []);
  assert.deepEqual(resolve({}, { ...router, approvedRoutes: ['192.168.0.0/16'] as never }).approvedRoutes, ['192.168.1.0/24']); // prettier-ignore
  const tagged = { ...router, login: null, tags: ['tag:router'] as never };
  assert.deepEqual(resolve({}, tagged).approvedRoutes, ['10.1.0.0/16', '0.0.0.0/0', '::/0']);
  const declared = { 'routes.json5': { routes: [{ node: { id: 'n1TP' }, exitNode: true }] } };
  assert.deepEqual(resolve(declared, router).approvedRoutes, ['0.0.0.0/0', '::/0']);
  const wide = { ...router, approvedRoutes: ['0.0.0.0/0'] as never };
  assert.deepEqual(resolve({}, wide).approvedRoutes, ['0.0.0.0/0'], 'an exit route approves no subnet');
});

test('posture attributes come from the client, and those set at run time and declared beside them', () => {
  const { posture } = resolve(
    {
      'nodes.json5': { nodes: [{ node: { id: 'n1TP' }, attributes: { 'custom:tier': 'iron', 'custom:rack': 7 } }] },
    },
    web({
      hostinfo: { OS: 'macOS', OSVersion: '15.1', IPNVersion: '1.101.7-t123', StateEncrypted: true },
      attributes: { 'custom:tier': { value: 'gold', expiresMs: null } },
    }),
  ).policyNode;
  assert.deepEqual(Object.fromEntries(posture ?? []), {
    'node:os': 'macos',
    'node:osVersion': '15.1',
    'node:tsVersion': '1.101.7',
    'node:tsReleaseTrack': 'unstable',
    'node:tsStateEncrypted': true,
    'custom:tier': 'iron',
    'custom:rack': 7,
  });
});

test('DNS on the wire: MagicDNS answers its own suffix, nameservers replace or help out, records are addresses', () => {
  const dns = {
    nameservers: ['9.9.9.9'],
    splitDNS: { 'corp.example.com': ['192.168.1.53'] },
    searchDomains: ['corp.example.com'],
    extraRecords: [
      { name: 'git.example.com', type: 'A', value: '100.64.0.9' },
      { name: 'www.example.com', type: 'CNAME', value: 'git.example.com' },
    ],
  };
  assert.deepEqual(dnsConfigOf(snapshotOf({ 'dns.json5': { ...dns, overrideLocalDNS: false } })), {
    FallbackResolvers: [{ Addr: '9.9.9.9' }],
    Routes: { 'corp.example.com.': [{ Addr: '192.168.1.53' }], 'tail.example.com.': [] },
    Domains: ['tail.example.com', 'corp.example.com'],
    Proxied: true,
    ExtraRecords: [
      { Name: 'git.example.com', Type: 'A', Value: '100.64.0.9' },
      { Name: 'www.example.com', Type: 'A', Value: '100.64.0.9' },
    ],
    ExitNodeFilteredSet: ['.tail.example.com'],
  });
  const plain = dnsConfigOf(snapshotOf({ 'dns.json5': { ...dns, overrideLocalDNS: true, magicDNS: false } }));
  assert.deepEqual(plain.Resolvers, [{ Addr: '9.9.9.9' }]);
  assert.deepEqual([plain.Proxied, plain.Domains], [undefined, ['corp.example.com']]);
});

test('an alias is sent as the addresses of what it leads to, in however many steps, or not at all', () => {
  const extraRecords = [
    { name: 'www.example.com', type: 'CNAME', value: 'site.example.com' },
    { name: 'site.example.com', type: 'CNAME', value: 'web.tail.example.com' },
    { name: 'old.example.com', type: 'CNAME', value: 'gone.tail.example.com' },
  ];
  const snapshot = snapshotOf({ 'dns.json5': { extraRecords } });
  const addresses = ['100.64.0.9', 'fd7a:115c:a1e0::9'] as Address[];
  const { ExtraRecords } = dnsConfigOf(snapshot, (fqdn) => (fqdn === 'web.tail.example.com' ? addresses : []));
  assert.deepEqual(ExtraRecords, [
    { Name: 'www.example.com', Type: 'A', Value: '100.64.0.9' },
    { Name: 'www.example.com', Type: 'AAAA', Value: 'fd7a:115c:a1e0::9' },
    { Name: 'site.example.com', Type: 'A', Value: '100.64.0.9' },
    { Name: 'site.example.com', Type: 'AAAA', Value: 'fd7a:115c:a1e0::9' },
  ]);
});

test('the relay map: declared regions, the embedded one where it is wanted, scores that can be taken back', () => {
  const embedded = { RegionID: 999, RegionCode: 'here', RegionName: 'Here', Nodes: [{ Name: '999a', RegionID: 999, HostName: '192.0.2.1' }] }; // prettier-ignore
  const region = { id: 900, code: 'hel', name: 'Helsinki', score: 0.5, nodes: [{ name: '900a', hostName: 'derp.example.com', stunPort: null }] }; // prettier-ignore
  const map = derpMapOf(snapshotOf({ 'derp.json5': { embedded: true, regions: [region] } }), embedded);
  assert.deepEqual(Object.keys(map.Regions), ['900', '999']);
  assert.deepEqual(map.Regions['900']?.Nodes, [
    { Name: '900a', RegionID: 900, HostName: 'derp.example.com', STUNPort: -1, DERPPort: 443 },
  ]);
  assert.deepEqual(map.HomeParams, { RegionScore: { 900: 0.5 } });
  const off = derpMapOf(snapshotOf({ 'derp.json5': { embedded: false, regions: [region] } }), embedded);
  assert.deepEqual(Object.keys(off.Regions), ['900']);
});

test('relays of derp.json5 stand over those of the policy, and these over those of derpmap.json5', () => {
  const wire = (id: number, host: string) => ({ RegionID: id, RegionCode: `r${id}`, RegionName: host, Nodes: [{ Name: `${id}a`, HostName: host }] }); // prettier-ignore
  const ours = (id: number, host: string) => ({ id, code: `r${id}`, name: host, score: 3, nodes: [{ name: `${id}a`, hostName: host }] }); // prettier-ignore
  const publicMap = { Regions: Object.fromEntries([1, 2, 3, 4, 5].map((id) => [id, wire(id, 'public.example.com')])) };
  const policy = (derpMap: object) => ({ 'policy.json5': { derpMap } });
  const hosts = (files: Record<string, unknown>, hidden: readonly string[] = []) => {
    const { Regions, HomeParams } = derpMapOf(snapshotOf({ 'derpmap.json5': publicMap, ...files }), embedded, hidden);
    const names = Object.values(Regions).map(({ RegionID, Nodes }) => `${RegionID} ${Nodes[0]?.HostName.split('.')[0]}`); // prettier-ignore
    return [names.join(', '), HomeParams?.RegionScore];
  };
  const embedded = { RegionID: 999, RegionCode: 'tailplane', RegionName: 'Here', Nodes: [{ Name: '999a', RegionID: 999, HostName: 'embedded' }] }; // prettier-ignore
  assert.deepEqual(
    hosts({
      ...policy({ Regions: { 1: null, 2: wire(2, 'policy.example.com'), 3: wire(3, 'policy.example.com') } }),
      'derp.json5': { regions: [ours(3, 'own.example.com')], omit: ['r4'], scores: { r5: 0.5, 5: 0.6, r3: 2, tailplane: 4 } }, // prettier-ignore
    }),
    ['2 policy, 3 own, 5 public, 999 embedded', { 3: 2, 5: 0.6, 999: 4 }],
  );
  assert.deepEqual(hosts(policy({ OmitDefaultRegions: true, Regions: { 2: wire(2, 'policy.example.com') } })), ['2 policy, 999 embedded', {}]); // prettier-ignore
  assert.deepEqual(hosts({ 'derp.json5': { scores: { r1: 2, r2: 2 } } }, ['1', 'r3', 'r4', 'r5', '999']), ['2 public', { 2: 2 }]); // prettier-ignore
});

test('features that are off are not offered', () => {
  const on = baselineCaps(snapshotOf({}), true);
  assert.ok('https://tailscale.com/cap/ssh' in on && 'https://tailscale.com/cap/file-sharing' in on);
  const features = { ssh: false, taildrop: false, https: true };
  const off = baselineCaps(snapshotOf({ 'tailnet.json5': { name: 'example.com', baseDomain: 'tail.example.com', features } }), true); // prettier-ignore
  assert.deepEqual(Object.keys(off).sort(), ['https', 'store-appc-routes', 'suggest-exit-node-ui', 'tailnet-display-name']); // prettier-ignore
});

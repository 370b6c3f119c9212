// What DNS and capabilities look like for one node: its profile of NextDNS, and features that this server can't give.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NodeId, Revision, Tag } from '../../src/base/ids.ts';
import { createTailnet, type Tailnet } from '../../src/netmap/tailnet.ts';
import { compileSnapshot } from '../../src/snapshot/compile.ts';
import type { Snapshot } from '../../src/snapshot/snapshot.ts';
import type { DnsConfig } from '../../src/wire/dns.ts';
import { decodeMessage } from './client.ts';
import { toyRecord } from './toy.ts';

const DNS = { nameservers: ['9.9.9.9', { address: 'https://dns.nextdns.io/aaaaaa', useWithExitNode: true }] };
const attrs = (...attr: readonly string[]) => [{ target: ['tag:kids'], attr }];

const snapshotOf = (dns: object, nodeAttrs: readonly object[], features: object = {}): Snapshot => {
  const files = {
    'tailnet.json5': { name: 'example.com', baseDomain: 'tail.example.com', features },
    'users.json5': { users: [{ login: 'alice@example.com', role: 'owner' }] },
    'dns.json5': dns,
    'policy.json5': {
      tagOwners: { 'tag:kids': ['alice@example.com'], 'tag:desk': ['alice@example.com'] },
      grants: [{ src: ['*'], dst: ['*'], ip: ['*'] }],
      nodeAttrs,
    },
  };
  const { snapshot, diagnostics } = compileSnapshot({
    revision: `dir-${'0'.repeat(16)}` as Revision,
    files: new Map(Object.entries(files).map(([name, value]) => [name, Buffer.from(JSON.stringify(value))])),
  });
  assert.ok(snapshot, diagnostics.map(({ message }) => message).join('\n'));
  return snapshot;
};

const KIDS = 1 as NodeId;
const DESK = 2 as NodeId;
const records = [
  toyRecord(KIDS, { name: 'tablet', tags: ['tag:kids' as Tag], login: null, hostinfo: { OS: 'iOS' } }),
  toyRecord(DESK, { name: 'desk', tags: ['tag:desk' as Tag], login: null, hostinfo: { OS: 'linux' } }),
];
const open = (snapshot: Snapshot, certificates = true): Tailnet =>
  createTailnet(snapshot, records, { nowMs: () => 0, embeddedRegion: null, certificates });
const dnsOf = (tailnet: Tailnet, id: NodeId): DnsConfig => tailnet.describe(id)?.['DNSConfig'] as DnsConfig;
const globals = ({ Resolvers, FallbackResolvers }: DnsConfig): unknown => Resolvers ?? { fallback: FallbackResolvers };

test('NextDNS hears of the device, in all of its URLs and in no other', () => {
  const tailnet = open(snapshotOf({ ...DNS, splitDNS: { 'example.org': ['https://dns.nextdns.io/bbbbbb'] } }, []));
  const [address] = records[1]!.addresses;
  const device = `device_name=desk&device_model=linux&device_ip=${address}`;
  const dns = dnsOf(tailnet, DESK);
  assert.deepEqual(globals(dns), {
    fallback: [{ Addr: '9.9.9.9' }, { Addr: `https://dns.nextdns.io/aaaaaa?${device}`, UseWithExitNode: true }],
  });
  assert.deepEqual(dns.Routes?.['example.org.'], [{ Addr: `https://dns.nextdns.io/bbbbbb?${device}` }]);
});

const cases: readonly [what: string, dns: object, attr: readonly string[], expected: unknown][] = [
  ['a profile takes the place of all nameservers', DNS, ['nextdns:cccccc', 'nextdns:no-device-info'], [{ Addr: 'https://dns.nextdns.io/cccccc', UseWithExitNode: true }]], // prettier-ignore
  ['a profile is enough by itself', {}, ['nextdns:cccccc', 'nextdns:no-device-info'], [{ Addr: 'https://dns.nextdns.io/cccccc' }]], // prettier-ignore
  ['the first of two profiles counts', {}, ['nextdns:no-device-info', 'nextdns:cccccc', 'nextdns:dddddd'], [{ Addr: 'https://dns.nextdns.io/cccccc' }]], // prettier-ignore
  ['what is no profile changes nothing', { nameservers: ['9.9.9.9'] }, ['nextdns:children'], { fallback: [{ Addr: '9.9.9.9' }] }], // prettier-ignore
  ['silence about the device alone', DNS, ['nextdns:no-device-info'], { fallback: [{ Addr: '9.9.9.9' }, { Addr: 'https://dns.nextdns.io/aaaaaa', UseWithExitNode: true }] }], // prettier-ignore
];
for (const [what, dns, attr, expected] of cases) {
  test(`by attribute: ${what}`, () => {
    const tailnet = open(snapshotOf(dns, attrs(...attr)));
    assert.deepEqual(globals(dnsOf(tailnet, KIDS)), expected);
    assert.notDeepEqual(dnsOf(tailnet, DESK).Resolvers, expected, 'nobody else');
  });
}

test('a profile that comes by a commit is sent to the node that it is for, and to it alone', () => {
  const tailnet = open(snapshotOf({}, []));
  const streams = [KIDS, DESK].map((id) => tailnet.open(id, { capver: 142 }, () => {})!);
  const read = () =>
    streams.map((stream) => {
      const pieces = stream.next();
      return pieces && decodeMessage(pieces)['DNSConfig'];
    });
  assert.ok(read().every(Boolean));
  tailnet.setSnapshot(snapshotOf({}, attrs('nextdns:cccccc', 'nextdns:no-device-info')));
  const [kids, desk] = read();
  assert.deepEqual(globals(kids as DnsConfig), [{ Addr: 'https://dns.nextdns.io/cccccc' }]);
  assert.equal(desk, undefined);
});

test('Funnel is not offered, whatever the policy says, nor certificates where nobody publishes what they need', () => {
  const snapshot = snapshotOf({}, attrs('funnel', 'magicdns-aaaa'), { https: true });
  const capsOf = (tailnet: Tailnet) => Object.keys((tailnet.describe(KIDS)!['Node'] as { CapMap: object }).CapMap);
  const [able, unable] = [capsOf(open(snapshot)), capsOf(open(snapshot, false))];
  assert.deepEqual(able.filter((name) => /funnel|^https$|magicdns/.test(name)), ['https', 'magicdns-aaaa']); // prettier-ignore
  assert.ok(!unable.includes('https'));
  // `tailscale cert` asks all the same, and is told why not.
  assert.deepEqual(dnsOf(open(snapshot, false), KIDS).CertDomains, ['tablet.tail.example.com']);
});

test('peers are told of the attribute that makes names under a name lead to it, and of no other', () => {
  const tailnet = open(snapshotOf({}, attrs('dns-subdomain-resolve', 'magicdns-aaaa')));
  const [peer] = tailnet.describe(DESK)!['Peers'] as { CapMap: object }[];
  assert.deepEqual(peer?.CapMap, { 'dns-subdomain-resolve': null });
  tailnet.setSnapshot(snapshotOf({}, []));
  const [after] = tailnet.describe(DESK)!['Peers'] as { CapMap?: object }[];
  assert.deepEqual(after?.CapMap ?? {}, {});
});

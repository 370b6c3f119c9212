// Which message follows from which change, to whom, and what it costs the client.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NodeId, Tag } from '../../src/base/ids.ts';
import { createTailnet } from '../../src/netmap/tailnet.ts';
import type { MapStream } from '../../src/netmap/sessions.ts';
import type { Tailnet } from '../../src/netmap/tailnet.ts';
import type { NodeField, NodeRecord } from '../../src/registry/record.ts';
import { Client, decodeMessage } from './client.ts';
import type { Fields } from './client.ts';
import { LOGINS, TOY_RULES, toyDisco, toyKey, toyRecord, toySnapshot } from './toy.ts';
import type { ToyDeclared } from './toy.ts';

const NOW_MS = 1_760_000_000_000;
const A = 'tag:a' as Tag;
const B = 'tag:b' as Tag;

const DECLARED: ToyDeclared = {
  policy: { reach: new Set(['tag:a>tag:a', 'tag:b>tag:b']), ipv6Only: new Set(), caps: {} },
  baseDomain: 'tail.example.com',
  displayName: 'Alice',
  nameserver: '1.1.1.1',
  relay: 900,
  https: false,
};

const tagged = (id: number, tag: Tag, change: Partial<NodeRecord> = {}): NodeRecord =>
  toyRecord(id, { tags: [tag], login: null, ...change });

/** A tailnet whose clients have all read their first map. */
class Table {
  readonly records = new Map<number, NodeRecord>();
  readonly streams = new Map<number, MapStream>();
  readonly clients = new Map<number, Client>();
  readonly tailnet: Tailnet;
  declared = DECLARED;
  woken = new Set<number>();

  constructor(records: readonly NodeRecord[], fragmentBytes?: number) {
    for (const record of records) this.records.set(record.id, record);
    this.tailnet = createTailnet(
      toySnapshot(this.declared),
      records,
      { nowMs: () => NOW_MS, embeddedRegion: null, ...(fragmentBytes !== undefined && { fragmentBytes }) },
      TOY_RULES,
    );
    for (const { id } of records) this.open(id);
  }

  open(id: number): Fields {
    const stream = this.tailnet.open(id as NodeId, { capver: 142 }, () => this.woken.add(id));
    assert.ok(stream);
    this.streams.set(id, stream);
    this.clients.set(id, new Client());
    return this.must(id);
  }

  pieces(id: number): readonly Uint8Array[] | undefined {
    return this.streams.get(id)?.next();
  }

  /** The next message, which must be there. */
  must(id: number): Fields {
    const message = this.read(id);
    assert.ok(message, `node ${id} has nothing pending`);
    return message;
  }

  read(id: number): Fields | undefined {
    const pieces = this.pieces(id);
    this.woken.delete(id);
    if (!pieces) return undefined;
    const message = decodeMessage(pieces);
    this.clients.get(id)?.fold(structuredClone(message));
    return message;
  }

  change(id: number, change: Partial<NodeRecord>): void {
    const before = this.records.get(id) as NodeRecord;
    const after = { ...before, ...change };
    this.records.set(id, after);
    this.tailnet.apply([{ kind: 'node-changed', before, after, fields: Object.keys(change) as NodeField[] }]);
  }

  add(record: NodeRecord): void {
    this.records.set(record.id, record);
    this.tailnet.apply([{ kind: 'node-added', node: record }]);
  }

  remove(id: number): void {
    this.tailnet.apply([{ kind: 'node-removed', node: this.records.get(id) as NodeRecord, cause: 'administrator' }]);
  }

  declare(change: Partial<ToyDeclared>): void {
    this.declared = { ...this.declared, ...change };
    this.tailnet.setSnapshot(toySnapshot(this.declared));
  }

  peer(viewer: number, id: number): Fields | undefined {
    return this.clients.get(viewer)?.peers.get(id);
  }

  /** Netmaps that a client of v1.102 and one of v1.98 rebuilt for the last messages. */
  rebuilds(id: number, work: () => void): [number, number] {
    const client = this.clients.get(id) as Client;
    const before = [client.rebuilds, client.rebuildsBefore100] as const;
    work();
    return [client.rebuilds - before[0], client.rebuildsBefore100 - before[1]];
  }
}

test('the first message holds everything that a client needs to run', () => {
  const table = new Table([tagged(1, A, { homeDerp: 900, endpoints: ['192.0.2.1:1'] }), tagged(2, A)]);
  const message = table.open(1);
  assert.deepEqual(Object.keys(message).sort(), [
    'ClientVersion',
    'CollectServices',
    'ControlTime',
    'DERPMap',
    'DNSConfig',
    'Debug',
    'Domain',
    'Node',
    'PacketFilters',
    'Peers',
    'SSHPolicy',
    'UserProfiles',
  ]);
  const node = message['Node'] as Fields;
  assert.equal(node['Name'], 'node-1.tail.example.com.');
  assert.equal(node['MachineAuthorized'], true);
  assert.deepEqual(node['Addresses'], ['100.64.0.1/32', 'fd7a:115c:a1e0::1/128']);
  assert.equal(node['DERP'], '127.3.3.40:900');
  assert.ok('https://tailscale.com/cap/ssh' in (node['CapMap'] as Fields));
  const [peer] = message['Peers'] as Fields[];
  assert.equal(peer?.['Online'], false);
  assert.equal(peer?.['Machine'], undefined, 'machine keys of others are nobody else’s business');
  assert.deepEqual(message['Domain'], 'example.com');
});

test('a node that nobody may reach is told so: an empty chunk of the filter, and an SSH policy that lets nobody in', () => {
  const message = new Table([toyRecord(3)]).open(3);
  assert.deepEqual(message['PacketFilters'], { none: [] });
  assert.deepEqual(message['SSHPolicy'], { rules: [] });
  assert.equal('Peers' in message, false);
});

test('moved endpoints go to those who see the node, as one patch in the same bytes, and cost no client a rebuild', () => {
  const table = new Table([tagged(1, A), tagged(2, A), tagged(3, A), tagged(4, B)]);
  table.change(1, { endpoints: ['192.0.2.1:41641'] });
  assert.deepEqual(table.woken, new Set([2, 3]));
  const [first] = table.pieces(2) ?? [];
  const [second] = table.pieces(3) ?? [];
  assert.ok(first);
  assert.equal(first, second, 'made once, shared by reference');
  assert.deepEqual(decodeMessage([first]), { PeersChangedPatch: [{ NodeID: 1, Endpoints: ['192.0.2.1:41641'] }] });
  table.change(1, { endpoints: [], homeDerp: 901 });
  assert.deepEqual(
    table.rebuilds(2, () => table.read(2)),
    [0, 0],
  );
});

test('many changes before a client is asked are one message with the last state', () => {
  const table = new Table([tagged(1, A), tagged(2, A), tagged(3, A)]);
  for (let port = 1; port <= 50; port++) table.change(1, { endpoints: [`192.0.2.1:${port}`] });
  table.change(3, { homeDerp: 901 });
  const patches = table.must(2)['PeersChangedPatch'] as Fields[];
  assert.deepEqual(patches.toSorted((a, b) => (a['NodeID'] as number) - (b['NodeID'] as number)), [
    { NodeID: 1, Endpoints: ['192.0.2.1:50'] },
    { NodeID: 3, DERPRegion: 901 },
  ]); // prettier-ignore
  assert.equal(table.read(2), undefined);
});

test('a node that goes offline takes its last-seen time with it', () => {
  const table = new Table([tagged(1, A), tagged(2, A)]);
  table.tailnet.setOnline(1 as NodeId, true);
  assert.deepEqual(table.read(2), { PeersChangedPatch: [{ NodeID: 1, Online: true }] });
  table.change(1, { lastSeenMs: 1000 });
  assert.deepEqual(table.woken, new Set(), 'while it is online nobody cares');
  table.tailnet.setOnline(1 as NodeId, false);
  assert.deepEqual(table.read(2), {
    PeersChangedPatch: [{ NodeID: 1, Online: false, LastSeen: '1970-01-01T00:00:01.000Z' }],
  });
});

test('a new disco key is not lost when the node goes offline in the same message', () => {
  const table = new Table([tagged(1, A, { lastSeenMs: 1000 }), tagged(2, A)]);
  table.tailnet.setOnline(1 as NodeId, true);
  table.change(1, { discoKey: toyDisco(7) });
  table.tailnet.setOnline(1 as NodeId, false);
  table.read(2);
  assert.equal(table.peer(2, 1)?.['DiscoKey'], toyDisco(7));
});

test('what a patch can take away is taken away: a signature, an expiry', () => {
  const table = new Table([tagged(1, A, { keySignature: 'c2lnbmVk', expiresMs: NOW_MS + 1000 }), tagged(2, A)]);
  table.change(1, { keySignature: null, expiresMs: null, nodeKey: toyKey(77) });
  assert.deepEqual(table.read(2), {
    PeersChangedPatch: [{ NodeID: 1, Key: toyKey(77), KeySignature: '', KeyExpiry: '0001-01-01T00:00:00Z' }],
  });
});

test('a node that joins comes with its owner and a changed filter, without a rebuild from v1.100 on', () => {
  const table = new Table([tagged(1, A)]);
  table.add(tagged(2, A));
  const cost = table.rebuilds(1, () => {
    const message = table.must(1);
    assert.deepEqual(Object.keys(message).sort(), ['PacketFilters', 'PeersChanged', 'UserProfiles']);
  });
  assert.deepEqual(cost, [0, 1]);
});

test('a node that goes is removed, and its addresses from the filter', () => {
  const table = new Table([tagged(1, A), tagged(2, A), tagged(3, B)]);
  table.remove(2);
  assert.deepEqual(table.woken, new Set([1]));
  const message = table.must(1);
  assert.deepEqual(message['PeersRemoved'], [2]);
  assert.deepEqual(Object.values(message['PacketFilters'] as Fields), [null]);
});

test('a renamed node is sent whole to its peers, and to itself with what hangs on its name', () => {
  const table = new Table([tagged(1, A), tagged(2, A)]);
  table.declare({ https: true });
  for (const id of [1, 2]) table.read(id);
  table.change(1, { name: 'web' });
  const self = table.must(1);
  assert.equal((self['Node'] as Fields)['Name'], 'web.tail.example.com.');
  assert.deepEqual((self['DNSConfig'] as Fields)['CertDomains'], ['web.tail.example.com']);
  assert.equal((table.must(2)['PeersChanged'] as Fields[])[0]?.['Name'], 'web.tail.example.com.');
});

test('a policy change sends the rules that come and the names of those that go', () => {
  const table = new Table([tagged(1, A), tagged(2, A), tagged(3, B)]);
  const names = Object.keys((table.open(1)['PacketFilters'] as Fields) ?? {});
  table.declare({ policy: { ...DECLARED.policy, reach: new Set(['tag:a>tag:a', 'tag:b>tag:b', 'tag:b>tag:a']) } });
  const message = table.must(1);
  assert.deepEqual(Object.keys(message).sort(), ['PacketFilters', 'PeersChanged', 'UserProfiles']);
  assert.equal(names.length, 1);
  assert.equal(names.some((name) => name in (message['PacketFilters'] as Fields)), false, 'rules that stay are not sent'); // prettier-ignore
  table.declare({ policy: DECLARED.policy });
  const back = table.must(1);
  assert.deepEqual(back['PeersRemoved'], [3]);
  assert.deepEqual(Object.values(back['PacketFilters'] as Fields), [null]);
});

test('a commit that changes one part sends that part only, and one that changes nothing wakes nobody', () => {
  const table = new Table([tagged(1, A), tagged(2, A)]);
  table.declare({ nameserver: '9.9.9.9' });
  assert.deepEqual(Object.keys(table.must(1)), ['DNSConfig']);
  table.declare({ relay: 901 });
  assert.deepEqual(Object.keys(table.must(1)), ['DERPMap']);
  table.read(2);
  table.declare({});
  assert.deepEqual(table.woken, new Set());
});

test('a public map that the server fetched anew reaches clients as relays alone, and under those of the folder', () => {
  const table = new Table([tagged(1, A)]);
  const { derp } = toySnapshot(table.declared);
  const [own] = derp.regions;
  assert.ok(own);
  table.tailnet.setPublicRegions([{ ...own, name: 'Theirs' }, { ...own, id: 7 }]); // prettier-ignore
  const message = table.must(1);
  assert.deepEqual(Object.keys(message), ['DERPMap']);
  const regions = Object.values((message['DERPMap'] as Fields)['Regions'] as Fields) as Fields[];
  assert.deepEqual(regions.map(({ RegionID, RegionName }) => [RegionID, RegionName]), [[7, 'Relay'], [900, 'Relay']]); // prettier-ignore
  table.tailnet.setPublicRegions([{ ...own, id: 7 }]);
  assert.equal(table.read(1), undefined, 'a map that comes to the same is not sent');
});

test('asked to measure again, a client gets a relay map that differs, with the same regions', () => {
  const table = new Table([tagged(1, A)]);
  const relays = table.tailnet.relays();
  const again = (): Fields => {
    table.tailnet.measureRelaysAgain();
    return table.must(1)['DERPMap'] as Fields;
  };
  const [first, second] = [again(), again()];
  assert.deepEqual(first['Regions'], second['Regions']);
  assert.deepEqual([first['HomeParams'], second['HomeParams']], [{ RegionScore: { 0: 1 } }, { RegionScore: {} }]);
  assert.equal(table.tailnet.relays(), relays, 'which is no change of relays');
  table.declare({ relay: 901 });
  assert.notEqual(table.tailnet.relays(), relays);
});

test('relays are hidden from the nodes that a selector names, without a new connection', () => {
  const table = new Table([tagged(1, A), tagged(2, A), tagged(3, B), toyRecord(4)]);
  const regions = (id: number) => Object.keys((table.must(id)['DERPMap'] as Fields)['Regions'] as Fields);
  const plain = toySnapshot(table.declared);
  const hide = [{ node: { by: 'tag', tag: A }, regions: [{ region: 'r' }] }] as never;
  table.tailnet.setSnapshot({ ...plain, digest: 'hidden', derp: { ...plain.derp, hide } });
  const [first, second] = [table.must(1), table.must(2)];
  assert.deepEqual(first, { DERPMap: { Regions: {}, HomeParams: { RegionScore: {} }, omitDefaultRegions: true } });
  assert.deepEqual(second, first);
  assert.deepEqual([table.read(3), table.read(4)], [undefined, undefined]);
  // A node that gets the tag is told as well, and one that loses it again.
  table.change(3, { tags: [A] });
  assert.deepEqual(regions(3), []);
  table.change(3, { tags: [B] });
  assert.deepEqual(regions(3), ['900']);
});

test('a person who changes their name is a profile to those who see one of their nodes', () => {
  const [alice] = LOGINS;
  const declared = { policy: { ...DECLARED.policy, reach: new Set(['user1000>tag:a']) } };
  const table = new Table([toyRecord(1, { login: alice as NodeRecord['login'] }), tagged(2, A), tagged(3, B)]);
  table.declare(declared);
  for (const id of [1, 2, 3]) table.read(id);
  table.declare({ displayName: 'Alice Archer' });
  const profiles = [{ ID: 1000, LoginName: alice, DisplayName: 'Alice Archer' }];
  assert.deepEqual(table.read(1), { UserProfiles: profiles });
  assert.deepEqual(table.read(2), { UserProfiles: profiles });
  assert.equal(table.read(3), undefined);
});

test('a tagged node has an account of its own, and stands for nobody to its peers', () => {
  const table = new Table([tagged(1, A), tagged(2, A)]);
  const { User, Login } = table.tailnet.accountOf(table.records.get(1) as NodeRecord);
  const message = table.open(1);
  assert.equal((message['Node'] as Fields)['User'], User.ID);
  assert.equal(Login.LoginName, 'node-1.tail.example.com');
  const peer = (message['Peers'] as Fields[])[0];
  const profile = (message['UserProfiles'] as Fields[]).find(({ ID }) => ID === peer?.['User']);
  assert.equal(profile?.['LoginName'], 'tagged-devices');
});

test('a node that waits for approval sees itself only, and is seen by nobody until then', () => {
  const table = new Table([tagged(1, A), tagged(2, A, { authorized: false })]);
  const waiting = table.open(2);
  assert.equal((waiting['Node'] as Fields)['MachineAuthorized'], undefined);
  assert.equal('Peers' in waiting, false);
  assert.equal(table.clients.get(1)?.peers.size, 0);
  table.change(2, { authorized: true });
  assert.equal((table.must(2)['Node'] as Fields)['MachineAuthorized'], true);
  table.read(1);
  assert.deepEqual([...(table.clients.get(1)?.peers.keys() ?? [])], [2]);
  assert.deepEqual([...(table.clients.get(2)?.peers.keys() ?? [])], [1]);
});

test('a node whose key is over is told of that and of nobody else; its peers see the end of the key', () => {
  const table = new Table([tagged(1, A), tagged(2, A)]);
  table.change(1, { expiresMs: NOW_MS });
  const message = table.must(1);
  assert.equal((message['Node'] as Fields)['KeyExpiry'], '2025-10-09T08:53:20.000Z');
  assert.deepEqual(message['PeersRemoved'], [2]);
  assert.deepEqual(table.read(2), { PeersChangedPatch: [{ NodeID: 1, KeyExpiry: '2025-10-09T08:53:20.000Z' }] });
});

test('full maps share the bytes of their pages', () => {
  const table = new Table(Array.from({ length: 192 }, (_, i) => tagged(i + 1, A)));
  const pages = (id: number): Uint8Array[] =>
    (table.tailnet.fetchOnce(id as NodeId, { capver: 142 }) ?? []).filter((piece) => piece.length > 1000);
  const shared = new Set(pages(1));
  assert.equal(pages(2).filter((piece) => shared.has(piece)).length, 2, 'all but the page of the two nodes themselves');
});

test('kept fragments stay within their limit', () => {
  const limitBytes = 20_000;
  const table = new Table(
    Array.from({ length: 200 }, (_, i) => tagged(i + 1, A)),
    limitBytes,
  );
  for (let i = 1; i <= 130; i++) {
    table.change(i, { endpoints: [`192.0.2.1:${i}`] });
    table.open(i);
    const { fragmentBytes, fragments } = table.tailnet.stats();
    assert.ok(fragmentBytes <= limitBytes && fragmentBytes >= 0 && fragments >= 0, `${fragmentBytes} bytes`);
  }
});

test('a closed stream is not woken any more and costs nothing', () => {
  const table = new Table([tagged(1, A), tagged(2, A)]);
  table.streams.get(2)?.close();
  table.change(1, { endpoints: ['192.0.2.1:1'] });
  assert.deepEqual(table.woken, new Set());
  assert.equal(table.pieces(2), undefined);
  assert.equal(table.tailnet.stats().streams, 1);
  const closed = table.streams.get(2);
  table.open(2);
  closed?.close();
  table.read(1);
  table.change(1, { endpoints: ['192.0.2.1:2'] });
  assert.deepEqual(table.woken, new Set([2]), 'closing it again does not touch the stream that came after');
});

test('without peers only the parts are sent, and changes of peers say nothing', () => {
  const table = new Table([tagged(1, A), tagged(2, A)]);
  const stream = table.tailnet.open(1 as NodeId, { capver: 142, omitPeers: true }, () => {});
  const message = decodeMessage(stream?.next() ?? []);
  assert.equal('Peers' in message, false);
  assert.ok('DERPMap' in message);
  table.change(2, { endpoints: ['192.0.2.1:1'] });
  assert.equal(stream?.next(), undefined);
});

test('the timeline says what a node was sent and why', () => {
  const table = new Table([tagged(1, A), tagged(2, A)]);
  table.change(1, { endpoints: ['192.0.2.1:1'] });
  table.tailnet.setOnline(1 as NodeId, true);
  table.read(2);
  const last = table.tailnet.timeline(2 as NodeId).at(-1);
  assert.deepEqual(
    { ...last, sizeBytes: 0 },
    {
      atMs: NOW_MS,
      kind: 'delta',
      fields: ['PeersChangedPatch(1: endpoints, online)'],
      causes: ['peers'],
      sizeBytes: 0,
      rebuild: false,
    },
  );
  assert.equal(table.tailnet.timeline(1 as NodeId)[0]?.kind, 'full');
  table.change(1, { discoKey: toyDisco(3) });
  table.read(2);
  assert.equal(table.tailnet.timeline(2 as NodeId).at(-1)?.rebuild, true);
});

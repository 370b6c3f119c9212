// The delta law: folding the messages that a client is sent gives the map that is worked out from scratch, for every node,
// always; and nobody is ever sent a peer, patch, address, route or profile that the policy hides from them.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Prefix } from '../../src/base/address.ts';
import type { Login, NodeId, Tag } from '../../src/base/ids.ts';
import { createTailnet } from '../../src/netmap/tailnet.ts';
import type { MapStream, Tailnet } from '../../src/netmap/tailnet.ts';
import type { RegistryChange } from '../../src/registry/change.ts';
import type { NodeField, NodeRecord } from '../../src/registry/record.ts';
import { Client, decodeMessage } from './client.ts';
import type { Fields } from './client.ts';
import { LOGINS, TOY_RULES, toyDisco, toyKey, toyRecord, toySnapshot } from './toy.ts';
import type { ToySnapshot } from './toy.ts';

const TAGS = ['tag:a', 'tag:b'] as readonly string[] as readonly Tag[];
const GROUPS = [...TAGS, 'user1000', 'user1001', 'user1002'];
const ROUTES = ['10.0.0.0/8', '192.168.1.0/24', '0.0.0.0/0'] as readonly string[] as readonly Prefix[];

const pick = <T>(list: readonly T[]): fc.Arbitrary<T> => fc.constantFrom(...list);
const small = fc.nat(9);

const toyPolicy: fc.Arbitrary<Pick<ToySnapshot, 'reach' | 'ipv6Only' | 'caps'>> = fc.record({
  reach: fc
    .uniqueArray(
      fc.oneof(
        fc.tuple(pick(GROUPS), pick(GROUPS)).map(([a, b]) => `${a}>${b}`),
        fc.tuple(pick(GROUPS), pick(GROUPS)).map(([a, b]) => `ssh:${a}>${b}`),
      ),
      { maxLength: 14 },
    ) // prettier-ignore
    .map((pairs) => new Set(pairs)),
  ipv6Only: fc.uniqueArray(pick(GROUPS), { maxLength: 1 }).map((groups) => new Set(groups)),
  caps: fc.dictionary(pick(GROUPS), pick(['funnel', 'randomize-client-port']), { maxKeys: 2 }),
});

type Event =
  | { readonly kind: 'add'; readonly tag: number; readonly authorized: boolean }
  | { readonly kind: 'remove'; readonly node: number }
  | { readonly kind: 'change'; readonly node: number; readonly change: Partial<NodeRecord> }
  | { readonly kind: 'online'; readonly node: number; readonly online: boolean }
  | { readonly kind: 'policy'; readonly policy: Pick<ToySnapshot, 'reach' | 'ipv6Only' | 'caps'> }
  | { readonly kind: 'settings'; readonly settings: Partial<ToySnapshot> }
  | { readonly kind: 'read'; readonly node: number }
  | { readonly kind: 'reopen'; readonly node: number };

const node = fc.nat(11);

const change: fc.Arbitrary<Partial<NodeRecord>> = fc.oneof(
  fc.array(small, { maxLength: 2 }).map((ports) => ({ endpoints: ports.map((port) => `192.0.2.1:${1000 + port}`) })),
  fc.integer({ min: 1, max: 3 }).map((homeDerp) => ({ homeDerp })),
  small.map((n) => ({ discoKey: toyDisco(n + 1) })),
  small.map((n) => ({ nodeKey: toyKey(1000 + n) })),
  fc.option(small).map((n) => ({ expiresMs: n === null ? null : 1_800_000_000_000 + n })),
  fc.option(small).map((n) => ({ keySignature: n === null ? null : Buffer.from(`signed ${n}`).toString('base64') })),
  fc.integer({ min: 113, max: 142 }).map((capver) => ({ capver })),
  small.map((n) => ({ lastSeenMs: 1_750_000_000_000 + n * 1000 })),
  small.map((n) => ({ name: `renamed-${n}` })),
  fc.boolean().map((authorized) => ({ authorized })),
  pick(TAGS).map((tag) => ({ tags: [tag], login: null })),
  pick(LOGINS).map((login) => ({ tags: [], login: login as Login })),
  fc
    .tuple(pick(['linux', 'macOS']), fc.subarray([...ROUTES]), small)
    .map(([OS, RoutableIPs, n]) => ({ hostinfo: { OS, RoutableIPs, NetInfo: { PreferredDERP: n }, Junk: n } })),
  fc.subarray([...ROUTES]).map((approvedRoutes) => ({ approvedRoutes })),
);

const event: fc.Arbitrary<Event> = fc.oneof(
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('add' as const), tag: fc.nat(3), authorized: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('remove' as const), node }) },
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('change' as const), node, change }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('online' as const), node, online: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('policy' as const), policy: toyPolicy }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('settings' as const),
      settings: fc.oneof(
        pick(['tail.example.com', 'other.example.com']).map((baseDomain) => ({ baseDomain })),
        small.map((n) => ({ names: { [LOGINS[0] as string]: `Alice ${n}` } })),
        pick(['1.1.1.1', '9.9.9.9']).map((nameserver) => ({ nameserver })),
        fc.integer({ min: 900, max: 902 }).map((relay) => ({ relay })),
        fc.boolean().map((https) => ({ https })),
      ),
    }),
  },
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('read' as const), node }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('reopen' as const), node }) },
);

interface Watcher {
  stream: MapStream;
  client: Client;
  woken: boolean;
}

class Scene {
  toy: ToySnapshot;
  readonly records = new Map<NodeId, NodeRecord>();
  readonly online = new Set<NodeId>();
  readonly watchers = new Map<NodeId, Watcher>();
  readonly tailnet: Tailnet;
  #nextId = 1;

  constructor(policy: Pick<ToySnapshot, 'reach' | 'ipv6Only' | 'caps'>, count: number) {
    this.toy = { ...policy, serial: 0, baseDomain: 'tail.example.com', names: {}, nameserver: '1.1.1.1', relay: 900, https: false }; // prettier-ignore
    for (let i = 0; i < count; i++) this.#make(i, true);
    this.tailnet = this.#fresh();
    for (const id of this.records.keys()) this.open(id);
  }

  #fresh(): Tailnet {
    return createTailnet(toySnapshot(this.toy), this.records.values(), { nowMs: () => 1_760_000_000_000, embeddedRegion: null }, TOY_RULES); // prettier-ignore
  }

  #make(tag: number, authorized: boolean): NodeRecord {
    const id = this.#nextId++;
    const record = toyRecord(id, { ...(TAGS[tag] && { tags: [TAGS[tag]], login: null }), authorized });
    this.records.set(record.id, record);
    return record;
  }

  idAt(node: number): NodeId | undefined {
    return [...this.records.keys()][node % Math.max(1, this.records.size)];
  }

  open(id: NodeId): void {
    this.watchers.get(id)?.stream.close();
    const watcher: Partial<Watcher> = { client: new Client(), woken: true };
    const stream = this.tailnet.open(id, { capver: 142 }, () => {
      assert.equal(watcher.woken, false, 'a stream is woken once until it is read');
      watcher.woken = true;
    });
    assert.ok(stream);
    watcher.stream = stream;
    this.watchers.set(id, watcher as Watcher);
  }

  read(id: NodeId): void {
    const watcher = this.watchers.get(id);
    if (!watcher) return;
    const first = watcher.client.node === undefined;
    const pieces = watcher.stream.next();
    if (!watcher.woken) assert.equal(pieces, undefined, 'whoever was not woken has nothing pending');
    watcher.woken = false;
    if (!pieces) return;
    const message = decodeMessage(pieces);
    if (first) for (const field of ['Node', 'DERPMap', 'DNSConfig', 'Domain', 'PacketFilters', 'SSHPolicy', 'UserProfiles']) assert.ok(field in message, field); // prettier-ignore
    this.#hidesNothing(id, message, watcher.client);
    watcher.client.fold(message);
    assert.equal(watcher.stream.next(), undefined, 'a message says everything that is pending');
  }

  /** Nothing in the message is more than the policy shows to the node. */
  #hidesNothing(id: NodeId, message: Fields, client: Client): void {
    const { population } = this.tailnet;
    const whole = [...((message['Peers'] as Fields[]) ?? []), ...((message['PeersChanged'] as Fields[]) ?? [])];
    const owners = new Set<unknown>([(message['Node'] as Fields | undefined)?.['User'] ?? client.node?.['User']]);
    for (const peer of whole) {
      const peerId = peer['ID'] as NodeId;
      assert.ok(population.node(id) !== undefined && population.sees(id, peerId), `${id} is shown ${peerId}`);
      const view = population.peerView(id, peerId);
      assert.deepEqual(peer['AllowedIPs'], view.allowedIPs);
      assert.deepEqual(peer['PrimaryRoutes'] ?? [], view.primaryRoutes);
      assert.deepEqual(peer['Addresses'], view.addresses.map((address) => `${address}/${address.includes(':') ? 128 : 32}`)); // prettier-ignore
      assert.ok(!JSON.stringify(peer['Hostinfo']).includes('Junk'));
    }
    const removed = new Set((message['PeersRemoved'] as number[]) ?? []);
    for (const removedId of removed) assert.ok(client.peers.has(removedId), 'only what was sent is taken back');
    for (const patch of (message['PeersChangedPatch'] as Fields[]) ?? []) {
      assert.ok(population.node(id) !== undefined && population.sees(id, patch['NodeID'] as NodeId));
      assert.ok(client.peers.has(patch['NodeID'] as number), 'a patch is for a peer that the client has');
    }
    const peerOwners = (peer: NodeId): unknown => (this.records.get(peer)?.login === null ? 2 ** 52 : 1000 + LOGINS.indexOf(this.records.get(peer)?.login as Login)); // prettier-ignore
    if (population.node(id) !== undefined) for (const peer of population.visiblePeers(id)) owners.add(peerOwners(peer));
    for (const profile of (message['UserProfiles'] as Fields[]) ?? []) assert.ok(owners.has(profile['ID']));
    for (const field of ['Peers', 'PeersChanged', 'PeersRemoved', 'PeersChangedPatch', 'UserProfiles']) {
      assert.notDeepEqual(message[field], [], `${field} is never empty`);
    }
  }

  step(event: Event): void {
    if (event.kind === 'add') {
      const record = this.#make(event.tag, event.authorized);
      this.tailnet.apply([{ kind: 'node-added', node: record }]);
      this.open(record.id);
      return;
    }
    if (event.kind === 'policy' || event.kind === 'settings') {
      this.toy = { ...this.toy, ...(event.kind === 'policy' ? event.policy : event.settings) };
      this.tailnet.setSnapshot(toySnapshot(this.toy));
      return;
    }
    const id = this.idAt(event.node);
    if (id === undefined) return;
    if (event.kind === 'read') this.read(id);
    else if (event.kind === 'reopen') this.open(id);
    else if (event.kind === 'online') {
      if (event.online) this.online.add(id);
      else this.online.delete(id);
      this.tailnet.setOnline(id, event.online);
    } else if (event.kind === 'remove') {
      const record = this.records.get(id) as NodeRecord;
      this.records.delete(id);
      this.online.delete(id);
      this.watchers.get(id)?.stream.close();
      this.watchers.delete(id);
      this.tailnet.apply([{ kind: 'node-removed', node: record, cause: 'administrator' }]);
    } else {
      const before = this.records.get(id) as NodeRecord;
      const after: NodeRecord = { ...before, ...event.change };
      const fields = (Object.keys(event.change) as NodeField[]).filter((field) => JSON.stringify(before[field]) !== JSON.stringify(after[field])); // prettier-ignore
      if (fields.length === 0) return;
      this.records.set(id, after);
      this.tailnet.apply([{ kind: 'node-changed', before, after, fields } satisfies RegistryChange]);
    }
  }

  /** Every client that has read everything has what a server that starts now would give it. */
  check(): void {
    const scratch = this.#fresh();
    for (const id of this.online) scratch.setOnline(id, true);
    for (const [id, { client }] of this.watchers) {
      this.read(id);
      const map = new Client();
      map.fold(scratch.describe(id) as Fields);
      assert.deepEqual(client.state(), map.state(), `the map of node ${id}`);
    }
  }
}

test('folding deltas gives the map from scratch, and shows nothing that the policy hides', () => {
  fc.assert(
    fc.property(
      toyPolicy,
      fc.integer({ min: 1, max: 8 }),
      fc.array(event, { maxLength: 60 }),
      (policy, count, events) => {
        const scene = new Scene(policy, count);
        for (const it of events) scene.step(it);
        scene.check();
      },
    ),
    { numRuns: 150 },
  );
});

// The delta law: folding the messages that a client is sent gives the map that is worked out from scratch, for every node,
// always; and nobody is ever sent a peer, patch, address, route or profile that the policy hides from them.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Prefix } from '../../src/base/address.ts';
import type { Login, NodeId, Revision, Tag } from '../../src/base/ids.ts';
import { RULES } from '../../src/netmap/rules.ts';
import type { Rules } from '../../src/netmap/rules.ts';
import { createTailnet } from '../../src/netmap/tailnet.ts';
import type { MapStream } from '../../src/netmap/sessions.ts';
import type { Tailnet } from '../../src/netmap/tailnet.ts';
import type { RegistryChange } from '../../src/registry/change.ts';
import type { NodeField, NodeRecord } from '../../src/registry/record.ts';
import { compileSnapshot } from '../../src/snapshot/compile.ts';
import type { Snapshot } from '../../src/snapshot/snapshot.ts';
import { userIdOf } from '../../src/snapshot/user.ts';
import { Client, decodeMessage } from './client.ts';
import type { Fields } from './client.ts';
import { LOGINS, TOY_RULES, toyDisco, toyKey, toyRecord, toySnapshot, toyUserId } from './toy.ts';
import type { ToyPolicy } from './toy.ts';

const TAGS = ['tag:a', 'tag:b'] as readonly string[] as readonly Tag[];
const GROUPS = [...TAGS, 'user1000', 'user1001', 'user1002'];
const ROUTES = ['10.0.0.0/8', '192.168.1.0/24', '0.0.0.0/0'] as readonly string[] as readonly Prefix[];

/** What decides whether a node carries its routes. */
const ROUTING: readonly NodeField[] = ['approvedRoutes', 'hostinfo', 'authorized'];

const NOW_MS = 1_760_000_000_000;

const pick = <T>(list: readonly T[]): fc.Arbitrary<T> => fc.constantFrom(...list);
const small = fc.nat(9);

/** What a snapshot is made from, whatever the policy is written in. */
interface Declared<Policy> {
  readonly policy: Policy;
  readonly baseDomain: string;
  readonly displayName: string;
  readonly nameserver: string;
  readonly relay: number;
  readonly https: boolean;
}

/** A language of policies: values to draw, snapshots from them, and the number of a person. */
interface Language<Policy> {
  readonly policies: fc.Arbitrary<Policy>;
  readonly snapshot: (declared: Declared<Policy>, serial: number) => Snapshot;
  readonly rules: Rules;
  readonly userId: (login: Login) => number;
}

const TOY: Language<ToyPolicy> = {
  policies: fc.record({
    reach: fc
      .uniqueArray(
        fc.tuple(pick(['', 'ssh:']), pick(GROUPS), pick(GROUPS)).map(([kind, a, b]) => `${kind}${a}>${b}`),
        { minLength: 4, maxLength: 20 },
      )
      .map((pairs) => new Set(pairs)),
    ipv6Only: fc.uniqueArray(pick(GROUPS), { maxLength: 1 }).map((groups) => new Set(groups)),
    caps: fc.dictionary(pick(GROUPS), pick(['funnel', 'randomize-client-port', 'dns-subdomain-resolve']), {
      maxKeys: 2,
    }),
  }),
  snapshot: toySnapshot,
  rules: TOY_RULES,
  userId: toyUserId,
};

const SOURCES = ['alice@example.com', 'bob@example.com', 'group:team', 'autogroup:member', 'tag:a', 'tag:b', '*', '*'];
const DESTINATIONS = [...SOURCES, 'autogroup:self', 'autogroup:internet', '10.0.0.0/8', '192.168.1.7', '100.64.0.2'];
const PORTS = ['*', 'tcp:22', 'udp:53'];
const APPS = [
  { name: 'crm', domains: ['crm.example.net', '*.crm.example.net'], connectors: ['tag:a'] },
  { name: 'any', domains: ['any.example.net'], connectors: ['*'] },
];

/** The policy language itself, compiled and applied by the room that does it for the server. */
const HUJSON: Language<object> = {
  policies: fc
    .record({
      grants: fc.array(
        fc
          .record({
            src: fc.uniqueArray(pick(SOURCES), { minLength: 1, maxLength: 2 }),
            dst: fc.uniqueArray(pick(DESTINATIONS), { minLength: 1, maxLength: 2 }),
            ip: fc.uniqueArray(pick(PORTS), { minLength: 1, maxLength: 2 }),
          })
          // One's own devices are a destination for people only.
          .map((grant) =>
            grant.dst.includes('autogroup:self')
              ? { ...grant, src: ['autogroup:member'], dst: ['autogroup:self'] }
              : grant,
          ),
        { maxLength: 5 },
      ),
      nodeAttrs: fc.array(
        fc.record({
          target: pick(['alice@example.com', 'tag:a', 'group:team']).map((target) => [target]),
          attr: pick(['funnel', 'disable-ipv4', 'randomize-client-port']).map((attr) => [attr]),
          app: fc.subarray(APPS, { maxLength: 1 }).map((apps) => ({ 'tailscale.com/app-connectors': apps })),
        }),
        { maxLength: 2 },
      ),
      ssh: fc.array(
        fc.record({
          action: fc.constant('accept'),
          src: pick(['alice@example.com', 'group:team', 'tag:a']).map((src) => [src]),
          dst: pick(['tag:a', 'tag:b']).map((dst) => [dst]),
          users: fc.constant(['root']),
        }),
        { maxLength: 2 },
      ),
    })
    .map((policy) => ({
      ...policy,
      groups: { 'group:team': ['bob@example.com', 'carol@example.com'] },
      tagOwners: { 'tag:a': ['alice@example.com'], 'tag:b': ['alice@example.com'] },
    })),
  snapshot: ({ policy, baseDomain, displayName, nameserver, relay, https }, serial) => {
    const files = {
      'tailnet.json5': { name: 'example.com', baseDomain, features: { https } },
      'users.json5': {
        users: LOGINS.map((login, i) => ({ login, ...(i === 0 && { name: displayName, role: 'owner' }) })),
      },
      'policy.json5': policy,
      'dns.json5': { nameservers: [nameserver] },
      'derp.json5': { regions: [{ id: relay, code: 'r', name: 'Relay', nodes: [{ name: 'r1', hostName: 'relay.example.com' }] }] }, // prettier-ignore
    };
    const { snapshot, diagnostics } = compileSnapshot({
      revision: `dir-${String(serial).padStart(16, '0')}` as Revision,
      files: new Map(Object.entries(files).map(([name, value]) => [name, Buffer.from(JSON.stringify(value))])),
    });
    assert.ok(snapshot, diagnostics.map(({ code, message }) => `${code}: ${message}`).join('\n'));
    return snapshot;
  },
  rules: RULES,
  userId: userIdOf,
};

type Event<Policy> =
  | { readonly kind: 'add'; readonly tag: number; readonly authorized: boolean }
  | { readonly kind: 'remove'; readonly node: number }
  | { readonly kind: 'change'; readonly node: number; readonly change: Partial<NodeRecord> }
  | { readonly kind: 'online'; readonly node: number; readonly online: boolean }
  | { readonly kind: 'declare'; readonly change: Partial<Declared<Policy>> }
  | { readonly kind: 'read'; readonly node: number }
  | { readonly kind: 'reopen'; readonly node: number };

/** Few, so that events meet. */
const node = fc.nat(5);

const change: fc.Arbitrary<Partial<NodeRecord>> = fc.oneof(
  fc.array(small, { maxLength: 2 }).map((ports) => ({ endpoints: ports.map((port) => `192.0.2.1:${1000 + port}`) })),
  fc.integer({ min: 1, max: 3 }).map((homeDerp) => ({ homeDerp })),
  small.map((n) => ({ discoKey: toyDisco(n + 1) })),
  small.map((n) => ({ nodeKey: toyKey(1000 + n) })),
  // Over, or in the far future.
  fc.option(small).map((n) => ({ expiresMs: n === null ? null : NOW_MS + (n - 4.5) * 1e9 })),
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
  fc.tuple(fc.boolean(), small).map(([AppConnector, n]) => ({
    hostinfo: {
      AppConnector,
      Services: [
        { Proto: 'peerapi4', Port: 1000 + n },
        { Proto: 'peerapi6', Port: 2000 },
      ],
    },
  })),
  { weight: 2, arbitrary: fc.subarray([...ROUTES]).map((approvedRoutes) => ({ approvedRoutes })) },
  {
    weight: 4,
    arbitrary: fc
      .subarray([...ROUTES])
      .map((routes) => ({ approvedRoutes: routes, hostinfo: { RoutableIPs: routes } })),
  },
);

const eventIn = <Policy>({ policies }: Language<Policy>): fc.Arbitrary<Event<Policy>> => {
  const declaration: fc.Arbitrary<Partial<Declared<Policy>>> = fc.oneof(
    { weight: 5, arbitrary: policies.map((policy) => ({ policy })) },
    pick(['tail.example.com', 'other.example.com']).map((baseDomain) => ({ baseDomain })),
    small.map((n) => ({ displayName: `Alice ${n}` })),
    pick(['1.1.1.1', '9.9.9.9']).map((nameserver) => ({ nameserver })),
    fc.integer({ min: 900, max: 902 }).map((relay) => ({ relay })),
    fc.boolean().map((https) => ({ https })),
  );
  const kind = <K extends string>(name: K): fc.Arbitrary<K> => fc.constant(name);
  return fc.oneof(
    { weight: 2, arbitrary: fc.record({ kind: kind('add'), tag: fc.nat(3), authorized: fc.boolean() }) },
    { weight: 1, arbitrary: fc.record({ kind: kind('remove'), node }) },
    { weight: 8, arbitrary: fc.record({ kind: kind('change'), node, change }) },
    { weight: 3, arbitrary: fc.record({ kind: kind('online'), node, online: fc.boolean() }) },
    { weight: 2, arbitrary: fc.record({ kind: kind('declare'), change: declaration }) },
    { weight: 8, arbitrary: fc.record({ kind: kind('read'), node }) },
    { weight: 1, arbitrary: fc.record({ kind: kind('reopen'), node }) },
  );
};

interface Watcher {
  stream: MapStream;
  client: Client;
  woken: boolean;
}

class Scene<Policy> {
  declared: Declared<Policy>;
  readonly records = new Map<NodeId, NodeRecord>();
  readonly online = new Set<NodeId>();
  /** Whose routes came or went while they were online: since when they carry them is history, which a new server hasn't. */
  readonly rerouted = new Set<NodeId>();
  readonly watchers = new Map<NodeId, Watcher>();
  readonly tailnet: Tailnet;
  readonly #language: Language<Policy>;
  #nextId = 1;
  #serial = 0;

  constructor(language: Language<Policy>, policy: Policy, count: number) {
    this.#language = language;
    this.declared = {
      policy,
      baseDomain: 'tail.example.com',
      displayName: 'Alice',
      nameserver: '1.1.1.1',
      relay: 900,
      https: false,
    };
    for (let i = 0; i < count; i++) this.#make(i % 8, true);
    this.tailnet = this.#fresh();
    // In a crowd not everyone is watched, or the test would take long.
    for (const id of this.records.keys()) if (id <= 6 || id > count - 6) this.open(id);
  }

  #snapshot(): Snapshot {
    return this.#language.snapshot(this.declared, this.#serial++);
  }

  #fresh(): Tailnet {
    const options = { nowMs: () => NOW_MS, embeddedRegion: null };
    return createTailnet(this.#snapshot(), this.records.values(), options, this.#language.rules);
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
    const expiresMs = this.records.get(id)?.expiresMs ?? null;
    const takesPart = population.node(id) !== undefined && (expiresMs === null || expiresMs > NOW_MS);
    const whole = [...((message['Peers'] as Fields[]) ?? []), ...((message['PeersChanged'] as Fields[]) ?? [])];
    const owners = new Set<unknown>([(message['Node'] as Fields | undefined)?.['User'] ?? client.node?.['User']]);
    for (const peer of whole) {
      const peerId = peer['ID'] as NodeId;
      assert.ok(takesPart && population.sees(id, peerId), `${id} is shown ${peerId}`);
      const view = population.peerView(id, peerId);
      assert.deepEqual(peer['AllowedIPs'], view.allowedIPs);
      assert.deepEqual(peer['PrimaryRoutes'] ?? [], view.primaryRoutes);
      assert.deepEqual(peer['Addresses'], view.addresses.map((address) => `${address}/${address.includes(':') ? 128 : 32}`)); // prettier-ignore
      assert.ok(!JSON.stringify(peer['Hostinfo']).includes('Junk'));
    }
    const removed = new Set((message['PeersRemoved'] as number[]) ?? []);
    for (const removedId of removed) assert.ok(client.peers.has(removedId), 'only what was sent is taken back');
    for (const patch of (message['PeersChangedPatch'] as Fields[]) ?? []) {
      assert.ok(takesPart && population.sees(id, patch['NodeID'] as NodeId));
      assert.ok(client.peers.has(patch['NodeID'] as number), 'a patch is for a peer that the client has');
    }
    const ownerOf = (peer: NodeId): number => {
      const login = this.records.get(peer)?.login ?? null;
      return login === null ? 2 ** 52 : this.#language.userId(login);
    };
    if (takesPart) for (const peer of population.visiblePeers(id)) owners.add(ownerOf(peer));
    for (const profile of (message['UserProfiles'] as Fields[]) ?? []) assert.ok(owners.has(profile['ID']));
    for (const field of ['Peers', 'PeersChanged', 'PeersRemoved', 'PeersChangedPatch', 'UserProfiles']) {
      assert.notDeepEqual(message[field], [], `${field} is never empty`);
    }
  }

  step(event: Event<Policy>): void {
    if (event.kind === 'add') {
      const record = this.#make(event.tag, event.authorized);
      this.tailnet.apply([{ kind: 'node-added', node: record }]);
      this.open(record.id);
      return;
    }
    if (event.kind === 'declare') {
      this.declared = { ...this.declared, ...event.change };
      this.tailnet.setSnapshot(this.#snapshot());
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
      const hostinfo = { ...before.hostinfo, ...event.change.hostinfo };
      const after: NodeRecord = { ...before, ...event.change, hostinfo };
      const fields = (Object.keys(event.change) as NodeField[]).filter((field) => JSON.stringify(before[field]) !== JSON.stringify(after[field])); // prettier-ignore
      if (fields.length === 0) return;
      this.records.set(id, after);
      if (ROUTING.some((field) => fields.includes(field))) this.rerouted.add(id);
      this.tailnet.apply([{ kind: 'node-changed', before, after, fields } satisfies RegistryChange]);
    }
  }

  /** Every client that has read everything has what a server that starts now would give it. */
  check(): void {
    for (const id of this.rerouted) {
      if (!this.online.delete(id)) continue;
      this.online.add(id);
      for (const online of [false, true]) this.tailnet.setOnline(id, online);
    }
    this.rerouted.clear();
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

const holds = <Policy>(language: Language<Policy>, crowd: number, numRuns: number): void => {
  fc.assert(
    fc.property(
      language.policies,
      // Sometimes more than a page, so that pages are shared.
      fc.oneof({ weight: 15, arbitrary: fc.integer({ min: 1, max: 8 }) }, { weight: 1, arbitrary: fc.constant(crowd) }),
      fc.array(eventIn(language), { maxLength: 60, size: 'max' }),
      (policy, count, events) => {
        const scene = new Scene(language, policy, count);
        for (const event of events) scene.step(event);
        scene.check();
      },
    ),
    { numRuns },
  );
};

/** How many histories are tried; more for a longer search: `RUNS=5000 node --test test/netmap/law.test.ts`. */
const runs = (usual: number): number => Number(process.env['RUNS'] ?? usual);

test('folding deltas gives the map from scratch, and shows nothing that the policy hides', () => {
  holds(TOY, 8, runs(150));
});

test('the same under the policy language', () => {
  holds(HUJSON, 70, runs(100));
});

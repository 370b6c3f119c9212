// A policy small enough to be sure of: nodes belong to the group of their first tag or of their login, and a set of pairs of
// groups says who reaches whom. Everything is worked out anew by looking at all pairs; what it says the tailnet must do.

import { hostPrefix } from '../../src/base/address.ts';
import type { Address, Prefix } from '../../src/base/address.ts';
import type { Login, NodeId, Revision, StableId, Tag, UserId } from '../../src/base/ids.ts';
import { stableIdOf } from '../../src/base/ids.ts';
import type { DiscoKey, MachineKey, NodeKey } from '../../src/keys/text.ts';
import type { ResolvedNode } from '../../src/netmap/resolve.ts';
import type { Rules } from '../../src/netmap/rules.ts';
import type { PolicyNode } from '../../src/policy/facts.ts';
import type { Impact, NodeSet, PeerView, Population } from '../../src/policy/population.ts';
import type { NodeRecord } from '../../src/registry/record.ts';
import type { Snapshot } from '../../src/snapshot/snapshot.ts';
import type { CapMap, FilterRule } from '../../src/wire/filter.ts';
import { decodeHostinfo } from '../../src/wire/hostinfo.ts';

export interface ToyPolicy {
  /** `a>b`: nodes of group a may talk to nodes of group b, and to routes of routers in b. */
  readonly reach: ReadonlySet<string>;
  /** Groups whose nodes don't use IPv4. */
  readonly ipv6Only: ReadonlySet<string>;
  /** Extra capabilities by group. */
  readonly caps: Readonly<Record<string, string>>;
}

/** What a snapshot is made from. */
export interface ToyDeclared {
  readonly policy: ToyPolicy;
  readonly baseDomain: string;
  /** Of the first person. */
  readonly displayName: string;
  readonly nameserver: string;
  readonly relay: number;
  readonly https: boolean;
}

type ToySnapshot = Snapshot & { readonly toy: ToyPolicy };

export const LOGINS = ['alice@example.com', 'bob@example.com', 'carol@example.com'] as readonly string[] as readonly Login[]; // prettier-ignore
export const toyUserId = (login: Login): UserId => (1000 + LOGINS.indexOf(login)) as UserId;

export const toySnapshot = (declared: ToyDeclared): Snapshot => {
  const { policy: toy } = declared;
  const at = { file: '', line: 1 } as never;
  const users = LOGINS.map((login) => ({
    login,
    id: toyUserId(login),
    displayName: login === LOGINS[0] ? declared.displayName : login,
    role: login.startsWith('alice') ? ('owner' as const) : ('member' as const),
    disabled: false,
    at,
  }));
  return {
    toy,
    revision: `dir-${'0'.repeat(16)}` as Revision,
    digest: JSON.stringify([declared, [...toy.reach], [...toy.ipv6Only]]),
    tailnet: {
      name: 'example.com',
      displayName: 'Example',
      baseDomain: declared.baseDomain,
      nodes: { autoUpdate: false },
      clients: { latest: null, secureFrom: null },
      features: { taildrop: true, ssh: true, https: declared.https, tailnetLock: false },
    },
    users,
    userById: new Map(users.map((user) => [user.id, user])),
    userByLogin: new Map(users.map((user) => [user.login, user])),
    dns: {
      magicDns: true,
      overrideLocalDns: true,
      nameservers: [{ address: declared.nameserver, useWithExitNode: false, at }],
      splitDns: [],
      searchDomains: [],
      extraRecords: [],
    },
    policy: { document: null },
    nodes: [],
    derpmap: [],
    derp: {
      embedded: true,
      omit: [],
      scores: [],
      hide: [],
      regions: [
        {
          id: declared.relay,
          code: 'r',
          name: 'Relay',
          nodes: [{ name: 'r1', hostName: 'relay.example.com', derpPort: 443, stunPort: 3478, stunOnly: false, canPort80: false, at }], // prettier-ignore
          at,
        },
      ],
    },
  } as unknown as ToySnapshot;
};

const groupOf = (node: { tags: readonly string[]; user: UserId | null }): string =>
  node.tags[0] ?? `user${node.user ?? ''}`;

const setOf = (ids: readonly NodeId[]): NodeSet => {
  const set = new Set(ids);
  return { size: set.size, has: (id) => set.has(id), [Symbol.iterator]: () => set.values() };
};

class Toy implements Population {
  readonly policy = null as never;
  readonly nodes: Map<NodeId, PolicyNode>;
  readonly classCount = 0;
  version = 0;
  readonly #toy: ToyPolicy;
  readonly #sets = new Map<NodeId, NodeSet>();

  constructor(toy: ToyPolicy, nodes: Iterable<PolicyNode>) {
    this.#toy = toy;
    this.nodes = new Map([...nodes].map((node) => [node.id, node]));
  }

  get size(): number {
    return this.nodes.size;
  }

  node(id: NodeId): PolicyNode | undefined {
    return this.nodes.get(id);
  }

  #node(id: NodeId): PolicyNode {
    const node = this.nodes.get(id);
    if (!node) throw new Error(`node ${id} is not in the population`);
    return node;
  }

  #reaches(a: PolicyNode, b: PolicyNode): boolean {
    return this.#toy.reach.has(`${groupOf(a)}>${groupOf(b)}`);
  }

  #all(): NodeId[] {
    return [...this.nodes.keys()].sort((a, b) => a - b);
  }

  #own(node: PolicyNode): readonly Address[] {
    return this.#toy.ipv6Only.has(groupOf(node))
      ? node.addresses.filter((address) => address.includes(':'))
      : node.addresses;
  }

  #answers(id: NodeId): { filter: string; ssh: string; caps: string; peers: string } {
    const peers = this.#all()
      .filter((peer) => this.sees(id, peer))
      .map((peer) => [peer, { ...this.peerView(id, peer), node: undefined }]);
    return {
      filter: JSON.stringify(this.compactFilterFor(id)),
      ssh: JSON.stringify(this.sshFor(id)),
      caps: JSON.stringify([this.capsFor(id), this.selfView(id)]),
      peers: JSON.stringify(peers),
    };
  }

  /** How the node looks to each of those who see it. */
  #views(id: NodeId): string {
    const viewers = this.#all().filter((viewer) => this.sees(viewer, id));
    return JSON.stringify(viewers.map((viewer) => [viewer, { ...this.peerView(viewer, id), node: undefined }]));
  }

  apply({ upserts = [], removals = [] }: Parameters<Population['apply']>[0]): Impact {
    const before = new Map(this.#all().map((id) => [id, this.#answers(id)]));
    const views = new Map(this.#all().map((id) => [id, this.#views(id)]));
    const changed: NodeId[] = [];
    const removed: NodeId[] = [];
    for (const node of upserts) {
      this.nodes.set(node.id, node);
      changed.push(node.id);
    }
    for (const id of removals) if (this.nodes.delete(id)) removed.push(id);
    this.version++;
    const differs = (what: 'filter' | 'ssh' | 'caps' | 'peers'): NodeSet =>
      setOf(this.#all().filter((id) => this.#answers(id)[what] !== before.get(id)?.[what]));
    for (const id of this.#all()) if (!changed.includes(id) && this.#views(id) !== views.get(id)) changed.push(id);
    return {
      filters: differs('filter'),
      ssh: differs('ssh'),
      caps: differs('caps'),
      peers: differs('peers'),
      changed,
      removed,
    };
  }

  filterFor(id: NodeId): readonly FilterRule[] {
    return this.compactFilterFor(id);
  }

  compactFilterFor(id: NodeId): readonly FilterRule[] {
    const node = this.#node(id);
    const groups = Map.groupBy(
      this.#all().filter((other) => other !== id && this.#reaches(this.#node(other), node)),
      (other) => groupOf(this.#node(other)),
    );
    return [...groups.values()].map((ids) => ({
      SrcIPs: ids.flatMap((other) => this.#node(other).addresses),
      DstPorts: [...this.#own(node), ...node.approvedRoutes].map((IP) => ({ IP, Ports: { First: 0, Last: 65535 } })),
    }));
  }

  shellRulesOn(id: NodeId): ReturnType<Toy['sshFor']>['rules'] {
    return this.sshFor(id).rules;
  }

  sshFor(
    id: NodeId,
  ):
    | { rules: never[] }
    | { rules: { principals: { nodeIP: string }[]; sshUsers: Record<string, string>; action: { accept: boolean } }[] } {
    // prettier-ignore
    const node = this.#node(id);
    const sources = this.#all().filter((other) => this.#toy.reach.has(`ssh:${groupOf(this.#node(other))}>${groupOf(node)}`)); // prettier-ignore
    if (sources.length === 0) return { rules: [] };
    return {
      rules: [
        {
          principals: sources.map((source) => ({ nodeIP: this.#node(source).addresses[0] as string })),
          sshUsers: { '*': '=' },
          action: { accept: true },
        },
      ],
    };
  }

  capsFor(id: NodeId): CapMap {
    const group = groupOf(this.#node(id));
    const cap = this.#toy.caps[group];
    return {
      ...(this.#toy.ipv6Only.has(group) && { 'disable-ipv4': null }),
      ...(cap !== undefined && { [cap]: null }),
    };
  }

  /** One live object for each node, which holds the node itself: the least that a caller may rely on. */
  visiblePeers(id: NodeId): NodeSet {
    const known = this.#sets.get(id);
    if (known) return known;
    const has = (other: NodeId): boolean => other === id || this.sees(id, other);
    const members = (): NodeId[] => this.#all().filter(has);
    const set: NodeSet = {
      has,
      get size() {
        return members().length;
      },
      [Symbol.iterator]: () => members().values(),
    };
    this.#sets.set(id, set);
    return set;
  }

  sees(viewer: NodeId, peer: NodeId): boolean {
    if (viewer === peer) return false;
    const a = this.nodes.get(viewer);
    const b = this.nodes.get(peer);
    return a !== undefined && b !== undefined && (this.#reaches(a, b) || this.#reaches(b, a));
  }

  /** The router that came first of those that are there. */
  #primary(reachable: (node: PolicyNode) => boolean, route: Prefix): NodeId | undefined {
    return this.#all()
      .map((id) => this.#node(id))
      .filter((node) => node.approvedRoutes.includes(route) && node.alive !== false && reachable(node))
      .sort((a, b) => a.createdMs - b.createdMs || a.id - b.id)[0]?.id;
  }

  peerView(viewer: NodeId, peer: NodeId): PeerView {
    const a = this.#node(viewer);
    const b = this.#node(peer);
    const addresses = this.#own(b).filter((address) => address.includes(':') || !this.#toy.ipv6Only.has(groupOf(a)));
    const routes = b.approvedRoutes.filter((route) => this.#primary((node) => this.#reaches(a, node), route) === peer);
    return {
      node: b,
      addresses,
      allowedIPs: [...addresses.map(hostPrefix), ...routes],
      primaryRoutes: routes,
      capMap: routes.length > 1 ? { 'suggest-exit-node': null } : {},
    };
  }

  selfView(id: NodeId): {
    addresses: readonly Address[];
    allowedIPs: readonly Prefix[];
    primaryRoutes: readonly Prefix[];
  } {
    // prettier-ignore
    const node = this.#node(id);
    const addresses = this.#own(node);
    const primaryRoutes = node.approvedRoutes.filter((route) => this.#primary(() => true, route) === id);
    return { addresses, allowedIPs: [...addresses.map(hostPrefix), ...node.approvedRoutes], primaryRoutes };
  }

  whois(): CapMap {
    return {};
  }

  sshDecision(): { action: 'deny'; checkPeriodMs: number } {
    return { action: 'deny', checkPeriodMs: 0 };
  }
}

const resolve = (snapshot: Snapshot, record: NodeRecord, online: boolean): ResolvedNode => {
  const hostinfo = decodeHostinfo(record.hostinfo) ?? {};
  const fqdn = `${record.name}.${snapshot.tailnet.baseDomain}`;
  const ownerId = record.login === null ? null : toyUserId(record.login);
  const routableIPs = hostinfo.RoutableIPs ?? [];
  const approvedRoutes = routableIPs.filter((route) => record.approvedRoutes.includes(route));
  return {
    record,
    label: record.name,
    fqdn,
    owner: record.login,
    ownerId,
    person: undefined,
    tags: record.tags,
    addresses: record.addresses,
    approvedRoutes,
    authorized: record.authorized,
    hostinfo,
    policyNode: {
      id: record.id,
      stableId: record.stableId,
      name: fqdn,
      user: ownerId,
      tags: record.tags,
      addresses: record.addresses,
      routableIPs,
      approvedRoutes,
      createdMs: record.createdMs,
      ...(approvedRoutes.length > 0 && { alive: online }),
    },
  };
};

export const TOY_RULES: Rules = {
  resolve,
  populate: (snapshot, nodes) => new Toy((snapshot as ToySnapshot).toy, nodes),
};

const hex = (n: number): string => n.toString(16).padStart(64, '0');

export const toyKey = (n: number): NodeKey => `nodekey:${hex(n)}` as NodeKey;
export const toyDisco = (n: number): DiscoKey => `discokey:${hex(n)}` as DiscoKey;

export const toyRecord = (id: number, change: Partial<NodeRecord> = {}): NodeRecord => ({
  id: id as NodeId,
  stableId: stableIdOf(id as NodeId) as StableId,
  machineKey: `mkey:${hex(id)}` as MachineKey,
  nodeKey: toyKey(id),
  previousNodeKey: null,
  nlKey: null,
  keySignature: null,
  login: change.tags && change.tags.length > 0 ? null : (LOGINS[id % LOGINS.length] as Login),
  tags: [] as readonly Tag[],
  name: `node-${id}`,
  renamed: false,
  addresses: [`100.64.${id >> 8}.${id & 255}`, `fd7a:115c:a1e0::${id.toString(16)}`] as readonly string[] as readonly Address[], // prettier-ignore
  createdMs: 1_700_000_000_000 + id,
  expiresMs: null,
  ephemeral: false,
  authorized: true,
  keyId: null,
  approvedRoutes: [],
  attributes: {},
  discoKey: null,
  hostinfo: { OS: 'linux', Hostname: `node-${id}` },
  capver: 142,
  endpoints: [],
  endpointTypes: [],
  homeDerp: 0,
  lastSeenMs: 0,
  ...change,
});

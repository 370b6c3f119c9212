// Nodes under a policy: the live index from which every answer to a client is taken. Nodes that no selector tells apart
// are one class; rules hold bitsets of classes, so a node's change costs its class and nothing loops over pairs of nodes.
// Answers are made when they are asked for; their shared parts are kept until a change touches them.

import type { NodeId, UserId } from '../base/ids.ts';
import type { Json } from '../base/canonical.ts';
import type { CapMap, FilterRule } from '../wire/filter.ts';
import type { SshPolicy, SshRule } from '../wire/ssh.ts';
import { capMapOf } from './attributes.ts';
import { addAll, createBitset, forEachBit, hasBit, type Bitset } from './bitset.ts';
import type { CompiledPolicy } from './compile.ts';
import type { PolicyNode, PolicyUser } from './facts.ts';
import { capabilitiesFor, compactFilter, hostedFilter } from './filter.ts';
import { createMembership } from './membership.ts';
import { nodeSetOf, peerView, sees, selfView, visiblePeers, type SelfView } from './peers.ts';
import { createRouteTable } from './routers.ts';
import { shellRulesOf, sshDecision, sshPolicyOf, touchSsh, type SshDecision } from './sshpolicy.ts';
import type { Membership, NodeClass, NodeEntry, NodeSet, PeerView, SetState } from './state.ts';

export type { NodeSet, PeerView, SelfView, SshDecision };

export interface PopulationChange {
  readonly upserts?: Iterable<PolicyNode>;
  readonly removals?: Iterable<NodeId>;
}

/**
 * Which nodes' answers may have changed. The sets hold for the moment just after `apply` and must be used before the
 * next one. They never hold removed nodes.
 */
export interface Impact {
  /** Nodes whose filter may differ in meaning. */
  readonly filters: NodeSet;
  readonly ssh: NodeSet;
  readonly caps: NodeSet;
  /** Nodes that may see another set of peers, or one of their peers otherwise than before. */
  readonly peers: NodeSet;
  /** The nodes that were added or changed, and those that went. */
  readonly changed: readonly NodeId[];
  readonly removed: readonly NodeId[];
}

export interface Population {
  readonly policy: CompiledPolicy;
  readonly size: number;
  node(id: NodeId): PolicyNode | undefined;
  /** Grows by one with every change. */
  readonly version: number;

  /** Costs the change: the node's class, plus a class that appears or goes. */
  apply(change: PopulationChange): Impact;

  /** As the hosted service words it, order included. Empty: everything is denied. */
  filterFor(id: NodeId): readonly FilterRule[];
  /** The same meaning in few bytes: sources merged into ranges, the arrays of sources shared between nodes. */
  compactFilterFor(id: NodeId): readonly FilterRule[];
  sshFor(id: NodeId): SshPolicy;
  /** Of those rules, the ones that let others in. */
  shellRulesOn(id: NodeId): readonly SshRule[];
  /** What the policy and the owner's role give to the node; the server adds what it can do itself. */
  capsFor(id: NodeId): CapMap;

  /**
   * The nodes that `id` sees; seeing is mutual, so these are also the nodes that see it. May hold `id` itself. Viewers
   * that see the same get the same object until somebody of the set comes, goes or changes; use it before the next change.
   */
  visiblePeers(id: NodeId): NodeSet;
  sees(viewer: NodeId, peer: NodeId): boolean;
  /** Of a visible peer. */
  peerView(viewer: NodeId, peer: NodeId): PeerView;
  selfView(id: NodeId): SelfView;
  /** What `peer` may do on `id`, as the client itself works it out from the filter. */
  whois(id: NodeId, peer: NodeId): CapMap;
  sshDecision(source: NodeId, destination: NodeId, user: string): SshDecision;
  /** How many classes there are, for statistics. */
  readonly classCount: number;
}

/** What a change touches, gathered as it is applied. */
interface Touched {
  readonly filters: Bitset;
  readonly ssh: Bitset;
  readonly peers: Bitset;
  /** Users whose devices' filters and peers are touched, and those whose peers alone are. */
  readonly owners: Set<UserId>;
  readonly peerOwners: Set<UserId>;
  readonly changed: Set<NodeId>;
  readonly removed: Set<NodeId>;
}

/** People that aren't declared but came through a domain rule are looked up with `userOf`. */
export const populate = (
  policy: CompiledPolicy,
  nodes: Iterable<PolicyNode>,
  userOf: (id: UserId) => PolicyUser | undefined,
): Population => {
  const state = createMembership(policy, userOf, createRouteTable(policy));
  let version = 0;
  const entryOf = (id: NodeId): NodeEntry => {
    const entry = state.nodes.get(id);
    if (!entry) throw new RangeError(`no such node: ${id}`);
    return entry;
  };
  for (const node of nodes) insert(state, node);
  return {
    policy,
    node: (id) => state.nodes.get(id)?.node,
    get size() {
      return state.nodes.size;
    },
    get version() {
      return version;
    },
    get classCount() {
      return state.classes.reduce((count, cls) => (cls ? count + 1 : count), 0);
    },
    apply: (change) => {
      version++;
      return applyChange(state, change);
    },
    filterFor: (id) => hostedFilter(state, entryOf(id)),
    compactFilterFor: (id) => compactFilter(state, entryOf(id)),
    sshFor: (id) => sshPolicyOf(state, entryOf(id)),
    shellRulesOn: (id) => shellRulesOf(state, entryOf(id)),
    capsFor: (id) => capMapOf(state, entryOf(id).cls),
    visiblePeers: (id) => visiblePeers(state, entryOf(id)),
    sees: (viewer, peer) => sees(state, entryOf(viewer), entryOf(peer)),
    peerView: (viewer, peer) => peerView(state, entryOf(viewer), entryOf(peer)),
    selfView: (id) => selfView(state, entryOf(id)),
    whois: (id, peer) => whois(state, entryOf(id), entryOf(peer)),
    sshDecision: (source, destination, user) => sshDecision(state, entryOf(source), entryOf(destination), user),
  };
};

const insert = (state: Membership, node: PolicyNode): NodeEntry => {
  const cls = state.classFor(node);
  const entry: NodeEntry = { node, cls, views: new Map() };
  state.nodes.set(node.id, entry);
  cls.members.add(node.id);
  for (const address of node.addresses) state.byAddress.set(address, node.id);
  state.addresses.insert(entry);
  if (cls.routes.length > 0) state.routes.add(node, cls.routes);
  if (!cls.tagged && node.user !== null) {
    const own = cls.byOwner.get(node.user);
    if (own) own.add(node.id);
    else cls.byOwner.set(node.user, new Set([node.id]));
    const classes = state.classesOf.get(node.user);
    if (classes) classes.add(cls);
    else state.classesOf.set(node.user, new Set([cls]));
  }
  return entry;
};

const remove = (state: Membership, entry: NodeEntry): void => {
  const { node, cls } = entry;
  state.addresses.remove(entry);
  state.nodes.delete(node.id);
  cls.members.delete(node.id);
  for (const address of node.addresses) if (state.byAddress.get(address) === node.id) state.byAddress.delete(address);
  if (cls.routes.length > 0) state.routes.remove(node, cls.routes);
  if (!cls.tagged && node.user !== null) {
    const own = cls.byOwner.get(node.user);
    own?.delete(node.id);
    if (own?.size === 0) {
      cls.byOwner.delete(node.user);
      cls.sshOf.delete(node.user);
      const classes = state.classesOf.get(node.user);
      classes?.delete(cls);
      if (classes?.size === 0) state.classesOf.delete(node.user);
    }
  }
  if (cls.members.size === 0) state.dropClass(cls);
};

/** Marks what depends on a node as it stands, before it goes or after it came. */
const touch = (state: Membership, { node, cls }: NodeEntry, touched: Touched): void => {
  for (const id of cls.sets) {
    const set = state.sets[id] as SetState;
    const named = set.set.postures.length > 0 ? set.nodes : set.identity;
    if (!hasBit(named, cls.index)) continue;
    set.hosted = undefined;
    set.compact = undefined;
    addAll(touched.filters, set.receivers);
  }
  addAll(touched.peers, state.visibleOf(cls));
  if (!cls.tagged && node.user !== null && (state.selfRules.length > 0 || state.policy.ssh.length > 0)) {
    touched.owners.add(node.user);
    state.ownRules.delete(node.user);
  }
  touchSsh(state, cls, touched.ssh);
  if (cls.routes.length > 0) touchRoutes(state, cls, touched);
};

/** A subnet that comes, goes or moves changes the sources `*` and the views of all its routers. */
const touchRoutes = (state: Membership, cls: NodeClass, touched: Touched): void => {
  for (const set of state.sets) {
    if (!set.set.any && !set.set.dangerAll) continue;
    set.hosted = undefined;
    set.compact = undefined;
    addAll(touched.filters, set.receivers);
  }
  touchRouters(state, cls, touched);
};

const touchRouters = (state: Membership, cls: NodeClass, touched: Touched): void => {
  for (const route of cls.routes) {
    for (const { id } of state.routes.routersOf(route)) {
      const router = state.nodes.get(id)?.cls;
      if (router) addAll(touched.peers, state.visibleOf(router));
      touched.changed.add(id);
    }
  }
};

/** A node whose class, owner and addresses stay: its looks change, and which router carries its subnets may. */
const replace = (state: Membership, entry: NodeEntry, node: PolicyNode, touched: Touched): void => {
  const { cls } = entry;
  state.routes.remove(entry.node, cls.routes);
  state.routes.add(node, cls.routes);
  entry.node = node;
  entry.views.clear();
  addAll(touched.peers, state.visibleOf(cls));
  if (!cls.tagged && node.user !== null && state.selfRules.length > 0) touched.peerOwners.add(node.user);
  touchRouters(state, cls, touched);
};

const sameList = <T>(a: readonly T[], b: readonly T[]): boolean =>
  a === b || (a.length === b.length && a.every((item, i) => item === b[i]));

/** Whether a node stays where it is for every rule. */
const staysPut = (state: Membership, { node, cls }: NodeEntry, next: PolicyNode): boolean =>
  node.user === next.user && sameList(node.addresses, next.addresses) && state.classFor(next) === cls;

/** Whether two states of a node that stays look the same to everybody. */
const looksSame = (a: PolicyNode, b: PolicyNode): boolean =>
  a.name === b.name &&
  a.stableId === b.stableId &&
  a.createdMs === b.createdMs &&
  (a.alive ?? true) === (b.alive ?? true) &&
  sameList(a.tags, b.tags);

const applyChange = (state: Membership, change: PopulationChange): Impact => {
  const touched: Touched = {
    filters: createBitset(state.classes.length),
    ssh: createBitset(state.classes.length),
    peers: createBitset(state.classes.length),
    owners: new Set(),
    peerOwners: new Set(),
    changed: new Set(),
    removed: new Set(),
  };
  const drop = (entry: NodeEntry): void => {
    touch(state, entry, touched);
    remove(state, entry);
  };
  for (const id of change.removals ?? []) {
    const entry = state.nodes.get(id);
    if (!entry) continue;
    drop(entry);
    touched.changed.delete(id);
    touched.removed.add(id);
  }
  for (const node of change.upserts ?? []) {
    const before = state.nodes.get(node.id);
    if (before && staysPut(state, before, node)) {
      if (looksSame(before.node, node)) {
        before.node = node;
        continue;
      }
      replace(state, before, node, touched);
    } else {
      if (before) drop(before);
      touch(state, insert(state, node), touched);
    }
    touched.changed.add(node.id);
    touched.removed.delete(node.id);
  }
  if (touched.changed.size + touched.removed.size > 0) state.mergePlan = undefined;
  const devicesOf = (owners: Iterable<UserId>): NodeId[] =>
    [...owners].flatMap((owner) =>
      [...(state.classesOf.get(owner) ?? [])].flatMap((cls) => [...(cls.byOwner.get(owner) ?? [])]),
    );
  const own = new Set([...touched.changed, ...devicesOf(touched.owners)]);
  const ownPeers = new Set([...own, ...devicesOf(touched.peerOwners)]);
  const impact: Impact = {
    filters: nodeSetOf(state, touched.filters, own),
    ssh: nodeSetOf(state, touched.ssh, own),
    caps: nodeSetOf(state, createBitset(), touched.changed),
    peers: nodeSetOf(state, touched.peers, ownPeers),
    changed: [...touched.changed],
    removed: [...touched.removed],
  };
  forget(state, touched, impact);
  return impact;
};

/** Drops the kept answers that a change touches. */
const forget = (state: Membership, touched: Touched, impact: Impact): void => {
  forEachBit(touched.peers, (index) => state.classes[index]?.peerSets.clear());
  forEachBit(touched.ssh, (index) => {
    const cls = state.classes[index];
    if (!cls) return;
    cls.ssh = undefined;
    cls.sshOf.clear();
  });
  for (const id of impact.ssh) (state.nodes.get(id) as NodeEntry).ssh = undefined;
  for (const owner of [...touched.owners, ...touched.peerOwners]) {
    for (const cls of state.classesOf.get(owner) ?? []) {
      cls.peerSets.delete(owner);
      cls.sshOf.delete(owner);
    }
  }
};

/** The union of the capability rules that name the peer as a source, as wgengine/filter makes it in the client. */
const whois = (state: Membership, entry: NodeEntry, peer: NodeEntry): CapMap => {
  const caps = new Map<string, readonly Json[] | null>();
  for (const capMap of capabilitiesFor(state, entry, peer)) {
    for (const [name, values] of Object.entries(capMap)) {
      const known = caps.get(name);
      caps.set(name, known || values ? [...(known ?? []), ...(values ?? [])] : null);
    }
  }
  return Object.fromEntries(caps);
};

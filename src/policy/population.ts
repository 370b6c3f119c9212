// Nodes under a policy: the live index from which every answer to a client is taken. Nodes that no selector tells apart
// are one class; rules hold bitsets of classes, so a node's change costs its class and nothing loops over pairs of nodes.
// Every answer is made when it is first asked for and kept until a change touches it.

import type { Address, Prefix } from '../base/address.ts';
import type { NodeId, UserId } from '../base/ids.ts';
import type { CapMap, FilterRule } from '../wire/filter.ts';
import type { SshPolicy } from '../wire/ssh.ts';
import type { CompiledPolicy } from './compile.ts';
import type { PolicyNode, PolicyUser } from './facts.ts';

/** A set of nodes held as classes: membership in constant time, and iteration over the members only. */
export interface NodeSet {
  readonly size: number;
  has(id: NodeId): boolean;
  [Symbol.iterator](): IterableIterator<NodeId>;
}

export interface PopulationChange {
  readonly upserts?: Iterable<PolicyNode>;
  readonly removals?: Iterable<NodeId>;
}

/**
 * Which nodes' answers may have changed. The sets are exact for the moment just after `apply` and must be used before the
 * next one. They never hold removed nodes, except `removed`.
 */
export interface Impact {
  /** Nodes whose `filterFor` or `compactFilterFor` may differ. */
  readonly filters: NodeSet;
  readonly ssh: NodeSet;
  readonly caps: NodeSet;
  /** Nodes that may see another set of peers, or one of their peers otherwise than before. */
  readonly peers: NodeSet;
  /** The nodes that were added or changed, and those that went. */
  readonly changed: readonly NodeId[];
  readonly removed: readonly NodeId[];
}

/**
 * How one node looks to another. Viewers that see the same get the same object until the peer changes, so what is
 * encoded from it can be kept by its identity.
 */
export interface PeerView {
  readonly node: PolicyNode;
  /** IPv4 first. */
  readonly addresses: readonly Address[];
  /** Host prefixes of `addresses`, then the routes that this viewer reaches through the node. */
  readonly allowedIPs: readonly Prefix[];
  readonly primaryRoutes: readonly Prefix[];
  readonly capMap: CapMap;
}

/** What a node is told of itself. */
export interface SelfView {
  readonly addresses: readonly Address[];
  readonly allowedIPs: readonly Prefix[];
  readonly primaryRoutes: readonly Prefix[];
}

export interface SshDecision {
  readonly action: 'accept' | 'check' | 'deny';
  /** How long a passed check holds; 0: never. Only for `check`. */
  readonly checkPeriodMs: number;
  /** The place in `ssh`; absent for `deny`. */
  readonly ruleIndex?: number;
  /** The local user that `user` maps to; absent for `deny`. */
  readonly localUser?: string;
}

export interface Population {
  readonly policy: CompiledPolicy;
  readonly nodes: ReadonlyMap<NodeId, PolicyNode>;
  /** Grows by one with every change. */
  readonly version: number;

  /** Costs the change: the node's class, plus a class that appears or goes. */
  apply(change: PopulationChange): Impact;

  /** As the hosted service words it, order included. Empty: everything is denied. */
  filterFor(id: NodeId): readonly FilterRule[];
  /** The same meaning in few bytes: sources merged into ranges, the arrays of sources shared between nodes. */
  compactFilterFor(id: NodeId): readonly FilterRule[];
  sshFor(id: NodeId): SshPolicy;
  /** What the policy and the node's owner give to the node; the server adds what it can do itself. */
  capsFor(id: NodeId): CapMap;

  /** The nodes that `id` sees; seeing is mutual, so these are also the nodes that see it. */
  visiblePeers(id: NodeId): NodeSet;
  sees(viewer: NodeId, peer: NodeId): boolean;
  /** Of a visible peer. */
  peerView(viewer: NodeId, peer: NodeId): PeerView;
  selfView(id: NodeId): SelfView;
  /** What `peer` may do on `id`, as the client itself works it out from the filter. */
  whois(id: NodeId, peer: NodeId): CapMap;
  sshDecision(source: NodeId, destination: NodeId, user: string): SshDecision;
}

/** People that aren't declared but came through a domain rule are looked up with `userOf`. */
export const populate = (
  policy: CompiledPolicy,
  nodes: Iterable<PolicyNode>,
  userOf: (id: UserId) => PolicyUser | undefined,
): Population => {
  void policy;
  void nodes;
  void userOf;
  throw new Error('not yet');
};

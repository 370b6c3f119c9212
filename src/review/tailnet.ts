// A tailnet under review: a snapshot with the nodes that it is held against. Where nobody gives a list of nodes, one device
// is imagined for each person and each tag, and a router for each approved route, so that a pull request can be reviewed
// where the tailnet isn't known; what that leaves open is said.

import { formatAddress, type Address, type Prefix } from '../base/address.ts';
import type { Json } from '../base/canonical.ts';
import { parseNodeId, stableIdOf, type Login, type NodeId, type Tag, type UserId } from '../base/ids.ts';
import { mayConnect } from '../policy/connectors.ts';
import type { PolicyUser } from '../policy/facts.ts';
import { resolveNode, type RegisteredNode, type ResolvedNode } from '../snapshot/resolve.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { createSide, type Side } from './side.ts';

/** A node of a review: one of a list, or one that is imagined and stands for a person or a tag. */
export interface ReviewedNode extends RegisteredNode {
  /** How an imagined node is called. */
  readonly standsFor?: string;
}

export interface ReviewedTailnet {
  readonly snapshot: Snapshot;
  readonly side: Side;
  /** Those that are let in, by id. */
  readonly nodes: ReadonlyMap<NodeId, ResolvedNode<ReviewedNode>>;
}

/** What people call a node: its full name, or what it stands for. */
export const nameOfNode = ({ nodes }: ReviewedTailnet, id: NodeId): string => {
  const node = nodes.get(id);
  return node?.record.standsFor ?? node?.fqdn ?? String(id);
};

export const reviewTailnet = (snapshot: Snapshot, registered: Iterable<ReviewedNode>): ReviewedTailnet => {
  const nodes = new Map<NodeId, ResolvedNode<ReviewedNode>>();
  for (const node of registered) {
    const resolved = resolveNode(snapshot, node, true);
    const owner = resolved.owner === null ? undefined : snapshot.userByLogin.get(resolved.owner.toLowerCase());
    // A node whose owner isn't declared any more is cut off, unless a rule brings in the whole domain.
    const domain = resolved.owner?.slice(resolved.owner.lastIndexOf('@') + 1).toLowerCase();
    const known =
      resolved.owner === null || owner !== undefined || snapshot.domainRules.some((rule) => rule.domain === domain);
    if (resolved.authorized && known) nodes.set(node.id, resolved);
  }
  const userOf = (id: UserId): PolicyUser | undefined => {
    const user = snapshot.userById.get(id);
    return user && { id: user.id, login: user.login, role: user.role };
  };
  const side = createSide(
    snapshot.policy,
    [...nodes.values()].map(({ policyNode }) => policyNode),
    userOf,
  );
  return { snapshot, side, nodes };
};

const IMAGINED_V4 = 100n * 2n ** 24n + 64n * 2n ** 16n;
/** Above what a small tailnet hands out, so that literals of a policy rarely name an imagined node. */
const IMAGINED_FIRST = 2n ** 20n;
const IMAGINED_V6 = 0xfd7a115ca1e0n << 80n;

const addressesAt = (index: number): readonly Address[] => {
  const offset = IMAGINED_FIRST + BigInt(index);
  return [
    formatAddress({ family: 4, bits: IMAGINED_V4 + offset }),
    formatAddress({ family: 6, bits: IMAGINED_V6 + offset }),
  ];
};

/** Tags that anything in the folder names. */
const tagsOf = (snapshot: Snapshot): ReadonlySet<Tag> =>
  new Set([
    ...(snapshot.policy.document?.tagOwners.keys() ?? []),
    ...snapshot.nodes.flatMap(({ tags }) => tags ?? []),
    ...[...snapshot.authKeys.values()].flatMap(({ tags }) => tags),
  ]);

interface Sketch {
  readonly name: string;
  readonly login: Login | null;
  readonly tags: readonly Tag[];
  readonly standsFor?: string;
}

/**
 * One node for each person, each tag and each approved route of either snapshot. The same facts give the same nodes, so
 * what both sides know is one node in both.
 */
export const imagineNodes = (...snapshots: readonly Snapshot[]): readonly ReviewedNode[] => {
  const sketches = new Map<string, Sketch>();
  const routes = new Map<string, Set<Prefix>>();
  const add = (sketch: Sketch): string => {
    const key = `${sketch.login ?? ''} ${sketch.tags.join()} ${sketch.name}`;
    if (!sketches.has(key)) sketches.set(key, sketch);
    return key;
  };
  const carry = (key: string, prefixes: Iterable<Prefix>): void => {
    const set = routes.get(key) ?? new Set();
    for (const prefix of prefixes) set.add(prefix);
    routes.set(key, set);
  };
  for (const snapshot of snapshots) {
    // Under the oldest login, so that it is the same device before and after somebody gets another one.
    for (const { login, formerly, disabled } of snapshot.users) {
      const first = formerly[0] ?? login;
      if (!disabled) add({ name: `device-of-${first}`, login: first, tags: [], standsFor: login });
    }
    for (const tag of tagsOf(snapshot)) add({ name: tag.slice(4), login: null, tags: [tag], standsFor: tag });
    for (const { node, subnets, exitNode } of snapshot.routes) {
      const carried = [...subnets, ...(exitNode ? (['0.0.0.0/0', '::/0'] as Prefix[]) : [])];
      if (node.by === 'owner') carry(add({ name: node.name, login: node.owner, tags: [] }), carried);
      else if (node.by === 'tag')
        carry(
          add({
            name: node.name ?? node.tag.slice(4),
            login: null,
            tags: [node.tag],
            ...(node.name === undefined ? { standsFor: node.tag } : {}),
          }),
          carried,
        );
    }
    const { autoApprovers } = snapshot.policy.document ?? {};
    for (const { prefix: route, approvers } of autoApprovers?.routes ?? []) {
      for (const approver of approvers) {
        if (approver.kind === 'tag')
          carry(add({ name: approver.tag.slice(4), login: null, tags: [approver.tag], standsFor: approver.tag }), [
            route,
          ]);
      }
    }
    for (const approver of autoApprovers?.exitNode ?? []) {
      if (approver.kind !== 'tag') continue;
      carry(add({ name: approver.tag.slice(4), login: null, tags: [approver.tag], standsFor: approver.tag }), [
        '0.0.0.0/0',
        '::/0',
      ] as Prefix[]);
    }
  }
  return [...sketches.keys()].sort().map((key, index): ReviewedNode => {
    const { name, login, tags, standsFor } = sketches.get(key) as Sketch;
    const id = parseNodeId(index + 1);
    const carried = [...(routes.get(key) ?? [])];
    const hostinfo: Record<string, Json> = {
      OS: 'linux',
      ...(carried.length > 0 ? { RoutableIPs: carried } : {}),
      ...(snapshots.some(({ policy }) => mayConnect(policy, tags)) ? { AppConnector: true } : {}),
    };
    return {
      id,
      stableId: stableIdOf(id),
      name,
      login,
      tags,
      addresses: addressesAt(index),
      hostinfo,
      attributes: {},
      approvedRoutes: [],
      createdMs: index,
      authorized: true,
      ...(standsFor === undefined ? {} : { standsFor }),
    };
  });
};

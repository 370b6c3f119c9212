// Whom a node belongs to, as clients are told: people by their login, and for nodes with tags the pseudo user that stands
// for nobody. A tagged node is told an account of its own, as the hosted service does: two of them on one machine would
// otherwise share one profile of the client.

import type { NodeId, UserId } from '../base/ids.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { Login, User, UserProfile } from '../wire/user.ts';
import type { ResolvedNode } from './resolve.ts';

/** Ids of people are below this (see `userIdOf`); the accounts of tagged nodes are above. */
const TAGGED_BASE = 2 ** 52;

/** The owner of every tagged node, as its peers see it. */
export const TAGGED_DEVICES: UserProfile = Object.freeze({
  ID: TAGGED_BASE as UserId,
  LoginName: 'tagged-devices',
  DisplayName: 'Tagged Devices',
});

const taggedAccountId = (id: NodeId): UserId => (TAGGED_BASE + id) as UserId;

/** The owner as others see it. */
export const ownerProfile = (snapshot: Snapshot, node: ResolvedNode): UserProfile => {
  if (node.owner === null || node.ownerId === null) return TAGGED_DEVICES;
  const declared = snapshot.userById.get(node.ownerId);
  return { ID: node.ownerId, LoginName: node.owner, DisplayName: declared?.displayName ?? node.owner };
};

/** The owner as the node itself is told. */
export const accountProfile = (snapshot: Snapshot, node: ResolvedNode): UserProfile =>
  node.owner === null
    ? { ID: taggedAccountId(node.record.id), LoginName: node.fqdn, DisplayName: node.label }
    : ownerProfile(snapshot, node);

/** The account in the answer to a registration. */
export const accountOfNode = (snapshot: Snapshot, node: ResolvedNode): { User: User; Login: Login } => {
  const { ID, LoginName, DisplayName } = accountProfile(snapshot, node);
  return { User: { ID, DisplayName }, Login: { ID, Provider: 'tailplane', LoginName, DisplayName } };
};

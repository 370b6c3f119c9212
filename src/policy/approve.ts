// What the policy approves by itself: routes that a node advertises, tags that a person may give to a node.

import { isExitRoute, prefixContains, type Prefix } from '../base/address.ts';
import type { Span } from '../base/diagnostic.ts';
import type { CompiledPolicy } from './compile.ts';
import type { PolicyNode, PolicyUser, Role } from './facts.ts';
import type { Selector } from './selector.ts';

/** Those who own every tag, named or not. */
const TAG_ADMINS: ReadonlySet<Role> = new Set(['owner', 'admin', 'network-admin']);

/** Whether a selector of people means the person. */
const isPerson = (policy: Pick<CompiledPolicy, 'document'>, selector: Selector, user: PolicyUser): boolean => {
  const login = user.login.toLowerCase();
  switch (selector.kind) {
    case 'user':
      return selector.login.toLowerCase() === login;
    case 'group': {
      const group = policy.document?.groups.get(selector.name);
      return group?.members.some((member) => member.kind === 'user' && member.login.toLowerCase() === login) === true;
    }
    case 'domain':
      return user.login.slice(user.login.lastIndexOf('@') + 1) === selector.domain;
    case 'role':
      return user.role === selector.role || (selector.role === 'admin' && user.role === 'owner');
    case 'member':
      return true;
    default:
      return false;
  }
};

/**
 * Where `autoApprovers` approves a route that the node advertises; undefined where it doesn't. A subnet needs a key that
 * contains it; an exit route needs `exitNode`, whatever keys contain it.
 */
export const autoApprovalOf = (
  policy: CompiledPolicy,
  node: Pick<PolicyNode, 'tags'>,
  owner: PolicyUser | undefined,
): ((route: Prefix) => Span | undefined) => {
  const approvers = policy.document?.autoApprovers;
  if (!approvers) return () => undefined;
  const matches = (selector: Selector): boolean => {
    if (node.tags.length > 0) {
      return selector.kind === 'tagged' || (selector.kind === 'tag' && node.tags.includes(selector.tag));
    }
    return owner !== undefined && isPerson(policy, selector, owner);
  };
  const exit = approvers.exitNode.find(matches)?.at;
  const keys = approvers.routes.filter(({ approvers: list }) => list.some(matches));
  return (route) => (isExitRoute(route) ? exit : keys.find(({ prefix }) => prefixContains(prefix, route))?.at);
};

/** Those of the node's advertised routes that `autoApprovers` approves, in the order advertised. */
export const autoApprovedRoutes = (
  policy: CompiledPolicy,
  node: Pick<PolicyNode, 'tags' | 'routableIPs'>,
  owner: PolicyUser | undefined,
): readonly Prefix[] => {
  const approvalOf = autoApprovalOf(policy, node, owner);
  return node.routableIPs.filter((route) => approvalOf(route) !== undefined);
};

/** Those of `tags` that the person may not give to a node; empty: all are allowed. Owning a tag is owning what it owns. */
export const refusedTags = (
  policy: Pick<CompiledPolicy, 'document'>,
  user: PolicyUser,
  tags: readonly string[],
): readonly string[] => {
  const tagOwners = policy.document?.tagOwners ?? new Map<string, never>();
  const known = new Map([...tagOwners].map(([tag, { owners }]) => [tag as string, owners]));
  const owns = (tag: string): boolean => {
    const seen = new Set([tag]);
    for (const current of seen) {
      for (const owner of known.get(current) ?? []) {
        if (owner.kind === 'tag') seen.add(owner.tag);
        else if (isPerson(policy, owner, user)) return true;
      }
    }
    return false;
  };
  return tags.filter((tag) => !known.has(tag) || !(TAG_ADMINS.has(user.role) || owns(tag)));
};

/** Where a new node's IPv4 address comes from: the pools of the first matching entry of `nodeAttrs`; empty: anywhere. */
export const addressPools = (
  policy: CompiledPolicy,
  node: Pick<PolicyNode, 'tags'>,
  owner: PolicyUser | undefined,
): readonly Prefix[] => {
  for (const { targets, ipPool } of policy.document?.nodeAttrs ?? []) {
    if (ipPool.length === 0) continue;
    const matches = targets.some((selector) => {
      if (selector.kind === 'any') return true;
      if (node.tags.length > 0) {
        return selector.kind === 'tagged' || (selector.kind === 'tag' && node.tags.includes(selector.tag));
      }
      return owner !== undefined && isPerson(policy, selector, owner);
    });
    if (matches) return ipPool;
  }
  return [];
};

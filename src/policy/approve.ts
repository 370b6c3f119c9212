// What the policy approves by itself: routes that a node advertises, tags that a person may give to a node.

import type { Prefix } from '../base/address.ts';
import type { CompiledPolicy } from './compile.ts';
import type { PolicyNode, PolicyUser } from './facts.ts';

/** Those of the node's advertised routes that `autoApprovers` approves, in the order advertised. */
export const autoApprovedRoutes = (
  policy: CompiledPolicy,
  node: Pick<PolicyNode, 'tags' | 'routableIPs'>,
  owner: PolicyUser | undefined,
): readonly Prefix[] => {
  void policy;
  void node;
  void owner;
  return [];
};

/** Those of `tags` that the person may not give to a node; empty: all are allowed. */
export const refusedTags = (policy: CompiledPolicy, user: PolicyUser, tags: readonly string[]): readonly string[] => {
  void policy;
  void user;
  return tags;
};

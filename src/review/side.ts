// One side of a review: a policy, the people it knows, and the nodes it is applied to.

import type { NodeId, UserId } from '../base/ids.ts';
import { setHasAddress as holds } from '../base/ipset.ts';
import { createClassifier } from '../policy/classes.ts';
import type { CompiledPolicy } from '../policy/compile.ts';
import type { PolicyNode, PolicyUser } from '../policy/facts.ts';
import { populate, type Population } from '../policy/population.ts';

export interface Side {
  readonly policy: CompiledPolicy;
  readonly nodes: ReadonlyMap<NodeId, PolicyNode>;
  readonly population: Population;
  readonly userOf: (id: UserId) => PolicyUser | undefined;
  /** Equal for nodes that the policy tells apart in nothing; undefined for a node that this side doesn't have. */
  readonly classKey: (id: NodeId) => string | undefined;
}

export const createSide = (
  policy: CompiledPolicy,
  nodes: Iterable<PolicyNode>,
  userOf: (id: UserId) => PolicyUser | undefined,
): Side => {
  const byId = new Map<NodeId, PolicyNode>();
  for (const node of nodes) byId.set(node.id, node);
  const classifier = createClassifier(policy);
  // Rules between a person's own devices tell the devices of one person from those of another.
  const ownerCounts = policy.rules.some(({ self }) => self) || policy.ssh.some(({ self }) => self);
  // An ip set may hold one family's address of a node and not the other's, which the classes leave open.
  const mixed = policy.atoms.flatMap((atom) => (atom.kind === 'address' && !atom.prefix ? [atom.set] : []));
  return {
    policy,
    nodes: byId,
    population: populate(policy, byId.values(), userOf),
    userOf,
    classKey: (id) => {
      const node = byId.get(id);
      if (!node) return undefined;
      const { key } = classifier.traitsOf(node, node.user === null ? undefined : userOf(node.user));
      const owner = ownerCounts && node.tags.length === 0 ? node.user : '';
      const held = mixed.map((set) => node.addresses.map((address) => (holds(set, address) ? 1 : 0)).join('')).join();
      return `${key}#${owner}#${held}`;
    },
  };
};

// Who may open a connection to whom, counted by classes: nodes that no selector tells apart are one class, so the tables
// here grow with the policy and not with the square of the tailnet.

import type { NodeId, UserId } from '../base/ids.ts';
import { addBit, createBitset, hasBit, type Bitset } from '../policy/bitset.ts';
import type { CompiledPolicy } from '../policy/compile.ts';
import type { PolicyNode, PolicyUser } from '../policy/facts.ts';
import { createMembership } from '../policy/membership.ts';
import { createRouteTable } from '../policy/routers.ts';
import type { NodeClass } from '../policy/state.ts';

export interface Reach {
  /** The class of a node; undefined for a node that is not there. */
  classOf(id: NodeId): number | undefined;
  /** Whether a node of the first class may open some connection to every node of the second. */
  reaches(source: number, destination: number): boolean;
  /** Whether a node of the class may open some connection to the other devices of its own user. */
  reachesOwn(source: number): boolean;
  /** Whether nodes of the class are devices of a person. */
  isPersonal(cls: number): boolean;
}

export const reachOf = (
  policy: CompiledPolicy,
  nodes: Iterable<PolicyNode>,
  userOf: (id: UserId) => PolicyUser | undefined,
): Reach => {
  const membership = createMembership(policy, userOf, createRouteTable(policy));
  const classes = new Map<NodeId, NodeClass>();
  for (const node of nodes) classes.set(node.id, membership.classFor(node));

  // A rule that gives capabilities alone opens no port.
  const opensPorts = (rule: number): boolean => policy.rules[rule]?.kind === 'ports';
  const receivers: Bitset[] = policy.sourceSets.map(() => createBitset());
  for (const cls of new Set(classes.values())) {
    for (const rule of cls.rules) {
      const set = receivers[policy.rules[rule]?.sources ?? -1];
      if (set && opensPorts(rule)) addBit(set, cls.index);
    }
  }
  const isSource = (cls: NodeClass, set: number): boolean => {
    const state = membership.sets[set];
    return state !== undefined && hasBit(state.nodes, cls.index);
  };
  const selfSets = new Set(membership.selfRules.filter(({ index }) => opensPorts(index)).map(({ sources }) => sources));
  const at = (index: number): NodeClass => membership.classes[index] as NodeClass;

  return {
    classOf: (id) => classes.get(id)?.index,
    reaches: (source, destination) =>
      at(source).sets.some((set) => hasBit(receivers[set] as Bitset, destination) && isSource(at(source), set)),
    reachesOwn: (source) => !at(source).tagged && [...selfSets].some((set) => isSource(at(source), set)),
    isPersonal: (cls) => !at(cls).tagged,
  };
};

// What netmap takes from the rooms above it: who a registered node is under a snapshot, and what the policy means for the
// nodes that take part. A port, so that a test may give a policy of three lines instead of a tailnet folder.

import type { UserId } from '../base/ids.ts';
import type { PolicyNode, PolicyUser } from '../policy/facts.ts';
import { populate } from '../policy/population.ts';
import type { Population } from '../policy/population.ts';
import type { NodeRecord } from '../registry/record.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { resolveNode } from './resolve.ts';
import type { ResolvedNode } from './resolve.ts';

export interface Rules {
  readonly resolve: (snapshot: Snapshot, record: NodeRecord, online: boolean) => ResolvedNode;
  /** `userOf` is asked for owners of nodes, also of those that come later. */
  readonly populate: (
    snapshot: Snapshot,
    nodes: Iterable<PolicyNode>,
    userOf: (id: UserId) => PolicyUser | undefined,
  ) => Population;
}

export const RULES: Rules = {
  resolve: resolveNode,
  populate: ({ policy }, nodes, userOf) => populate(policy, nodes, userOf),
};

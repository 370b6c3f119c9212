// Rules between a user's own devices (`autogroup:self`), worked out once for each user: which rules there are, and which
// of the devices each of them lets in.

import type { Address } from '../base/address.ts';
import type { NodeId, UserId } from '../base/ids.ts';
import { hasBit } from './bitset.ts';
import { compactTexts, sortTexts } from './sources.ts';
import type { Kin, Membership, NodeClass, NodeEntry, OwnRule, SetState } from './state.ts';

const kinOf = (state: Membership, owner: UserId, classes: readonly NodeClass[]): Kin => {
  let hosted: readonly string[] | undefined;
  let compact: readonly string[] | undefined;
  const addresses = (): Address[] =>
    classes.flatMap((cls) =>
      Array.from(cls.byOwner.get(owner) ?? [], (id) => (state.nodes.get(id) as NodeEntry).node.addresses).flat(),
    );
  return {
    classes,
    isWhole: classes.every((cls) => cls.byOwner.get(owner)?.size === cls.members.size),
    key: classes.map(({ index }) => index).join(' '),
    hosted: () => (hosted ??= sortTexts(addresses())),
    compact: () => (compact ??= compactTexts(addresses())),
  };
};

/** The rules between the devices of the user. */
const ownRulesOf = (state: Membership, owner: UserId): readonly OwnRule[] => {
  const known = state.ownRules.get(owner);
  if (known) return known;
  const classes = [...(state.classesOf.get(owner) ?? [])].sort((a, b) => a.index - b.index);
  const kins = new Map<string, Kin>();
  const rules = state.selfRules.flatMap((rule): OwnRule[] => {
    const { nodes } = state.sets[rule.sources] as SetState;
    const matched = classes.filter(({ index }) => hasBit(nodes, index));
    if (matched.length === 0 || (rule.kind === 'ports' && rule.silent)) return [];
    // A companion stands on the sources and lets the destinations in, and these are all devices of the user.
    const isCompanion = rule.kind === 'companion';
    const made = kinOf(state, owner, isCompanion ? classes : matched);
    const from = kins.get(made.key) ?? made;
    kins.set(from.key, from);
    return [{ rule, from, holders: new Set(isCompanion ? matched : classes) }];
  });
  state.ownRules.set(owner, rules);
  return rules;
};

/** The rules between a user's own devices that the node enforces. */
export const ownRulesAt = (state: Membership, { node, cls }: NodeEntry): readonly OwnRule[] =>
  state.selfRules.length === 0 || cls.tagged || node.user === null
    ? NO_RULES
    : ownRulesOf(state, node.user).filter(({ holders }) => holders.has(cls));

const NO_RULES: readonly OwnRule[] = [];

const NOBODY: ReadonlySet<NodeId> = new Set();

/** The devices of the node's user that it sees because of these rules, itself among them. */
export const ownPeers = (state: Membership, { node, cls }: NodeEntry): ReadonlySet<NodeId> => {
  if (state.selfRules.length === 0 || cls.tagged || node.user === null) return NOBODY;
  const own = new Set<NodeId>();
  for (const other of state.classesOf.get(node.user) ?? []) {
    if (!cls.selfSource && !other.selfSource) continue;
    for (const id of other.byOwner.get(node.user) ?? []) own.add(id);
  }
  return own;
};

// Which classes exist, which sources let them in, and which rules they enforce: bitsets over classes, kept up to date as
// nodes come and go. A class is worked out when its first node arrives and forgotten with its last; a node that joins a
// class that exists costs nothing here.

import type { UserId } from '../base/ids.ts';
import { createAddressBook } from './addressbook.ts';
import { addAll, addBit, createBitset, forEachBit, hasBit, removeBit, type Bitset } from './bitset.ts';
import { createClassifier, type Classifier, type ClassTraits } from './classes.ts';
import type { CompiledPolicy, CompiledRule, CompiledSshRule } from './compile.ts';
import type { PolicyUser } from './facts.ts';
import type { Membership, NodeClass, RouteTable, SetState } from './state.ts';

/** Rules and sets by the atom that brings a class to them. */
interface Inverted {
  readonly setsByAtom: readonly (readonly number[])[];
  readonly setsOfAny: readonly number[];
  readonly rulesByAtom: readonly (readonly number[])[];
  readonly internetRules: readonly number[];
  readonly steeredByTag: ReadonlyMap<number, readonly number[]>;
  readonly companionsByHolder: ReadonlyMap<number, readonly number[]>;
  /** Indexes into the ordered SSH rules. */
  readonly sshByAtom: ReadonlyMap<number, readonly number[]>;
}

const addTo = (set: Bitset | undefined, bit: number): void => {
  if (set) addBit(set, bit);
};

const removeFrom = (set: Bitset | undefined, bit: number): void => {
  if (set) removeBit(set, bit);
};

const pushTo = <K>(map: Map<K, number[]>, key: K, value: number): void => {
  const list = map.get(key);
  if (list) list.push(value);
  else map.set(key, [value]);
};

const invert = (policy: CompiledPolicy, ssh: readonly CompiledSshRule[]): Inverted => {
  const setsByAtom: number[][] = policy.atoms.map(() => []);
  const rulesByAtom: number[][] = policy.atoms.map(() => []);
  const internetRules: number[] = [];
  const steeredByTag = new Map<number, number[]>();
  const companionsByHolder = new Map<number, number[]>();
  for (const { id, atoms } of policy.sourceSets) for (const atom of atoms) setsByAtom[atom]?.push(id);
  for (const rule of policy.rules) {
    if (rule.self) continue;
    if (rule.kind === 'companion') pushTo(companionsByHolder, rule.holders, rule.index);
    else if (rule.kind === 'capability') for (const atom of rule.destinations) rulesByAtom[atom]?.push(rule.index);
    else if (rule.via.length > 0) for (const tag of rule.via) pushTo(steeredByTag, tag, rule.index);
    else {
      for (const { atom } of rule.destinations) {
        if (policy.atoms[atom]?.kind === 'internet') internetRules.push(rule.index);
        else rulesByAtom[atom]?.push(rule.index);
      }
    }
  }
  const sshByAtom = new Map<number, number[]>();
  for (const [index, { destinations }] of ssh.entries())
    for (const atom of destinations) pushTo(sshByAtom, atom, index);
  const setsOfAny = policy.sourceSets.filter((set) => set.any || set.dangerAll).map(({ id }) => id);
  return { setsByAtom, setsOfAny, rulesByAtom, internetRules, steeredByTag, companionsByHolder, sshByAtom };
};

/** Whether a steered rule is for the class: a subnet of it overlaps a literal, or it is an exit node for the internet. */
const isSteeredTo = (policy: CompiledPolicy, rule: CompiledRule, cls: ClassTraits): boolean =>
  rule.kind === 'ports' &&
  rule.destinations.some(({ atom }) =>
    policy.atoms[atom]?.kind === 'internet' ? cls.leadsOut : cls.routeAtoms.includes(atom),
  );

export const createMembership = (
  policy: CompiledPolicy,
  userOf: (id: UserId) => PolicyUser | undefined,
  routes: RouteTable,
): Membership => {
  const classifier: Classifier = createClassifier(policy);
  const ordered = policy.ssh.toSorted((a, b) => Number(b.rule.action === 'check') - Number(a.rule.action === 'check'));
  const ssh = ordered.map((compiled) => ({ compiled, destinations: createBitset() }));
  const inverted = invert(policy, ordered);
  const { setsByAtom, setsOfAny, rulesByAtom, internetRules, steeredByTag, companionsByHolder, sshByAtom } = inverted;
  const classes: (NodeClass | undefined)[] = [];
  const free: number[] = [];
  const byKey = new Map<string, NodeClass>();
  const sets: SetState[] = policy.sourceSets.map((set) => ({
    set,
    identity: createBitset(),
    nodes: createBitset(),
    touch: createBitset(),
    receivers: createBitset(),
  }));
  const selfRules = policy.rules.filter(({ self }) => self);
  const selfSets = [...new Set(selfRules.map((rule) => rule.sources))];

  /** Sets that let the class in, as bits; and all that touch it. */
  const joinSets = (traits: ClassTraits, index: number): number[] => {
    const touching = new Set<number>();
    const join = (id: number, how: 'identity' | 'nodes' | 'touch'): void => {
      const state = sets[id] as SetState;
      const { postures } = state.set;
      if (how !== 'touch' && postures.length > 0 && !postures.some((name) => traits.postures.has(name))) return;
      touching.add(id);
      addBit(state.touch, index);
      if (how !== 'touch') addBit(state.nodes, index);
      if (how === 'identity') addBit(state.identity, index);
    };
    const isAny = (atom: number): boolean => policy.atoms[atom]?.kind === 'any';
    for (const atom of traits.identityAtoms) {
      if (!isAny(atom)) for (const id of setsByAtom[atom] ?? []) join(id, 'identity');
    }
    for (const atom of traits.addressAtoms) for (const id of setsByAtom[atom] ?? []) join(id, 'nodes');
    for (const id of setsOfAny) {
      // With a posture the ranges of `*` become the nodes that have it.
      join(id, (sets[id] as SetState).set.postures.length > 0 ? 'identity' : 'nodes');
      if (traits.routes.length > 0) join(id, 'touch');
    }
    for (const atom of traits.routeAtoms) for (const id of setsByAtom[atom] ?? []) join(id, 'touch');
    return [...touching];
  };

  const enforcedBy = (traits: ClassTraits, index: number, touching: readonly number[]): number[] => {
    const enforced = new Set<number>();
    const addRules = (list: readonly number[] | undefined): void => {
      for (const rule of list ?? []) enforced.add(rule);
    };
    for (const atom of traits.identityAtoms) addRules(rulesByAtom[atom]);
    for (const atom of traits.addressAtoms) addRules(rulesByAtom[atom]);
    // A subnet opens ports only: capabilities are held against nodes.
    for (const atom of traits.routeAtoms) {
      for (const rule of rulesByAtom[atom] ?? []) if (policy.rules[rule]?.kind === 'ports') enforced.add(rule);
    }
    if (traits.leadsOut) addRules(internetRules);
    for (const atom of traits.identityAtoms) {
      for (const rule of steeredByTag.get(atom) ?? []) {
        if (isSteeredTo(policy, policy.rules[rule] as CompiledRule, traits)) enforced.add(rule);
      }
    }
    for (const id of touching) if (hasBit((sets[id] as SetState).nodes, index)) addRules(companionsByHolder.get(id));
    return [...enforced].sort((a, b) => a - b);
  };

  const createClass = (traits: ClassTraits): NodeClass => {
    const index = free.pop() ?? classes.length;
    const touching = joinSets(traits, index);
    const rules = enforcedBy(traits, index, touching);
    const cls: NodeClass = {
      ...traits,
      index,
      members: new Set(),
      byOwner: new Map(),
      sets: touching,
      rules,
      selfSource: !traits.tagged && selfSets.some((id) => hasBit((sets[id] as SetState).nodes, index)),
      routerChoices: new Map(),
      peerSets: new Map(),
      sshOf: new Map(),
    };
    classes[index] = cls;
    byKey.set(cls.key, cls);
    for (const rule of rules) addBit(receiversOf(rule), index);
    for (const at of sshRulesTo(cls)) addTo(ssh[at]?.destinations, index);
    if (hasVisible) forEachBit(visibleOf(cls), (other) => addTo(classes[other]?.visible, index));
    membership.mergePlan = undefined;
    return cls;
  };

  const sshRulesTo = (cls: ClassTraits): readonly number[] =>
    cls.identityAtoms.flatMap((atom) => sshByAtom.get(atom) ?? []);

  const receiversOf = (rule: number): Bitset =>
    (sets[(policy.rules[rule] as CompiledRule).sources] as SetState).receivers;

  // While nobody has asked who sees whom, a class that comes or goes has nobody to tell.
  let hasVisible = false;
  const visibleOf = (cls: NodeClass): Bitset => {
    if (cls.visible) return cls.visible;
    hasVisible = true;
    const visible = createBitset(classes.length);
    for (const id of cls.sets) addAll(visible, (sets[id] as SetState).receivers);
    const sources = new Set(cls.rules.map((rule) => (policy.rules[rule] as CompiledRule).sources));
    for (const id of sources) addAll(visible, (sets[id] as SetState).touch);
    cls.visible = visible;
    return visible;
  };

  const membership: Membership = {
    policy,
    nodes: new Map(),
    classes,
    sets,
    ssh,
    selfRules,
    classesOf: new Map(),
    ownRules: new Map(),
    sharedSsh: new Map(),
    byAddress: new Map(),
    addresses: createAddressBook(() => membership.nodes.values()),
    routes,
    userOf,
    classFor: (node) => {
      const traits = classifier.traitsOf(node, node.user === null ? undefined : userOf(node.user));
      return byKey.get(traits.key) ?? createClass(traits);
    },
    visibleOf,
    dropClass: (cls) => {
      const { index } = cls;
      const visible = hasVisible ? visibleOf(cls) : undefined;
      for (const id of cls.sets) {
        const state = sets[id] as SetState;
        removeBit(state.identity, index);
        removeBit(state.nodes, index);
        removeBit(state.touch, index);
      }
      for (const rule of cls.rules) removeBit(receiversOf(rule), index);
      for (const at of sshRulesTo(cls)) removeFrom(ssh[at]?.destinations, index);
      if (visible) forEachBit(visible, (other) => removeFrom(classes[other]?.visible, index));
      classes[index] = undefined;
      byKey.delete(cls.key);
      free.push(index);
      membership.mergePlan = undefined;
    },
  };
  return membership;
};

// The packet filter of one node. What its class enforces is worked out once; the node adds its own addresses. Two forms:
// as the hosted service words it, where rules with equal sources fall together over the whole policy, and a compact one
// for the wire, where rules that were written with the same sources do.

import { hostPrefix, type Address } from '../base/address.ts';
import { setHasAddress } from '../base/ipset.ts';
import type { CapMap, FilterRule, NetPortRange, PortRange } from '../wire/filter.ts';
import { addBit, createBitset, hasBit } from './bitset.ts';
import type { CompiledRule } from './compile.ts';
import { planMerges } from './merging.ts';
import { ownRulesAt } from './own.ts';
import { INTERNET_RANGES } from './ranges.ts';
import { compactSources, hostedSources, isEmptySource } from './sources.ts';
import type { KeptPart, KeptRule, Kin, Membership, NodeClass, NodeEntry, PortRule, SetState } from './state.ts';

/** The port rules of a class with the destinations that its nodes keep; silent ones included. */
export const keptRules = (state: Membership, cls: NodeClass): readonly KeptRule[] =>
  (cls.kept ??= cls.rules.flatMap((index) => {
    const rule = state.policy.rules[index] as CompiledRule;
    return rule.kind === 'ports' ? [{ rule, parts: keptParts(state, cls, rule) }] : [];
  }));

const keptParts = (state: Membership, cls: NodeClass, rule: PortRule): KeptPart[] =>
  rule.destinations.flatMap(({ atom: id, ports }): KeptPart[] => {
    const atom = state.policy.atoms[id];
    if (!atom || atom.kind === 'danger-all') return [];
    if (atom.kind === 'internet') return cls.leadsOut ? [{ kind: 'internet', ports }] : [];
    if (atom.kind === 'address') {
      const isOwn = rule.via.length === 0 && cls.addressAtoms.includes(id);
      return isOwn || cls.routeAtoms.includes(id) ? [{ kind: 'address', atom, ports }] : [];
    }
    if (rule.via.length > 0) return [];
    if (atom.kind === 'any') return [{ kind: 'any', ports }];
    return cls.identityAtoms.includes(id) ? [{ kind: 'own', ports }] : [];
  });

const addDestinations = (out: NetPortRange[], addresses: readonly string[], ports: readonly PortRange[]): void => {
  for (const IP of addresses) for (const Ports of ports) out.push({ IP, Ports });
};

const destinationsOf = (parts: readonly KeptPart[], addresses: readonly Address[]): NetPortRange[] => {
  const out: NetPortRange[] = [];
  for (const part of parts) {
    const texts =
      part.kind === 'own'
        ? addresses
        : part.kind === 'any'
          ? ['*']
          : part.kind === 'internet'
            ? INTERNET_RANGES
            : part.atom.texts;
    addDestinations(out, texts, part.ports);
  }
  return out;
};

/** What a capability is given on: the node, or those of its addresses that a literal names. */
const capabilityDsts = (state: Membership, { node, cls }: NodeEntry, rule: CompiledRule): string[] => {
  const whole =
    rule.kind !== 'capability' || rule.self || rule.destinations.some((id) => cls.identityAtoms.includes(id));
  const addresses = whole
    ? node.addresses
    : node.addresses.filter((address) =>
        rule.destinations.some((id) => {
          const atom = state.policy.atoms[id];
          return atom?.kind === 'address' && setHasAddress(atom.set, address);
        }),
      );
  return addresses.map(hostPrefix);
};

// Rules in the making: several policy rules may fall together in one.
interface Draft {
  position: number;
  readonly sources: () => readonly string[];
  readonly protocol: number | null;
  readonly contributions: { readonly index: number; readonly destinations: readonly NetPortRange[] }[];
  readonly whole?: FilterRule;
}

const finish = (drafts: Iterable<Draft>): readonly FilterRule[] =>
  Object.freeze(
    [...drafts]
      .sort((a, b) => a.position - b.position)
      .map((draft): FilterRule => {
        if (draft.whole) return draft.whole;
        const contributions = draft.contributions.sort((a, b) => a.index - b.index);
        return {
          SrcIPs: draft.sources(),
          DstPorts:
            contributions.length === 1
              ? (contributions[0]?.destinations ?? [])
              : contributions.flatMap(({ destinations }) => destinations),
          ...(draft.protocol === null ? {} : { IPProto: [draft.protocol] }),
        };
      }),
  );

/** How one form of the filter names its sources and which rules it lets fall together. */
interface Form {
  sourcesOfSet(id: number): readonly string[];
  sourcesOfKin(kin: Kin): readonly string[];
  /** The order of the sources of a capability rule. */
  arrange(sources: readonly string[]): readonly string[];
  /** The rule's place and the key of what it falls together with. */
  placeOf(rule: PortRule): { readonly key: string; readonly position: number };
  placeOfKin(kin: Kin, rule: PortRule): { readonly key: string; readonly position: number };
}

const buildFilter = (state: Membership, entry: NodeEntry, form: Form): readonly FilterRule[] => {
  const drafts = new Map<string, Draft>();
  const contribute = (
    { key, position }: { readonly key: string; readonly position: number },
    rule: PortRule,
    sources: () => readonly string[],
    destinations: readonly NetPortRange[],
  ): void => {
    const draft = drafts.get(key);
    if (draft) {
      draft.position = Math.min(draft.position, position);
      draft.contributions.push({ index: rule.index, destinations });
    } else {
      const contributions = [{ index: rule.index, destinations }];
      drafts.set(key, { position, sources, protocol: rule.protocol, contributions });
    }
  };
  const addWhole = (
    rule: CompiledRule & { readonly kind: 'capability' | 'companion' },
    sources: readonly string[],
  ): void => {
    const whole: FilterRule = {
      SrcIPs: form.arrange(sources),
      CapGrant: [{ Dsts: capabilityDsts(state, entry, rule), CapMap: rule.capMap }],
    };
    drafts.set(`whole ${rule.index}`, {
      position: rule.index,
      sources: () => sources,
      protocol: null,
      contributions: [],
      whole,
    });
  };
  const { node, cls } = entry;
  for (const { rule, parts } of keptRules(state, cls)) {
    if (rule.silent || parts.length === 0 || isEmptySource(state, rule.sources)) continue;
    contribute(form.placeOf(rule), rule, () => form.sourcesOfSet(rule.sources), destinationsOf(parts, node.addresses));
  }
  for (const index of cls.rules) {
    const rule = state.policy.rules[index] as CompiledRule;
    if (rule.kind !== 'ports') addWhole(rule, form.sourcesOfSet(rule.sources));
  }
  for (const { rule, from } of ownRulesAt(state, entry)) {
    if (rule.kind !== 'ports') addWhole(rule, form.sourcesOfKin(from));
    else {
      const destinations: NetPortRange[] = [];
      addDestinations(destinations, node.addresses, rule.ports);
      contribute(form.placeOfKin(from, rule), rule, () => form.sourcesOfKin(from), destinations);
    }
  }
  return finish(drafts.values());
};

export const compactFilter = (state: Membership, entry: NodeEntry): readonly FilterRule[] =>
  buildFilter(state, entry, {
    sourcesOfSet: (id) => compactSources(state, id),
    arrange: (sources) => sources,
    sourcesOfKin: (kin) => kin.compact(),
    placeOf: (rule) => ({ key: `${rule.sources} ${rule.protocol}`, position: rule.index }),
    placeOfKin: ({ key }, rule) => ({ key: `own ${key} ${rule.protocol}`, position: rule.index }),
  });

export const hostedFilter = (state: Membership, entry: NodeEntry): readonly FilterRule[] => {
  const plan = (state.mergePlan ??= planMerges(state));
  return buildFilter(state, entry, {
    sourcesOfSet: (id) => hostedSources(state, id),
    arrange: numberedLast,
    sourcesOfKin: (kin) => kin.hosted(),
    placeOf: (rule) => {
      const { id, first } = plan.groupOf(rule.sources, rule.protocol);
      return { key: `${id} ${rule.protocol}`, position: Math.min(first, rule.index) };
    },
    placeOfKin: ({ classes, isWhole, key }, rule) => {
      const bits = createBitset(state.classes.length);
      for (const { index } of classes) addBit(bits, index);
      const equal = isWhole ? plan.find({ bits, texts: '' }, rule.protocol) : undefined;
      return equal === undefined
        ? { key: `own ${key} ${rule.protocol}`, position: rule.index }
        : { key: `${equal.id} ${rule.protocol}`, position: Math.min(equal.first, rule.index) };
    },
  });
};

/** What the rules of the node give to the peer, in the order of the filter. */
export const capabilitiesFor = (state: Membership, entry: NodeEntry, peer: NodeEntry): readonly CapMap[] => {
  const found: { readonly index: number; readonly capMap: CapMap }[] = [];
  for (const index of entry.cls.rules) {
    const rule = state.policy.rules[index] as CompiledRule;
    if (rule.kind === 'ports' || !hasBit((state.sets[rule.sources] as SetState).nodes, peer.cls.index)) continue;
    found.push({ index, capMap: rule.capMap });
  }
  if (peer.node.user === entry.node.user) {
    for (const { rule, from } of ownRulesAt(state, entry)) {
      if (rule.kind !== 'ports' && from.classes.includes(peer.cls))
        found.push({ index: rule.index, capMap: rule.capMap });
    }
  }
  return found.sort((a, b) => a.index - b.index).map(({ capMap }) => capMap);
};

/**
 * Sources are sorted as texts. One answer that we know isn't, and its addresses were rewritten after they were sorted; only
 * addresses made that way have a single group after the `::`, and among these the number fits it. To a client no order
 * means anything.
 */
const numberedLast = (sources: readonly string[]): readonly string[] =>
  sources.some((text) => NUMBERED.test(text))
    ? sources.toSorted((a, b) => (padded(a) < padded(b) ? -1 : padded(a) > padded(b) ? 1 : 0))
    : sources;

const NUMBERED = /::[\da-f]{1,4}$/;
const padded = (text: string): string => text.replace(NUMBERED, (group) => `::${group.slice(2).padStart(4, '0')}`);

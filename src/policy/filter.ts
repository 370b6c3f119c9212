// The packet filter of one node. What its class enforces is worked out once; the node adds its own addresses. Two forms:
// as the hosted service words it, where rules with equal sources fall together over the whole policy, and a compact one
// for the wire, where rules that were written with the same sources do.

import { hostPrefix, parseAddressBits, type Address } from '../base/address.ts';
import { setHasAddress } from '../base/ipset.ts';
import type { NodeId } from '../base/ids.ts';
import type { CapMap, FilterRule, NetPortRange, PortRange } from '../wire/filter.ts';
import { addBit, countBits, createBitset, equalBitsets, hasBit, type Bitset } from './bitset.ts';
import type { AddressAtom, CompiledRule } from './compile.ts';
import type { Membership, NodeClass, NodeEntry, SetState } from './membership.ts';
import { INTERNET_RANGES } from './ranges.ts';
import { ownRulesAt, type Kin } from './own.ts';
import { compactSources, hostedSources, isEmptySource } from './sources.ts';

type PortRule = CompiledRule & { readonly kind: 'ports' };

/** A destination that the nodes of a class keep. */
export type KeptPart =
  | { readonly kind: 'own'; readonly ports: readonly PortRange[] }
  | { readonly kind: 'any'; readonly ports: readonly PortRange[] }
  | { readonly kind: 'internet'; readonly ports: readonly PortRange[] }
  | { readonly kind: 'address'; readonly atom: AddressAtom; readonly ports: readonly PortRange[] };

export interface KeptRule {
  readonly rule: PortRule;
  readonly parts: readonly KeptPart[];
}

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
    if (atom.kind === 'internet') return cls.exitRoutes.length > 0 ? [{ kind: 'internet', ports }] : [];
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
    arrange: numericIpv6,
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
 * Which rules have the same source texts and protocol, over the whole policy: they fall together at the place of the
 * first of them, also on nodes that don't enforce the first. Steered rules, like those between a user's own devices,
 * exist on their nodes only and don't hold a place for others.
 */
export interface MergePlan {
  groupOf(sources: number, protocol: number | null): MergeGroup;
  find(content: Content, protocol: number | null): MergeGroup | undefined;
}

interface MergeGroup {
  readonly id: number;
  /** The place of the first rule; Infinity where there are steered ones only. */
  readonly first: number;
}

/** What a source set comes to: classes whose nodes are listed whole, and all other texts. */
interface Content {
  readonly bits: Bitset;
  readonly texts: string;
}

const planMerges = (state: Membership): MergePlan => {
  const buckets = new Map<string, { readonly content: Content; readonly id: number }[]>();
  const contentIds = new Map<number, number>();
  const firsts = new Map<string, number>();
  const bucketKey = ({ bits, texts }: Content): string => `${countBits(bits)} ${fold(bits)} ${texts}`;
  const findContent = (content: Content): number | undefined =>
    buckets.get(bucketKey(content))?.find((entry) => equalBitsets(entry.content.bits, content.bits))?.id;
  const groupOf = (id: number, protocol: number | null): MergeGroup => ({
    id,
    first: firsts.get(`${id} ${protocol}`) ?? Infinity,
  });
  for (const rule of state.policy.rules) {
    if (rule.kind !== 'ports' || rule.self || rule.silent || isEmptySource(state, rule.sources)) continue;
    let id = contentIds.get(rule.sources);
    if (id === undefined) {
      const content = contentOf(state, state.sets[rule.sources] as SetState);
      id = findContent(content);
      if (id === undefined) {
        id = rule.index;
        const key = bucketKey(content);
        const bucket = buckets.get(key);
        if (bucket) bucket.push({ content, id });
        else buckets.set(key, [{ content, id }]);
      }
      contentIds.set(rule.sources, id);
    }
    const group = `${id} ${rule.protocol}`;
    if (rule.via.length === 0 && !firsts.has(group)) firsts.set(group, rule.index);
  }
  return {
    groupOf: (sources, protocol) => groupOf(contentIds.get(sources) as number, protocol),
    find: (content, protocol) => {
      const id = findContent(content);
      return id === undefined ? undefined : groupOf(id, protocol);
    },
  };
};

/**
 * In capability rules IPv6 addresses come by number. Of the answers that we know only one tells this order from that of
 * the texts, and its addresses were rewritten; to a client no order means anything.
 */
const numericIpv6 = (sources: readonly string[]): readonly string[] => {
  const split = sources.findIndex((text) => text.includes(':'));
  if (split < 0 || sources.length - split < 2) return sources;
  const isPlain = sources.slice(split).every((text) => parseAddressBits(text) !== undefined);
  if (!isPlain) return sources;
  const numbered = sources.slice(split).map((text) => ({ text, bits: parseAddressBits(text)?.bits ?? 0n }));
  numbered.sort((a, b) => (a.bits < b.bits ? -1 : a.bits > b.bits ? 1 : 0));
  return [...sources.slice(0, split), ...numbered.map(({ text }) => text)];
};

const fold = ({ words }: Bitset): number => {
  let hash = 0;
  for (let i = 0; i < words.length; i++)
    hash ^= Math.imul((words[i] as number) + i, 0x9e3779b1) & -Number(words[i] !== 0);
  return hash;
};

/** Equal texts must give equal contents, so a node that is listed by its literals counts as listed whole. */
const contentOf = (state: Membership, { set, identity, nodes }: SetState): Content => {
  const bits: Bitset = { words: identity.words.slice() };
  const own = `only ${set.id}`;
  // With postures, literals shrink to single addresses of nodes; such sets stay by themselves.
  if (set.postures.length > 0)
    return { bits, texts: equalBitsets(identity, nodes) && !hasRanges(state, set.atoms) ? '' : own };
  const texts = new Set<string>();
  for (const id of set.atoms) {
    const atom = state.policy.atoms[id];
    if (atom?.kind === 'address') for (const text of atom.texts) texts.add(text);
  }
  for (const text of texts) {
    const entry = state.nodes.get(state.byAddress.get(text as Address) as NodeId);
    if (!entry) continue;
    const { node, cls } = entry;
    if (hasBit(identity, cls.index)) texts.delete(text);
    else if (cls.members.size === 1 && node.addresses.every((address) => texts.has(address))) {
      addBit(bits, cls.index);
      for (const address of node.addresses) texts.delete(address);
    }
  }
  if (set.any) for (const route of state.routes.prefixes().texts) texts.delete(route);
  const marks = `${set.any ? '* ' : ''}${set.dangerAll ? 'everything ' : ''}`;
  return { bits, texts: `${marks}${[...texts].sort().join(' ')}` };
};

const hasRanges = (state: Membership, atoms: readonly number[]): boolean =>
  atoms.some((id) => ['address', 'any', 'danger-all'].includes(state.policy.atoms[id]?.kind ?? ''));

// The sources of a rule as texts: as the hosted service prints them (a sorted set of strings, nothing merged), and merged
// into the fewest ranges of the same addresses. Made once per set and kept until a node of the set changes.

import type { Address } from '../base/address.ts';
import {
  addressRange,
  formatRange,
  ipSetOfRanges,
  ipSetRanges,
  setHasAddress,
  subtractSets,
  unionSets,
  type IpSet,
} from '../base/ipset.ts';
import { bitsOf, hasBit } from './bitset.ts';
import type { AddressAtom } from './compile.ts';
import { EVERYTHING_SET, formatSpan, TAILNET_RANGES, TAILNET_SET } from './ranges.ts';
import type { Membership, NodeClass, NodeEntry, SetState } from './state.ts';

/** Sources beside the nodes that are listed whole: texts that are printed as they are, and the addresses of these. */
interface Parts {
  /** Single addresses of nodes. */
  readonly addresses: readonly Address[];
  readonly texts: readonly string[];
  readonly ranges: IpSet;
  readonly everything: boolean;
}

const addressAtomsOf = (state: Membership, set: SetState): AddressAtom[] =>
  set.set.atoms.flatMap((id) => {
    const atom = state.policy.atoms[id];
    return atom?.kind === 'address' ? [atom] : [];
  });

export const entriesOf = function* (state: Membership, classes: Iterable<number>): IterableIterator<NodeEntry> {
  for (const index of classes) {
    for (const id of (state.classes[index] as NodeClass).members) yield state.nodes.get(id) as NodeEntry;
  }
};

const partsOf = (state: Membership, set: SetState): Parts => {
  const addresses: Address[] = [];
  const texts: string[] = [];
  const sets: IpSet[] = [];
  const atoms = addressAtomsOf(state, set);
  const routes = state.routes.prefixes();
  if (set.set.postures.length === 0) {
    for (const atom of atoms) {
      texts.push(...atom.texts);
      sets.push(atom.set);
    }
    if (set.set.any) {
      texts.push(...TAILNET_RANGES, ...routes.texts);
      sets.push(TAILNET_SET, routes.set);
    }
    if (set.set.dangerAll) texts.push('*');
    return { addresses, texts, ranges: unionSets(...sets), everything: set.set.dangerAll };
  }
  // A posture is asked of nodes: of addresses in the tailnet only those of nodes that have it are left.
  for (const { node, cls } of entriesOf(state, bitsOf(set.nodes))) {
    if (hasBit(set.identity, cls.index)) continue;
    addresses.push(...node.addresses.filter((address) => atoms.some((atom) => setHasAddress(atom.set, address))));
  }
  for (const atom of atoms) {
    const outside = subtractSets(atom.set, TAILNET_SET);
    texts.push(...(outside.v4.length + outside.v6.length === 0 ? [] : textsOutside(atom, outside)));
    sets.push(outside);
  }
  if (set.set.any) {
    texts.push(...routes.texts);
    sets.push(routes.set);
  }
  if (set.set.dangerAll) {
    const outside = subtractSets(EVERYTHING_SET, TAILNET_SET);
    texts.push(...ipSetRanges(outside).map(formatSpan));
    sets.push(outside);
  }
  return { addresses, texts, ranges: unionSets(...sets), everything: false };
};

const textsOutside = (atom: AddressAtom, outside: IpSet): readonly string[] => {
  const untouched = ipSetRanges(subtractSets(atom.set, outside)).length === 0;
  return untouched ? atom.texts : ipSetRanges(outside).map(formatSpan);
};

/** Sorted by bytes, without repetitions: the form of the service. */
export const sortTexts = (texts: Iterable<string>): readonly string[] => Object.freeze([...new Set(texts)].sort());

export const hostedSources = (state: Membership, id: number): readonly string[] => {
  const set = state.sets[id] as SetState;
  if (!set.hosted) {
    const { addresses, texts } = partsOf(state, set);
    const all = [...addresses, ...texts];
    for (const { node } of entriesOf(state, bitsOf(set.identity))) all.push(...node.addresses);
    set.hosted = sortTexts(all);
  }
  return set.hosted;
};

/** The fewest ranges of exactly these addresses. */
export const compactTexts = (addresses: readonly Address[]): readonly string[] =>
  Object.freeze(ipSetRanges(ipSetOfRanges(addresses.map(addressRange))).map(formatRange));

export const compactSources = (state: Membership, id: number): readonly string[] => {
  const set = state.sets[id] as SetState;
  if (!set.compact) {
    const { addresses, ranges, everything } = partsOf(state, set);
    const listed = [...state.addresses.rangesOf(set.identity, 4), ...state.addresses.rangesOf(set.identity, 6)];
    const others = [...addresses.map(addressRange), ...ipSetRanges(ranges)];
    const texts =
      others.length === 0
        ? listed.map(({ text }) => text)
        : ipSetRanges(ipSetOfRanges([...listed, ...others])).map(formatRange);
    set.compact = Object.freeze(everything ? ['*'] : texts);
  }
  return set.compact;
};

export const isEmptySource = (state: Membership, id: number): boolean =>
  hostedIsEmpty(state, state.sets[id] as SetState);

const hostedIsEmpty = (state: Membership, set: SetState): boolean => {
  if (set.hosted) return set.hosted.length === 0;
  if (set.compact) return set.compact.length === 0;
  for (const _ of bitsOf(set.nodes)) return false;
  if (set.set.postures.length === 0) {
    return !set.set.any && !set.set.dangerAll && addressAtomsOf(state, set).every((atom) => atom.texts.length === 0);
  }
  return compactSources(state, set.set.id).length === 0;
};

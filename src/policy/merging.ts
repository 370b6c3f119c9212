// Which rules of the hosted form fall together: those whose source texts and protocol are equal. That depends on the nodes
// there are, so the plan is made for a population and thrown away when it changes.

import type { Address } from '../base/address.ts';
import type { NodeId } from '../base/ids.ts';
import { addBit, countBits, equalBitsets, hasBit, type Bitset } from './bitset.ts';
import { isEmptySource } from './sources.ts';
import type { Content, Membership, MergeGroup, MergePlan, SetState } from './state.ts';

export const planMerges = (state: Membership): MergePlan => {
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

// Differences in capabilities: what nodes may do on other nodes by `app` grants, and what nodes may do at all by nodeAttrs.

import { canonicalJson, type Json } from '../base/canonical.ts';
import type { NodeId } from '../base/ids.ts';
import { addAll, addBit, createBitset, isEmptyBitset, subtractBitsets, type Bitset } from '../policy/bitset.ts';
import { samplePairs, type Cause, type Tracer } from './causes.ts';
import type { Comparison, Direction } from './comparison.ts';
import type { Party } from './naming.ts';
import type { ReviewedTailnet } from './tailnet.ts';
import { createSources } from './traffic.ts';
import type { Unit } from './units.ts';

export interface CapabilityChange {
  readonly direction: Direction;
  readonly capability: string;
  /** What comes with it, as the policy writes it. */
  readonly values: readonly Json[];
  readonly who: readonly Party[];
  /** On which nodes; empty for an attribute of the nodes themselves. */
  readonly what: readonly Party[];
  readonly causes: readonly Cause[];
}

interface Held {
  readonly capability: string;
  readonly value: Json | undefined;
  readonly sources: Bitset;
}

/** One entry for each capability and value; a capability without values is an entry of its own. */
const heldOn = (
  tailnet: ReviewedTailnet,
  node: NodeId,
  read: (list: readonly string[]) => readonly [Bitset, Bitset],
  size: number,
): ReadonlyMap<string, Held> => {
  const held = new Map<string, Held>();
  for (const { SrcIPs, CapGrant } of tailnet.side.population.compactFilterFor(node)) {
    for (const { CapMap } of CapGrant ?? []) {
      for (const [capability, values] of Object.entries(CapMap)) {
        for (const value of values === null || values.length === 0 ? [undefined] : values) {
          const key = `${capability} ${value === undefined ? '' : canonicalJson(value)}`;
          const entry = held.get(key) ?? { capability, value, sources: createBitset(size) };
          for (const set of read(SrcIPs)) addAll(entry.sources, set);
          held.set(key, entry);
        }
      }
    }
  }
  return held;
};

/** Every difference, capabilities on other nodes first. */
export const diffCapabilities = (
  { before, after, units, names }: Comparison,
  tracer: Tracer,
): readonly CapabilityChange[] => {
  const nobody = createBitset();
  const was = createSources(units, 'before');
  const is = createSources(units, 'after');
  interface Group {
    readonly direction: Direction;
    readonly capability: string;
    readonly values: readonly Json[];
    readonly sources: Bitset;
    readonly destinations: Bitset;
  }
  const granted = new Map<string, Group>();
  const attributes = new Map<string, Group>();
  const nodeOf = (unit: Unit, which: 'before' | 'after'): NodeId | undefined =>
    unit.kind === 'nodes' ? unit[which]?.id : undefined;

  for (const unit of units) {
    const [old, now] = [nodeOf(unit, 'before'), nodeOf(unit, 'after')];
    const heldBefore = old === undefined ? undefined : heldOn(before, old, was.read, units.length);
    const heldAfter = now === undefined ? undefined : heldOn(after, now, is.read, units.length);
    for (const [direction, mine, theirs] of [
      ['gained', heldAfter, heldBefore],
      ['lost', heldBefore, heldAfter],
    ] as const) {
      for (const [key, { capability, value, sources }] of mine ?? []) {
        const rest = subtractBitsets(sources, theirs?.get(key)?.sources ?? nobody);
        if (isEmptyBitset(rest)) continue;
        const id = `${direction} ${key} ${rest.words.join()}`;
        const group = granted.get(id) ?? {
          direction,
          capability,
          values: value === undefined ? [] : [value],
          sources: rest,
          destinations: createBitset(units.length),
        };
        addBit(group.destinations, unit.index);
        granted.set(id, group);
      }
    }
    const attrsBefore = old === undefined ? {} : before.side.population.capsFor(old);
    const attrsAfter = now === undefined ? {} : after.side.population.capsFor(now);
    // A node that comes or goes is told as such; its attributes are no news.
    if (old === undefined || now === undefined) continue;
    for (const [direction, mine, theirs] of [
      ['gained', attrsAfter, attrsBefore],
      ['lost', attrsBefore, attrsAfter],
    ] as const) {
      for (const [capability, values] of Object.entries(mine)) {
        const same = capability in theirs && canonicalJson(theirs[capability] ?? null) === canonicalJson(values);
        if (same) continue;
        const id = `${direction} ${capability} ${canonicalJson(values)}`;
        const group = attributes.get(id) ?? {
          direction,
          capability,
          values: values ?? [],
          sources: createBitset(units.length),
          destinations: createBitset(units.length),
        };
        addBit(group.sources, unit.index);
        attributes.set(id, group);
      }
    }
  }
  return [...granted.values(), ...attributes.values()].flatMap((group): CapabilityChange[] => {
    const name = names[group.direction];
    const who = name(group.sources);
    const what = name(group.destinations);
    const isAttribute = isEmptyBitset(group.destinations);
    if (who.length === 0 || (!isAttribute && what.length === 0)) return [];
    const { direction, capability, values, sources, destinations } = group;
    const causes = isAttribute
      ? tracer.attribute(direction, capability)
      : tracer.capability(direction, samplePairs(sources, destinations), capability);
    return [{ direction, capability, values, who, what, causes }];
  });
};

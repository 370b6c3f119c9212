// Owners of nodes as numbers, so that a set of them is a set of bits and the profiles of one set are encoded once for all
// who are sent them. Profiles are never taken back from a client, so numbers are never used again.

import type { UserId } from '../base/ids.ts';
import type { UserProfile } from '../wire/user.ts';
import { addBit, bitsKey, createBits, eachBit } from './bits.ts';
import type { Bits } from './bits.ts';
import { encodeMember } from './fragment.ts';
import type { FragmentBudget, Member } from './fragment.ts';

export interface Owners {
  /** The number of the profile's person. A profile that differs from the one known before gets a stamp. */
  readonly index: (profile: UserProfile, stamp: () => number) => number;
  /** The stamp of the last profile that changed. */
  readonly newest: number;
  /** Those whose profile was stamped after `stamp`. */
  readonly changedSince: (stamp: number) => Bits;
  /** Members of a JSON array: the profiles of the set. */
  readonly fragment: (members: Bits) => Member;
  readonly forgetAll: () => void;
}

export const createOwners = (budget: () => FragmentBudget): Owners => {
  const indexes = new Map<UserId, number>();
  const texts: string[] = [];
  const kept = new Map<string, Member>();

  const stamps: number[] = [];
  let newest = 0;

  return {
    index: (profile, stamp) => {
      const text = JSON.stringify(profile);
      const index = indexes.get(profile.ID) ?? texts.length;
      if (texts[index] === text) return index;
      indexes.set(profile.ID, index);
      texts[index] = text;
      newest = stamp();
      stamps[index] = newest;
      for (const fragment of kept.values()) budget().drop(fragment.length, 1);
      kept.clear();
      return index;
    },
    get newest() {
      return newest;
    },
    changedSince: (stamp) => {
      const changed = createBits();
      stamps.forEach((at, i) => at > stamp && addBit(changed, i));
      return changed;
    },
    fragment: (members) => {
      const key = bitsKey(members);
      const known = kept.get(key);
      if (known) return known;
      const profiles: string[] = [];
      eachBit(members, (i) => profiles.push(texts[i] as string));
      const fragment = encodeMember(profiles.join());
      budget().keep(fragment);
      kept.set(key, fragment);
      return fragment;
    },
    forgetAll: () => kept.clear(),
  };
};

// Peers in pages of 64 places. A page is a run of peers, compressed once for all viewers that see the same of it and kept
// until one of its peers changes. Peers whose look depends on the viewer are never in a page. The page that a viewer itself
// would stand in is nobody else's; it is put together from kept groups of 8, and only the viewer's own group is made anew.

import { concatBytes } from '../base/bytes.ts';
import { addBit, addBits, createBits, hasBit } from './bits.ts';
import type { Bits } from './bits.ts';
import type { Entry, Look } from './entry.ts';
import { peerText, withoutIpv4 } from './entry.ts';
import { encodeMember, encodeOwnMember } from './fragment.ts';
import type { FragmentBudget, Member } from './fragment.ts';

/** Two words of a bit set. Larger pages compress a little better, but each change makes one anew. */
export const PAGE_SIZE = 64;
const GROUP_SIZE = 8;
const GROUPS = PAGE_SIZE / GROUP_SIZE;

export interface Page {
  readonly fragment: Member;
  /** Owners of the peers, for their profiles. */
  readonly owners: Bits;
}

/** A family of looks: viewers that don't use IPv4 see every peer without it. */
export type Family = 'both' | 'ipv6';

export const familyLook = (entry: Entry, family: Family): Look =>
  family === 'both' ? entry.common : withoutIpv4(entry.common);

export interface Pages {
  /** The peers of one page that are in `members`, from word `2 * page` on. */
  readonly page: (index: number, low: number, high: number, family: Family) => Page;
  /** The same for the page in which `own` stands, who is not its own peer: no other viewer sees this. */
  readonly ownPage: (index: number, low: number, high: number, family: Family, own: number) => Page;
  /** A peer of the page changed. */
  readonly touch: (slot: number) => void;
  readonly forgetAll: () => void;
}

/** What is kept of one page or group: by who sees it, and what was asked for last, which most viewers ask for again. */
interface Kept {
  readonly byMembers: Map<string, Page>;
  low: number;
  high: number;
  family: Family;
  last: Page;
}

export const createPages = (entryAt: (slot: number) => Entry | undefined, budget: () => FragmentBudget): Pages => {
  /** By the number of the page, and of the group. */
  const keptPages: (Kept | undefined)[] = [];
  const keptGroups: (Kept | undefined)[] = [];

  const make = (index: number, low: number, high: number, family: Family, encode: (text: string) => Member): Page => {
    const members: Bits = { words: Uint32Array.of(low, high) };
    const owners = createBits();
    const texts: string[] = [];
    for (let i = 0; i < PAGE_SIZE; i++) {
      const entry = hasBit(members, i) ? entryAt(index * PAGE_SIZE + i) : undefined;
      if (entry === undefined) continue;
      texts.push(peerText(entry, family, () => familyLook(entry, family)));
      addBit(owners, entry.ownerIndex);
    }
    return { fragment: encode(texts.join()), owners };
  };

  type From = readonly [index: number, low: number, high: number, family: Family];

  const find = (all: (Kept | undefined)[], at: number, ...[index, low, high, family]: From): Page => {
    const kept = all[at];
    if (kept?.low === low && kept.high === high && kept.family === family) return kept.last;
    const key = `${family}${low},${high}`;
    let page = kept?.byMembers.get(key);
    if (!page) {
      page = make(index, low, high, family, encodeMember);
      budget().keep(page.fragment);
    }
    // The budget may have forgotten all in the meantime.
    const byMembers = (all[at]?.byMembers ?? new Map<string, Page>()).set(key, page);
    all[at] = { byMembers, low, high, family, last: page };
    return page;
  };

  const forget = (all: (Kept | undefined)[], at: number): void => {
    const kept = all[at];
    if (!kept) return;
    all[at] = undefined;
    let sizeBytes = 0;
    for (const { fragment } of kept.byMembers.values()) sizeBytes += fragment.length;
    budget().drop(sizeBytes, kept.byMembers.size);
  };

  return {
    page: (index, low, high, family) => find(keptPages, index, index, low, high, family),
    ownPage: (index, low, high, family, own) => {
      const owners = createBits();
      const fragments: Member[] = [];
      const ownGroup = Math.floor((own % PAGE_SIZE) / GROUP_SIZE);
      for (let group = 0; group < GROUPS; group++) {
        const mask = 0xff << ((group * GROUP_SIZE) % 32);
        const [inLow, inHigh] = group < GROUPS / 2 ? [low & mask, 0] : [0, high & mask];
        if ((inLow | inHigh) === 0) continue;
        const part =
          group === ownGroup
            ? make(index, inLow, inHigh, family, encodeOwnMember)
            : find(keptGroups, index * GROUPS + group, index, inLow, inHigh, family);
        fragments.push(part.fragment);
        addBits(owners, part.owners);
      }
      return { fragment: concatBytes(...fragments), owners };
    },
    touch: (slot) => {
      forget(keptPages, Math.floor(slot / PAGE_SIZE));
      forget(keptGroups, Math.floor(slot / GROUP_SIZE));
    },
    forgetAll: () => {
      keptPages.length = 0;
      keptGroups.length = 0;
    },
  };
};

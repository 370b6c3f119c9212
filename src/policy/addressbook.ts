// The nodes' addresses in numeric order, each with its class, so that the addresses of a set of classes come out sorted
// and merged into ranges in one pass, without sorting. A node that comes or goes is put in or taken out in place.

import { addressBits, type Address } from '../base/address.ts';
import { formatRange } from '../base/ipset.ts';
import { hasBit } from './bitset.ts';
import type { AddressBook, NodeEntry, TextRange } from './state.ts';

interface Line {
  readonly bits: bigint;
  readonly address: Address;
  readonly entry: NodeEntry;
  /** The address of the line before is one less. */
  follows: boolean;
  /** The text of the range to another line, since most sets share most of their ranges. */
  rangeTo?: Line;
  rangeText?: string;
}

export const createAddressBook = (entries: () => Iterable<NodeEntry>): AddressBook => {
  // Made when it is first asked for: putting in nodes one by one is dear while there are many to come.
  let lines: { readonly 4: Line[]; readonly 6: Line[] } | undefined;

  const build = (): { readonly 4: Line[]; readonly 6: Line[] } => {
    const made: { readonly 4: Line[]; readonly 6: Line[] } = { 4: [], 6: [] };
    for (const entry of entries()) {
      for (const address of entry.node.addresses) {
        const { family, bits } = addressBits(address);
        made[family].push({ bits, address, entry, follows: false });
      }
    }
    for (const list of [made[4], made[6]]) {
      list.sort((a, b) => (a.bits < b.bits ? -1 : a.bits > b.bits ? 1 : 0));
      for (let i = 1; i < list.length; i++) link(list, i);
    }
    return made;
  };

  const place = (list: readonly Line[], bits: bigint): number => {
    let low = 0;
    let high = list.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((list[middle] as Line).bits < bits) low = middle + 1;
      else high = middle;
    }
    return low;
  };

  return {
    insert: (entry) => {
      if (!lines) return;
      for (const address of entry.node.addresses) {
        const { family, bits } = addressBits(address);
        const list = lines[family];
        const at = place(list, bits);
        list.splice(at, 0, { bits, address, entry, follows: false });
        link(list, at);
        link(list, at + 1);
      }
    },
    remove: (entry) => {
      if (!lines) return;
      for (const address of entry.node.addresses) {
        const { family, bits } = addressBits(address);
        const list = lines[family];
        let at = place(list, bits);
        while (list[at]?.bits === bits && list[at]?.entry !== entry) at++;
        if (list[at]?.bits !== bits) continue;
        list.splice(at, 1);
        link(list, at);
      }
    },
    rangesOf: (classes, family) => {
      lines ??= build();
      const ranges: TextRange[] = [];
      let from: Line | undefined;
      let to: Line | undefined;
      const close = (): void => {
        if (!from || !to) return;
        const { bits: first, address } = from;
        const last = to.bits;
        if (from !== to && from.rangeTo !== to) {
          from.rangeTo = to;
          from.rangeText = formatRange({ family, first, last });
        }
        ranges.push({ family, first, last, text: from === to ? address : (from.rangeText as string) });
      };
      // Whether the line before this one is in the set: only then a line can go on with its range.
      let inside = false;
      for (const line of lines[family]) {
        const isIn = hasBit(classes, line.entry.cls.index);
        if (isIn) {
          if (!(inside && line.follows)) {
            close();
            from = line;
          }
          to = line;
        }
        inside = isIn;
      }
      close();
      return ranges;
    },
  };
};

const link = (list: Line[], at: number): void => {
  const line = list[at];
  if (line) line.follows = at > 0 && line.bits === (list[at - 1] as Line).bits + 1n;
};

// `ipsets`: entries that add and remove addresses in order. The last entry that names an address decides, so a set is
// found in one sweep over the borders of its entries, whatever their number. References are resolved once each, and the
// total work is bounded, because sets that include sets can grow without end.

import { parseAddressBits } from '../base/address.ts';
import type { Span } from '../base/diagnostic.ts';
import { ipSetOfRanges, ipSetRanges, type IpRange, type IpSet } from '../base/ipset.ts';
import type { LocatedMember } from '../config/located.ts';
import type { Ipset } from './document.ts';
import { readTexts, type LocatedText } from './fields.ts';
import { didYouMean, quote, type Problems } from './problems.ts';
import { INTERNET_SET } from './ranges.ts';
import { parseLiteral, type Names } from './selector.ts';

/** Ranges that all sets of one policy may have together, counted at every reference. */
const RANGES_LIMIT = 200_000;

interface Entry {
  readonly adds: boolean;
  readonly ranges: readonly IpRange[];
}

const parseRange = (text: string): IpRange | undefined => {
  const dash = text.indexOf('-');
  if (dash < 0) return parseLiteral(text)?.range;
  const first = parseAddressBits(text.slice(0, dash));
  const last = parseAddressBits(text.slice(dash + 1));
  if (!first || !last || first.family !== last.family || first.bits > last.bits) return undefined;
  return { family: first.family, first: first.bits, last: last.bits };
};

/** For every address the last entry that holds it: sweeps the borders with the latest open entry on top. */
const sweep = (entries: readonly Entry[], family: 4 | 6): IpRange[] => {
  const borders: { at: bigint; order: number; opens: boolean }[] = [];
  for (const [order, { ranges }] of entries.entries()) {
    for (const range of ranges) {
      if (range.family !== family) continue;
      borders.push({ at: range.first, order, opens: true }, { at: range.last + 1n, order, opens: false });
    }
  }
  borders.sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0));
  const open = new Uint32Array(entries.length);
  // A heap of entries that opened; those that have closed again are dropped when they come to the top.
  const heap: number[] = [];
  const out: IpRange[] = [];
  let since: bigint | undefined;
  for (let i = 0; i < borders.length;) {
    const { at } = borders[i] as { at: bigint };
    while (i < borders.length && borders[i]?.at === at) {
      const { order, opens } = borders[i++] as { order: number; opens: boolean };
      if (opens) {
        if (open[order] === 0) pushHeap(heap, order);
        open[order] = (open[order] as number) + 1;
      } else open[order] = (open[order] as number) - 1;
    }
    while (heap.length > 0 && open[heap[0] as number] === 0) popHeap(heap);
    const inside = heap.length > 0 && (entries[heap[0] as number] as Entry).adds;
    if (inside && since === undefined) since = at;
    if (!inside && since !== undefined) {
      out.push({ family, first: since, last: at - 1n });
      since = undefined;
    }
  }
  return out;
};

/** A binary heap with the greatest number on top. */
const pushHeap = (heap: number[], value: number): void => {
  let i = heap.push(value) - 1;
  while (i > 0) {
    const parent = (i - 1) >>> 1;
    if ((heap[parent] as number) >= value) break;
    heap[i] = heap[parent] as number;
    i = parent;
  }
  heap[i] = value;
};

const popHeap = (heap: number[]): void => {
  const value = heap.pop() as number;
  if (heap.length === 0) return;
  let i = 0;
  for (;;) {
    let child = 2 * i + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && (heap[child + 1] as number) > (heap[child] as number)) child++;
    if (value >= (heap[child] as number)) break;
    heap[i] = heap[child] as number;
    i = child;
  }
  heap[i] = value;
};

export const combineEntries = (entries: readonly Entry[]): IpSet =>
  ipSetOfRanges([...sweep(entries, 4), ...sweep(entries, 6)]);

/** Reads and resolves all sets of a file. */
export const readIpsets = (
  problems: Problems,
  members: readonly LocatedMember[],
  hosts: Names['hosts'],
): ReadonlyMap<string, Ipset> => {
  const written = new Map<string, { readonly at: Span; readonly entries: readonly LocatedText[] }>();
  for (const member of members) {
    if (!/^ipset:\S+$/.test(member.key)) {
      problems.error('policy/bad-ipset', member.keySpan, `ipsets[${quote(member.key)}]: names begin with "ipset:"`);
    } else {
      written.set(member.key, {
        at: member.keySpan,
        entries: readTexts(problems, member, `ipsets[${quote(member.key)}]`),
      });
    }
  }
  const done = new Map<string, Ipset>();
  let rangesSpent = 0;
  const spend = (ranges: readonly IpRange[], at: Span): readonly IpRange[] => {
    const before = rangesSpent;
    rangesSpent += ranges.length;
    if (rangesSpent <= RANGES_LIMIT) return ranges;
    if (before <= RANGES_LIMIT) {
      problems.error(
        'policy/too-large',
        at,
        `The ipsets have more than ${RANGES_LIMIT} ranges together.`,
        'Sets that include sets count every range again. Name the networks once, in one set.',
      );
    }
    return [];
  };
  const rangesOf = (name: string, { text, at }: LocatedText): Entry | undefined => {
    const words = /^(?:(add|remove)\s+)?(\S+)$/.exec(text);
    const operand = words?.[2] ?? '';
    const adds = words?.[1] !== 'remove';
    const refuse = (why: string, help?: string): undefined => {
      problems.error('policy/bad-ipset', at, `ipsets[${quote(name)}]: ${quote(text)}: ${why}`, help);
      return undefined;
    };
    if (operand === 'autogroup:internet') return { adds, ranges: spend(ipSetRanges(INTERNET_SET), at) };
    if (operand.startsWith('host:')) {
      const alias = operand.slice('host:'.length);
      const host = hosts.get(alias);
      return host ? { adds, ranges: spend([host.range], at) } : refuse('host not found');
    }
    if (operand.startsWith('ipset:')) {
      const other = done.get(operand);
      if (other) return { adds, ranges: spend(ipSetRanges(other.set), at) };
      return written.has(operand)
        ? refuse('ipsets cannot include each other in a circle')
        : refuse('ipset not found', didYouMean(operand, written.keys()));
    }
    const range = parseRange(operand);
    return range
      ? { adds, ranges: spend([range], at) }
      : refuse(
          'invalid address',
          'Write `add` or `remove`, then an address, a prefix, a range a-b, host:name or ipset:name.',
        );
  };
  // Depth first without recursion: a set is resolved when everything it includes is.
  const state = new Map<string, 'open' | 'done'>();
  for (const start of written.keys()) {
    const stack = [start];
    while (stack.length > 0) {
      const name = stack.at(-1) as string;
      const source = written.get(name);
      if (!source || state.get(name) === 'done') {
        stack.pop();
        continue;
      }
      if (state.get(name) === undefined) {
        state.set(name, 'open');
        for (const { text } of source.entries) {
          const other = /(?:^|\s)(ipset:\S+)$/.exec(text)?.[1];
          if (other !== undefined && state.get(other) === undefined && written.has(other)) stack.push(other);
        }
        continue;
      }
      stack.pop();
      state.set(name, 'done');
      const entries = source.entries.flatMap((entry) => rangesOf(name, entry) ?? []);
      done.set(name, { name, at: source.at, set: combineEntries(entries) });
    }
  }
  return done;
};

// What changed for peers since a stamp, made once for all streams that were last written then. Streams are written in
// passes, so few stamps are in use at a time; a change of anything makes all of it anew.

import { patchedSince, patchText } from './entry.ts';
import type { Entry } from './entry.ts';
import { encodeMember } from './fragment.ts';
import type { Member, Message } from './fragment.ts';
import { changedSince } from './order.ts';
import type { Order } from './order.ts';

/** Entries of a chunk, so that a choice of them is two words. */
const CHUNK_SIZE = 64;
/** How many stamps are remembered with what changed since, and how many versions of a chunk. */
const MAX_DELTAS = 64;

export interface Delta {
  readonly chunks: readonly DeltaChunk[];
  /** Whether some node changed in a way that no patch can say. */
  readonly replaced: boolean;
  /** Messages of nothing but patches, by which of them. */
  readonly messages: Map<string, Message>;
}

/** Some nodes that changed. Counted from the newest change, so that most chunks are the same for many stamps. */
export interface DeltaChunk {
  readonly entries: readonly Entry[];
  /** What is in the patch of each, as bits in the order of PATCHABLE. */
  readonly contents: readonly number[];
  /** JSON of the patch of each, empty where it was replaced only. */
  readonly patches: readonly string[];
  /** By which of the entries are in it. */
  readonly fragments: Map<string, Member>;
}

/** Some entries of a chunk, as two words. */
export interface Choice {
  readonly low: number;
  readonly high: number;
}

const isChosen = ({ low, high }: Choice, i: number): boolean => ((i < 32 ? low >>> i : high >>> (i - 32)) & 1) === 1;

/** What is in the patches of the chosen entries, as bits in the order of PATCHABLE. */
export const contentsOf = (chunks: readonly DeltaChunk[], chosen: readonly Choice[]): number => {
  let bits = 0;
  for (const [at, { contents }] of chunks.entries()) {
    for (const [i, content] of contents.entries()) if (isChosen(chosen[at] as Choice, i)) bits |= content;
  }
  return bits;
};

/** The patches of the chosen entries, as members of a JSON array. */
export const chunkFragment = (chunk: DeltaChunk, choice: Choice): Member => {
  const key = `${choice.low},${choice.high}`;
  let fragment = chunk.fragments.get(key);
  if (!fragment) {
    fragment = encodeMember(chunk.patches.filter((_, i) => isChosen(choice, i)).join());
    chunk.fragments.set(key, fragment);
  }
  return fragment;
};

const equal = (a: readonly number[], b: readonly number[]): boolean =>
  a.length === b.length && a.every((value, i) => value === b[i]);

/** Remembers deltas as long as `stampNow` stays the same. */
export const createDeltas = (order: Order, stampNow: () => number): ((since: number) => Delta) => {
  const deltas = new Map<number, Delta>();
  /** By place. Chunks of one place begin with the same node, so they are equal if the contents of their patches are. */
  const chunks: DeltaChunk[][] = [];
  let madeAt = -1;

  const chunkAt = (place: number, entries: readonly Entry[], since: number): DeltaChunk => {
    const contents = entries.map((entry) => patchedSince(entry, since));
    const made = (chunks[place] ??= []);
    const known = made.find((chunk) => equal(chunk.contents, contents));
    if (known) return known;
    const patches = entries.map((entry, i) => patchText(entry, contents[i] as number));
    const chunk: DeltaChunk = { entries, contents, patches, fragments: new Map() };
    if (made.length < MAX_DELTAS) made.push(chunk);
    return chunk;
  };

  return (since) => {
    if (madeAt !== stampNow()) chunks.length = 0;
    if (madeAt !== stampNow() || deltas.size >= MAX_DELTAS) deltas.clear();
    madeAt = stampNow();
    let delta = deltas.get(since);
    if (!delta) {
      const changed = changedSince(order, since);
      const list: DeltaChunk[] = [];
      for (let at = 0; at < changed.length; at += CHUNK_SIZE) {
        list.push(chunkAt(list.length, changed.slice(at, at + CHUNK_SIZE), since));
      }
      delta = { chunks: list, replaced: changed.some((entry) => entry.replacedAt > since), messages: new Map() };
      deltas.set(since, delta);
    }
    return delta;
  };
};

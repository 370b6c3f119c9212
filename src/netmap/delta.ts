// What changed for peers since a stamp, made once for all streams that were last written then. Streams are written in
// passes, so few stamps are in use at a time; a change of anything makes all of it anew.

import { patchedSince, patchText } from './entry.ts';
import type { Entry } from './entry.ts';
import { encodeFragment } from './fragment.ts';
import type { Fragment, Message } from './fragment.ts';
import { changedSince } from './order.ts';
import type { Order } from './order.ts';

/** Entries of a chunk, so that a choice of them is two words. */
const CHUNK_SIZE = 64;
/** How many stamps are remembered with what changed since. */
const MAX_DELTAS = 64;

export interface Delta {
  readonly chunks: readonly DeltaChunk[];
  /** Whether some node changed in a way that no patch can say. */
  readonly replaced: boolean;
  /** Messages of nothing but patches, by which of them. */
  readonly messages: Map<string, Message>;
}

export interface DeltaChunk {
  readonly entries: readonly Entry[];
  /** JSON of the patch of each entry since the stamp, empty where it was replaced only. */
  readonly patches: readonly string[];
  /** What is in each patch, as bits in the order of PATCHABLE. */
  readonly contents: readonly number[];
  /** By which of the entries are in it. */
  readonly fragments: Map<string, Fragment>;
}

const makeDelta = (order: Order, since: number): Delta => {
  const changed = changedSince(order, since);
  const chunks: DeltaChunk[] = [];
  for (let at = 0; at < changed.length; at += CHUNK_SIZE) {
    const entries = changed.slice(at, at + CHUNK_SIZE);
    chunks.push({
      entries,
      patches: entries.map((entry) => patchText(entry, since)),
      contents: entries.map((entry) => patchedSince(entry, since)),
      fragments: new Map(),
    });
  }
  return { chunks, replaced: changed.some((entry) => entry.replacedAt > since), messages: new Map() };
};

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
export const chunkFragment = (chunk: DeltaChunk, choice: Choice): Fragment => {
  const key = `${choice.low},${choice.high}`;
  let fragment = chunk.fragments.get(key);
  if (!fragment) {
    fragment = encodeFragment(chunk.patches.filter((_, i) => isChosen(choice, i)).join());
    chunk.fragments.set(key, fragment);
  }
  return fragment;
};

/** Remembers deltas as long as `stampNow` stays the same. */
export const createDeltas = (order: Order, stampNow: () => number): ((since: number) => Delta) => {
  const deltas = new Map<number, Delta>();
  let madeAt = -1;
  return (since) => {
    if (madeAt !== stampNow() || deltas.size >= MAX_DELTAS) {
      deltas.clear();
      madeAt = stampNow();
    }
    let delta = deltas.get(since);
    if (!delta) {
      delta = makeDelta(order, since);
      deltas.set(since, delta);
    }
    return delta;
  };
};

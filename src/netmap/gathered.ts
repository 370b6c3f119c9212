// Whole peers of one message, and peers that go, as they are gathered. Messages are made one after the other, so one of
// these serves all of them.

import type { NodeId } from '../base/ids.ts';
import { clearBits, createBits } from './bits.ts';
import type { Bits } from './bits.ts';
import type { Member } from './fragment.ts';

export interface Gathered {
  /** Slots of those that are sent in pages. */
  readonly paged: Bits;
  /** Peers whose look is this viewer's. */
  readonly alone: Member[];
  /** Slots of all that are sent whole, and of those among them that the client did not have. */
  readonly upserted: Bits;
  readonly fresh: Bits;
  /** The people behind them. */
  readonly owners: Bits;
  readonly removed: NodeId[];
  count: number;
}

export const createGathered = (): Gathered => ({
  paged: createBits(),
  alone: [],
  upserted: createBits(),
  fresh: createBits(),
  owners: createBits(),
  removed: [],
  count: 0,
});

/** Empties it, for the next message. */
export const clearGathered = (gathered: Gathered): Gathered => {
  clearBits(gathered.paged);
  clearBits(gathered.upserted);
  clearBits(gathered.fresh);
  clearBits(gathered.owners);
  gathered.alone.length = 0;
  gathered.removed.length = 0;
  gathered.count = 0;
  return gathered;
};

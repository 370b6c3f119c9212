// Two tailnets side by side, with the units in which they are compared and the names that either side has for them.

import { createNaming, type Naming } from './naming.ts';
import type { ReviewedTailnet } from './tailnet.ts';
import { createUnits, type Unit } from './units.ts';

export type Direction = 'gained' | 'lost';

export interface Comparison {
  readonly before: ReviewedTailnet;
  readonly after: ReviewedTailnet;
  readonly units: readonly Unit[];
  /** What was gained has names in the new tailnet, what was lost in the old one. */
  readonly names: Readonly<Record<Direction, Naming>>;
}

export const createComparison = (before: ReviewedTailnet, after: ReviewedTailnet): Comparison => {
  const units = createUnits(before.side, after.side);
  return { before, after, units, names: { gained: createNaming(after, units), lost: createNaming(before, units) } };
};

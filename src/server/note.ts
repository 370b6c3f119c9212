// Lines of the log about what clients and strangers do. Each of these costs them one request, so a machine, and a network from
// which strangers come, may fill only so much of the disk; what was left out is counted on the next line of its kind.

import type { Note } from '../control/ports.ts';
import { createRates, networkOf } from '../base/census.ts';

/** Lines of one kind about one machine or network: at once, and for a long time. */
const BURST = 60;
const PER_SECOND = 0.1;
/** Of one kind about all networks together: strangers can come from many. */
const ALL_BURST = 600;
const ALL_PER_SECOND = 2;

export const limitNotes = (note: Note, now: () => number): Note => {
  const rates = createRates(PER_SECOND, BURST);
  const all = createRates(ALL_PER_SECOND, ALL_BURST);
  /** By kind, of which there are as many as the code has. */
  const leftOut = new Map<string, number>();

  /** Faults, and what nobody outside brings about, are told each time. */
  const isTold = (event: string, { node, remote }: Readonly<Record<string, unknown>>): boolean => {
    if (typeof node === 'string') return rates.allows(`${event} ${node}`, now());
    if (typeof remote !== 'string') return true;
    return rates.allows(`${event} ${networkOf(remote)}`, now()) && all.allows(event, now());
  };

  return (level, event, fields = {}) => {
    if (level !== 'error' && !isTold(event, fields)) {
      leftOut.set(event, (leftOut.get(event) ?? 0) + 1);
      return;
    }
    const missing = leftOut.get(event);
    leftOut.delete(event);
    note(level, event, missing === undefined ? fields : { ...fields, leftOut: missing });
  };
};

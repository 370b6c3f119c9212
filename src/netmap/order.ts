// The order in which nodes last changed, newest first: a doubly linked list through the entries. Moving an entry to the
// front costs nothing, and what changed after a given stamp is read from the front without looking at the rest.

import type { Entry } from './entry.ts';

export interface Order {
  newest: Entry | null;
}

export const unlink = (order: Order, entry: Entry): void => {
  if (entry.newer) entry.newer.older = entry.older;
  else if (order.newest === entry) order.newest = entry.older;
  if (entry.older) entry.older.newer = entry.newer;
  entry.newer = null;
  entry.older = null;
};

export const moveToFront = (order: Order, entry: Entry): void => {
  if (order.newest === entry) return;
  unlink(order, entry);
  entry.older = order.newest;
  if (order.newest) order.newest.newer = entry;
  order.newest = entry;
};

/** Those that changed after `since`, newest first. */
export const changedSince = (order: Order, since: number): Entry[] => {
  const changed: Entry[] = [];
  for (let entry = order.newest; entry !== null && entry.changedAt > since; entry = entry.older) changed.push(entry);
  return changed;
};

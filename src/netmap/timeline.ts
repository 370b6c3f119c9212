// The last messages to each node, for people who ask what a node was told, when and why.

import type { NodeId } from '../base/ids.ts';

export interface TimelineEntry {
  readonly atMs: number;
  readonly kind: 'full' | 'delta';
  /** Fields of tailcfg.MapResponse in the message, lists of peers with their number: `PeersChangedPatch(3: endpoints)`. */
  readonly fields: readonly string[];
  /** What made the stream look: `start`, `snapshot`, `node` (itself), `peers` (whom it sees, or what they are shown). */
  readonly causes: readonly string[];
  readonly sizeBytes: number;
  /** Whether it made a client of this version work out its whole netmap anew. */
  readonly rebuild: boolean;
}

/** Messages kept for each node. */
const KEPT = 16;

export interface Timeline {
  readonly note: (id: NodeId, entry: TimelineEntry) => void;
  readonly read: (id: NodeId) => readonly TimelineEntry[];
  readonly forget: (id: NodeId) => void;
}

export const createTimeline = (): Timeline => {
  const rings = new Map<NodeId, TimelineEntry[]>();
  return {
    note: (id, entry) => {
      const ring = rings.get(id);
      if (!ring) rings.set(id, [entry]);
      else {
        if (ring.length >= KEPT) ring.shift();
        ring.push(entry);
      }
    },
    read: (id) => [...(rings.get(id) ?? [])],
    forget: (id) => void rings.delete(id),
  };
};

// When node keys end.

import type { Tag } from '../base/ids.ts';
import type { NodeRecord } from '../registry/record.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';

export const isExpired = (node: NodeRecord, nowMs: number): boolean =>
  node.expiresMs !== null && node.expiresMs <= nowMs;

/** When a node key made now ends: tagged nodes have no person to renew it, and nobody gets longer than the tailnet gives. */
export const keyExpiry = (
  snapshot: Snapshot,
  nowMs: number,
  tags: readonly Tag[],
  requestedMs: number | null,
): number | null => {
  const lifeMs = tags.length > 0 ? null : snapshot.tailnet.nodes.keyExpiryMs;
  const dueMs = lifeMs === null ? null : nowMs + lifeMs;
  if (requestedMs === null || requestedMs <= nowMs) return dueMs;
  return dueMs === null ? requestedMs : Math.min(dueMs, requestedMs);
};

// When node keys end: what the tailnet gives, what nodes.json5 says of one node, and never later than the client wished.

import type { Tag } from '../base/ids.ts';
import { accept, type Outcome } from '../base/outcome.ts';
import type { NodeRecord } from '../registry/record.ts';
import type { Registry } from '../registry/registry.ts';
import { declarationOf } from '../snapshot/lookup.ts';
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
  return expiryAfter(lifeMs, nowMs, requestedMs);
};

const expiryAfter = (lifeMs: number | null, nowMs: number, requestedMs: number | null): number | null => {
  const dueMs = lifeMs === null ? null : nowMs + lifeMs;
  if (requestedMs === null || requestedMs <= nowMs) return dueMs;
  return dueMs === null ? requestedMs : Math.min(dueMs, requestedMs);
};

/** Gives a node that has just logged in the life that nodes.json5 declares for it: only now it has the name that selects it. */
export const declareExpiry = async (
  node: NodeRecord,
  requestedMs: number | null,
  ports: { readonly snapshot: () => Snapshot; readonly registry: Registry; readonly now: () => number },
): Promise<Outcome<NodeRecord>> => {
  const { stableId, name: label, login: owner, tags } = node;
  const lifeMs = declarationOf(ports.snapshot(), { stableId, label, owner, tags })?.keyExpiryMs;
  if (lifeMs === undefined) return accept(node);
  const expiresMs = expiryAfter(lifeMs, ports.now(), requestedMs);
  const outcome = await ports.registry.apply({ kind: 'set-expiry', id: node.id, expiresMs });
  return outcome.ok ? accept(outcome.value.node ?? node) : outcome;
};

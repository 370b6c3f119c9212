// Which subnet routers are there to carry traffic, and since when. A router that was away comes back behind those that
// stayed, and so does a subnet that it withdrew or that was taken from it, so that traffic moves when it must and not a
// second time.

import { isExitRoute, type Prefix } from '../base/address.ts';
import type { NodeId } from '../base/ids.ts';
import type { ResolvedNode } from './resolve.ts';

export interface Life {
  readonly isOnline: (id: NodeId) => boolean;
  readonly online: () => number;
  readonly setOnline: (id: NodeId, online: boolean) => void;
  /** A silent node is connected, or was until a moment ago, and doesn't answer. */
  readonly setSilent: (id: NodeId, silent: boolean) => void;
  readonly isAlive: (id: NodeId) => boolean;
  /** The node with what is known of its life, for the policy's choice of routers. */
  readonly note: (node: ResolvedNode) => ResolvedNode;
  readonly forget: (id: NodeId) => void;
}

export const createLife = (): Life => {
  const online = new Set<NodeId>();
  const silent = new Set<NodeId>();
  /** Of routers that are alive: since when they carry each route. A count and no time, as clocks are set back. */
  const carried = new Map<NodeId, ReadonlyMap<Prefix, number>>();
  let turn = 0;
  const isAlive = (id: NodeId): boolean => online.has(id) && !silent.has(id);

  return {
    isOnline: (id) => online.has(id),
    online: () => online.size,
    setOnline: (id, now) => {
      if (now) online.add(id);
      else online.delete(id);
    },
    setSilent: (id, now) => {
      if (now) silent.add(id);
      else silent.delete(id);
    },
    isAlive,
    note: (node) => {
      const { id } = node.record;
      if (node.approvedRoutes.length === 0) {
        carried.delete(id);
        return node;
      }
      const alive = isAlive(id);
      const before = carried.get(id);
      const since = new Map<Prefix, number>();
      if (alive) {
        turn++;
        for (const route of node.approvedRoutes) since.set(route, before?.get(route) ?? turn);
        carried.set(id, since);
      } else carried.delete(id);
      const carriesSince = node.approvedRoutes.map((route) => since.get(route) ?? 0);
      return { ...node, policyNode: { ...node.policyNode, alive, carriesSince } };
    },
    forget: (id) => {
      online.delete(id);
      silent.delete(id);
      carried.delete(id);
    },
  };
};

/** Routers that share a subnet with another one. Exit nodes are chosen by people, so they stand in for nobody. */
export const sharingRouters = (routers: Iterable<ResolvedNode>): Set<NodeId> => {
  const first = new Map<string, NodeId>();
  const sharing = new Set<NodeId>();
  for (const { record, approvedRoutes, authorized } of routers) {
    if (!authorized) continue;
    for (const route of approvedRoutes) {
      if (isExitRoute(route)) continue;
      const other = first.get(route);
      if (other === undefined) first.set(route, record.id);
      else sharing.add(other).add(record.id);
    }
  }
  return sharing;
};

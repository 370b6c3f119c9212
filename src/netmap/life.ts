// Which subnet routers are there to carry traffic, and since when. A router that was away comes back behind those that
// stayed, and so does a subnet that it withdrew or that was taken from it, so that traffic moves when it must and not a
// second time.

import { isExitRoute, type Prefix } from '../base/address.ts';
import type { NodeId } from '../base/ids.ts';
import type { ResolvedNode } from './resolve.ts';

/** Since when routers carry their subnets: a count that only grows. */
export type RouterOrder = ReadonlyMap<NodeId, ReadonlyMap<Prefix, number>>;

export interface Life {
  readonly order: () => RouterOrder;
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

/** `before`: the order when the server last stopped, as its stop is no break. `onOrder` is called when it changes. */
export const createLife = (before: RouterOrder = new Map(), onOrder: () => void = () => undefined): Life => {
  const online = new Set<NodeId>();
  const silent = new Set<NodeId>();
  /** Of routers that are alive: since when they carry each route. A count and no time, as clocks are set back. */
  const carried = new Map<NodeId, ReadonlyMap<Prefix, number>>();
  /** Of routers that have not been seen since the start. */
  const remembered = new Map(before);
  let turn = Math.max(0, ...Array.from(before.values(), (routes) => Math.max(0, ...routes.values())));
  const isAlive = (id: NodeId): boolean => online.has(id) && !silent.has(id);

  return {
    order: () => carried,
    isOnline: (id) => online.has(id),
    online: () => online.size,
    setOnline: (id, now) => {
      if (now) online.add(id);
      else {
        online.delete(id);
        remembered.delete(id);
      }
    },
    setSilent: (id, now) => {
      if (now) {
        silent.add(id);
        remembered.delete(id);
      } else silent.delete(id);
    },
    isAlive,
    note: (node) => {
      const { id } = node.record;
      if (node.approvedRoutes.length === 0) {
        if (carried.delete(id)) onOrder();
        return node;
      }
      const alive = isAlive(id);
      // One that is not let in carries nothing, whatever was approved.
      const carries = alive && node.authorized;
      const known = carried.get(id) ?? (carries ? remembered.get(id) : undefined);
      const since = new Map<Prefix, number>();
      if (carries) {
        const fresh = node.approvedRoutes.some((route) => known?.get(route) === undefined);
        if (fresh) turn++;
        for (const route of node.approvedRoutes) since.set(route, known?.get(route) ?? turn);
        carried.set(id, since);
        remembered.delete(id);
        if (fresh || since.size !== known?.size) onOrder();
      } else if (carried.delete(id)) onOrder();
      const carriesSince = node.approvedRoutes.map((route) => since.get(route) ?? 0);
      return { ...node, policyNode: { ...node.policyNode, alive, carriesSince } };
    },
    forget: (id) => {
      online.delete(id);
      silent.delete(id);
      remembered.delete(id);
      if (carried.delete(id)) onOrder();
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

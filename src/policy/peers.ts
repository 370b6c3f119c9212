// Who sees whom, and as what. Seeing is mutual: two nodes see each other where the filter of one names the other as a
// source. How a peer looks depends on the viewer only in its routes and in IPv4 being off, so views are few and shared.

import { familyOf, hostPrefix, type Address, type Prefix } from '../base/address.ts';
import type { NodeId } from '../base/ids.ts';
import type { CapMap } from '../wire/filter.ts';
import { hasNoIpv4 } from './attributes.ts';
import { bitsOf, forEachBit, hasBit, type Bitset } from './bitset.ts';
import type { PolicyNode } from './facts.ts';
import { ownPeers } from './own.ts';
import { mayExitThrough, routerFor } from './routers.ts';
import type { Membership, NodeEntry, NodeSet, PeerView } from './state.ts';

/** What a node is told of itself. */
export interface SelfView {
  readonly addresses: readonly Address[];
  readonly allowedIPs: readonly Prefix[];
  readonly primaryRoutes: readonly Prefix[];
}

/** Nodes of classes, and some nodes more. */
export const nodeSetOf = (state: Membership, classes: Bitset, more: ReadonlySet<NodeId> = NONE): NodeSet => {
  const isInClasses = (id: NodeId): boolean => {
    const entry = state.nodes.get(id);
    return entry !== undefined && hasBit(classes, entry.cls.index);
  };
  let counted: number | undefined;
  return {
    has: (id) => isInClasses(id) || (more.has(id) && state.nodes.has(id)),
    get size() {
      if (counted === undefined) {
        let size = 0;
        forEachBit(classes, (index) => {
          size += state.classes[index]?.members.size ?? 0;
        });
        for (const id of more) if (state.nodes.has(id) && !isInClasses(id)) size++;
        counted = size;
      }
      return counted;
    },
    *[Symbol.iterator]() {
      for (const index of bitsOf(classes)) yield* state.classes[index]?.members ?? [];
      for (const id of more) if (state.nodes.has(id) && !isInClasses(id)) yield id;
    },
  };
};

const NONE: ReadonlySet<NodeId> = new Set();

/** One object for all viewers that see the same, until somebody of the set comes, goes or changes. */
export const visiblePeers = (state: Membership, entry: NodeEntry): NodeSet => {
  const { cls } = entry;
  // First of all, as listing a user's devices costs their number.
  const known = cls.tagged || entry.node.user === null ? undefined : cls.peerSets.get(entry.node.user);
  if (known) return known;
  const own = ownPeers(state, entry);
  const owner = own.size > 0 ? entry.node.user : null;
  let set = cls.peerSets.get(owner);
  if (!set) {
    set = nodeSetOf(state, state.visibleOf(cls), own);
    cls.peerSets.set(owner, set);
  }
  return set;
};

export const sees = (state: Membership, a: NodeEntry, b: NodeEntry): boolean => {
  if (a === b) return false;
  if (hasBit(state.visibleOf(a.cls), b.cls.index)) return true;
  const sameUser = !a.cls.tagged && !b.cls.tagged && a.node.user !== null && a.node.user === b.node.user;
  return sameUser && (a.cls.selfSource || b.cls.selfSource);
};

const EXIT_NODE: CapMap = Object.freeze({ 'suggest-exit-node': null });
const NO_CAPS: CapMap = Object.freeze({});

const addressesSeen = (node: PolicyNode, v6Only: boolean): readonly Address[] =>
  v6Only ? node.addresses.filter((address) => familyOf(address) === 6) : node.addresses;

/** How the peer looks to the viewer, which is supposed to see it. */
export const peerView = (state: Membership, viewer: NodeEntry, peer: NodeEntry): PeerView => {
  const v6Only = hasNoIpv4(state, viewer.cls) || hasNoIpv4(state, peer.cls);
  const { routes, exitRoutes } = peer.cls;
  const seenRoutes =
    routes.length === 0 ? NO_ROUTES : routes.filter((route) => routerFor(state, viewer.cls, route) === peer.node.id);
  const exits = exitRoutes.length > 0 && mayExitThrough(state, viewer.cls, peer.cls);
  const key = `${v6Only ? 6 : ''}${exits ? 'exit' : ''} ${seenRoutes.join(' ')}`;
  let view = peer.views.get(key);
  if (!view) {
    const addresses = addressesSeen(peer.node, v6Only);
    view = Object.freeze({
      node: peer.node,
      addresses,
      allowedIPs: [...addresses.map(hostPrefix), ...seenRoutes, ...(exits ? exitRoutes : [])],
      primaryRoutes: seenRoutes,
      capMap: exitRoutes.length > 0 ? EXIT_NODE : NO_CAPS,
    });
    peer.views.set(key, view);
  }
  return view;
};

const NO_ROUTES: readonly Prefix[] = [];

export const selfView = (state: Membership, { node, cls }: NodeEntry): SelfView => {
  const addresses = addressesSeen(node, hasNoIpv4(state, cls));
  return {
    addresses,
    allowedIPs: [...addresses.map(hostPrefix), ...cls.routes, ...cls.exitRoutes],
    primaryRoutes: cls.routes.filter((route) => state.routes.routersOf(route)[0]?.id === node.id),
  };
};

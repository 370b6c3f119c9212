// What the declarations say about a registered node. Selectors are indexed once for each snapshot, so that a lookup costs
// the node and not the number of entries.

import { EXIT_ROUTES, type Prefix } from '../base/address.ts';
import { selectorKey, type NodeSelector } from '../config/selector.ts';
import type { HiddenRegions } from '../config/derp.ts';
import type { NodeDeclaration } from '../config/nodes.ts';
import type { RouteApproval } from '../config/routes.ts';
import type { SelectableNode, Snapshot } from './snapshot.ts';

/** Every selector key that a node answers to, the most exact first. */
const keysOf = (node: SelectableNode): string[] => [
  selectorKey({ by: 'id', id: node.stableId } as NodeSelector),
  ...(node.owner === null ? [] : [selectorKey({ by: 'owner', name: node.label, owner: node.owner } as NodeSelector)]),
  ...node.tags.map((tag) => selectorKey({ by: 'tag', name: node.label, tag } as NodeSelector)),
  ...node.tags.map((tag) => selectorKey({ by: 'tag', tag } as NodeSelector)),
];

const indexed = <T extends { readonly node: NodeSelector }>(
  list: (snapshot: Snapshot) => readonly T[],
): ((snapshot: Snapshot, node: SelectableNode) => T[]) => {
  const indexes = new WeakMap<Snapshot, Map<string, T[]>>();
  return (snapshot, node) => {
    let index = indexes.get(snapshot);
    if (!index) {
      index = Map.groupBy(list(snapshot), (entry) => selectorKey(entry.node));
      indexes.set(snapshot, index);
    }
    return keysOf(node).flatMap((key) => index.get(key) ?? []);
  };
};

const declarations = indexed<NodeDeclaration>((snapshot) => snapshot.nodes);
const approvals = indexed<RouteApproval>((snapshot) => snapshot.routes);
const hidings = indexed<HiddenRegions>((snapshot) => snapshot.derp.hide);

/**
 * What nodes.json5 says about a node. Where several entries match, the most exact one counts alone: the id, then the name,
 * then the tag.
 */
export const declarationOf = (snapshot: Snapshot, node: SelectableNode): NodeDeclaration | undefined =>
  declarations(snapshot, node)[0];

/**
 * What routes.json5 approves for a node: the subnets of every entry that matches, and both exit routes for an exit node.
 * An advertised route is approved if one of these contains it (an exit route only if it is here itself).
 */
export const approvedRoutesOf = (snapshot: Snapshot, node: SelectableNode): readonly Prefix[] => {
  const routes = new Set<Prefix>();
  for (const { subnets, exitNode } of approvals(snapshot, node)) {
    for (const subnet of subnets) routes.add(subnet);
    if (exitNode) for (const route of EXIT_ROUTES) routes.add(route);
  }
  return [...routes];
};

/** The entries of routes.json5 that match a node. */
export const approvalsOf = (snapshot: Snapshot, node: SelectableNode): readonly RouteApproval[] =>
  approvals(snapshot, node);

/** Codes and ids of the regions that derp.json5 hides from a node, sorted: the same for nodes that are told the same. */
export const hiddenRegionsOf = (snapshot: Snapshot, node: SelectableNode): readonly string[] => {
  if (snapshot.derp.hide.length === 0) return [];
  const names = hidings(snapshot, node).flatMap(({ regions }) => regions.map(({ region }) => region));
  return [...new Set(names)].sort();
};

const steering = new WeakMap<Snapshot, boolean>();

/** Whether some node is declared with a priority as an exit node: then clients go by these. */
export const hasExitPriorities = (snapshot: Snapshot): boolean => {
  let known = steering.get(snapshot);
  if (known === undefined) {
    known = snapshot.nodes.some(({ location }) => location?.priority !== undefined);
    steering.set(snapshot, known);
  }
  return known;
};

// Approved subnets and who carries them. Of several routers for one subnet a viewer uses one: the one that has been alive
// for longest, or else the eldest, among those whose filter lets the viewer through to the subnet; failing these, the eldest of all where the traffic goes
// the other way. The choice is made per class of viewers and kept until the routers of the subnet change.

import { prefixRange, type Prefix } from '../base/address.ts';
import { ipSetOfRanges, setTouches, type IpSet } from '../base/ipset.ts';
import type { NodeId } from '../base/ids.ts';
import { hasBit } from './bitset.ts';
import { keptRules } from './filter.ts';
import type { PolicyNode } from './facts.ts';
import { INTERNET_SET } from './ranges.ts';
import type { Membership, NodeClass, NodeEntry, Route, RouteTable, SetState } from './state.ts';

const sinceOf = ({ approvedRoutes, carriesSince }: PolicyNode, prefix: Prefix): number =>
  carriesSince?.[approvedRoutes.indexOf(prefix)] ?? 0;

const bySeniority =
  (prefix: Prefix) =>
  (a: PolicyNode, b: PolicyNode): number =>
    Number(b.alive ?? true) - Number(a.alive ?? true) ||
    sinceOf(a, prefix) - sinceOf(b, prefix) ||
    a.createdMs - b.createdMs ||
    a.id - b.id;

export const createRouteTable = (policy: Membership['policy']): RouteTable => {
  const routes = new Map<Prefix, Route>();
  let prefixes: { readonly texts: readonly string[]; readonly set: IpSet } | undefined;
  let epoch = 0;
  const overlappingSets = (set: IpSet): number[] =>
    policy.sourceSets.flatMap(({ id, atoms, any, dangerAll }) => {
      if (any || dangerAll) return [id];
      const touches = atoms.some((atom) => {
        const found = policy.atoms[atom];
        return found?.kind === 'address' && overlaps(found.set, set);
      });
      return touches ? [id] : [];
    });
  return {
    prefixes: () =>
      (prefixes ??= {
        texts: [...routes.keys()].sort(),
        set: ipSetOfRanges([...routes.keys()].map((prefix) => prefixRange(prefix))),
      }),
    add: (node, added) => {
      for (const prefix of added) {
        const known = routes.get(prefix);
        if (known) {
          known.routers = [...known.routers, node].sort(bySeniority(prefix));
          known.epoch = ++epoch;
        } else {
          const set = ipSetOfRanges([prefixRange(prefix)]);
          routes.set(prefix, { prefix, set, routers: [node], epoch: ++epoch, overlapping: overlappingSets(set) });
          prefixes = undefined;
        }
      }
    },
    remove: (node, removed) => {
      for (const prefix of removed) {
        const known = routes.get(prefix);
        if (!known) continue;
        known.routers = known.routers.filter(({ id }) => id !== node.id);
        known.epoch = ++epoch;
        if (known.routers.length === 0) {
          routes.delete(prefix);
          prefixes = undefined;
        }
      }
    },
    routersOf: (prefix) => routes.get(prefix)?.routers ?? [],
    get: (prefix) => routes.get(prefix),
  };
};

const overlaps = (a: IpSet, b: IpSet): boolean =>
  b.v4.some((range) => setTouches(a, range)) || b.v6.some((range) => setTouches(a, range));

/** Whether the filter of the router's class lets viewers of `cls` through to the subnet. */
const carriesFor = (state: Membership, router: NodeClass, route: Route, viewer: NodeClass): boolean =>
  keptRules(state, router).some(({ rule, parts }) => {
    if (!hasBit((state.sets[rule.sources] as SetState).touch, viewer.index)) return false;
    return parts.some((part) => {
      if (part.kind === 'own') return false;
      if (part.kind === 'any') return true;
      return overlaps(part.kind === 'internet' ? INTERNET_SET : part.atom.set, route.set);
    });
  });

/** The router through which viewers of the class reach the subnet, if any. */
export const routerFor = (state: Membership, viewer: NodeClass, prefix: Prefix): NodeId | undefined => {
  const route = state.routes.get(prefix);
  if (!route) return undefined;
  const known = viewer.routerChoices.get(prefix);
  if (known?.epoch === route.epoch) return known.router;
  const router = chooseRouter(state, viewer, route);
  viewer.routerChoices.set(prefix, { epoch: route.epoch, router });
  return router;
};

const chooseRouter = (state: Membership, viewer: NodeClass, route: Route): NodeId | undefined => {
  for (const { id } of route.routers) {
    if (carriesFor(state, (state.nodes.get(id) as NodeEntry).cls, route, viewer)) return id;
  }
  const answers = route.overlapping.some((id) => hasBit((state.sets[id] as SetState).receivers, viewer.index));
  return answers || viewer.routes.includes(route.prefix) ? route.routers[0]?.id : undefined;
};

/** Whether viewers of the class may leave to the internet through nodes of `exit`. */
export const mayExitThrough = (state: Membership, viewer: NodeClass, exit: NodeClass): boolean =>
  exit.exitRoutes.length > 0 &&
  keptRules(state, exit).some(
    ({ rule, parts }) =>
      hasBit((state.sets[rule.sources] as SetState).touch, viewer.index) &&
      parts.some(({ kind }) => kind === 'any' || kind === 'internet'),
  );

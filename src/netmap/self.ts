// What a node is told of itself. What it reported itself — endpoints, home, disco key, machine — is there for tools that
// read the map, but a change of it is never sent back to the node that reported it.

import type { CapMap } from '../wire/filter.ts';
import { formatNode } from '../wire/node.ts';
import type { Node } from '../wire/node.ts';
import { accountProfile } from './account.ts';
import { commonLook, wireNode } from './entry.ts';
import type { Entry } from './entry.ts';
import { baselineCaps } from './settings.ts';
import type { World } from './world.ts';

/** A client with these goes on as if strangers could reach it; without, it asks the server, which says why they can't. */
const FUNNEL = /^(?:funnel$|https:\/\/tailscale\.com\/cap\/(?:funnel-ports|warn-funnel))/;

/** What the policy gives is one object for many nodes, and rarely has any of them. */
const withoutFunnel = (caps: CapMap): CapMap =>
  Object.hasOwn(caps, 'funnel')
    ? Object.fromEntries(Object.entries(caps).filter(([name]) => !FUNNEL.test(name)))
    : caps;

/** JSON of the node, and a text that is equal as long as nothing changed that the node must be told. */
export const selfTexts = (world: World, entry: Entry): { readonly text: string; readonly key: string } => {
  const { node } = entry;
  const takesPart = world.population.node(entry.id) !== undefined;
  const look = takesPart ? world.population.selfView(entry.id) : commonLook(node.addresses);
  const routableIPs = node.hostinfo.RoutableIPs;
  const self: Node = {
    ...wireNode(entry, {
      ...look,
      capMap: takesPart
        ? { ...baselineCaps(world.snapshot, world.certificates), ...withoutFunnel(world.population.capsFor(entry.id)) }
        : {},
    }),
    User: accountProfile(world.snapshot, node).ID,
    Machine: node.record.machineKey,
    Hostinfo: { ...entry.hostinfo, ...(routableIPs !== undefined && { RoutableIPs: routableIPs }) },
    MachineAuthorized: takesPart,
    Online: true,
  };
  const { DiscoKey, lastSeenMs, ...told } = self;
  const text = formatNode({ ...told, ...(DiscoKey !== undefined && { DiscoKey }) });
  void lastSeenMs;
  const key = formatNode({ ...told, Endpoints: [], HomeDERP: 0, Cap: 0, Hostinfo: { ...(routableIPs !== undefined && { RoutableIPs: routableIPs }) } }); // prettier-ignore
  return { text, key };
};

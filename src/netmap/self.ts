// What a node is told of itself. What it reported itself — endpoints, home, disco key, machine — is there for tools that
// read the map, but a change of it is never sent back to the node that reported it.

import { formatNode } from '../wire/node.ts';
import type { Node } from '../wire/node.ts';
import { accountProfile } from './account.ts';
import { commonLook, wireNode } from './entry.ts';
import type { Entry } from './entry.ts';
import { baselineCaps } from './settings.ts';
import type { World } from './world.ts';

/** JSON of the node, and a text that is equal as long as nothing changed that the node must be told. */
export const selfTexts = (world: World, entry: Entry): { readonly text: string; readonly key: string } => {
  const { node } = entry;
  const takesPart = world.population.node(entry.id) !== undefined;
  const look = takesPart ? world.population.selfView(entry.id) : commonLook(node.addresses);
  const routableIPs = node.hostinfo.RoutableIPs;
  const self: Node = {
    ...wireNode(entry, {
      ...look,
      capMap: takesPart ? { ...baselineCaps(world.snapshot), ...world.population.capsFor(entry.id) } : {},
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

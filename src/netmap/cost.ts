// What a message costs the client that gets it. Some fields it takes in passing; any other makes it work out its whole
// netmap, its WireGuard configuration, DNS, routes and filter anew, and with thousands of peers that is felt
// (types/netmap/nodemut.go, mapResponseContainsNonPatchFields).

import type { CapabilityVersion } from '../wire/capability.ts';
import { understandsIncrementalPeers } from '../wire/capability.ts';

/** What clients take as a patch of a peer (tailcfg.PeerChange). Everything else replaces the peer. */
export const PATCHABLE = ['endpoints', 'home', 'online', 'capver', 'key', 'signature', 'disco', 'expiry'] as const;
export type Patchable = (typeof PATCHABLE)[number];

/** In the order of cost: nothing to any client, a rebuild to clients before v1.100, a rebuild to all. */
export const COST = { none: 0, old: 1, all: 2 } as const;
export type Cost = (typeof COST)[keyof typeof COST];

const OLD_ONLY = new Set(['PeersChanged', 'PeersRemoved', 'PacketFilters', 'UserProfiles']);

/** Of a field other than PeersChangedPatch. */
export const fieldCost = (name: string): Cost => (OLD_ONLY.has(name) ? COST.old : COST.all);

const CHEAP: ReadonlySet<Patchable> = new Set(['endpoints', 'home', 'online']);
const DEAR_BITS = PATCHABLE.reduce((bits, field, i) => (CHEAP.has(field) ? bits : bits | (1 << i)), 0);

/** Of patches with these contents, as bits in the order of PATCHABLE. */
export const patchCost = (contents: number): Cost => ((contents & DEAR_BITS) === 0 ? COST.none : COST.all);

export const makesRebuild = (cost: Cost, capver: CapabilityVersion): boolean =>
  cost === COST.all || (cost === COST.old && !understandsIncrementalPeers(capver));

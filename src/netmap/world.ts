// What all streams share: the snapshot and its parts, the policy over the nodes, the nodes with their stamps, and what was
// encoded once for many. tailnet.ts changes it, stream.ts reads it.

import { hash } from 'node:crypto';
import type { NodeId } from '../base/ids.ts';
import type { NodeSet, Population } from '../policy/population.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { DerpRegion } from '../wire/derp.ts';
import { addBit, createBits } from './bits.ts';
import type { Bits } from './bits.ts';
import { createDeltas } from './delta.ts';
import type { Delta } from './delta.ts';
import type { Entry } from './entry.ts';
import { createBudget, encodeFragment } from './fragment.ts';
import type { Fragment, FragmentBudget } from './fragment.ts';
import { createGathered } from './gathered.ts';
import type { Gathered } from './gathered.ts';
import type { Order } from './order.ts';
import { createOwners } from './owners.ts';
import type { Owners } from './owners.ts';
import { createPages } from './pages.ts';
import type { Pages } from './pages.ts';
import { derpMapOf, dnsConfigOf } from './settings.ts';

/** A part of a map that is the same for all. */
export interface SharedPart {
  /** Equal for equal parts. */
  readonly version: string;
  readonly fragment: Fragment;
}

export interface World {
  snapshot: Snapshot;
  population: Population;
  readonly embeddedRegion: DerpRegion | null;
  /** The stamp of the last change. */
  stamp: number;
  readonly entries: Map<NodeId, Entry>;
  readonly slots: (Entry | undefined)[];
  readonly order: Order;
  /** Slots of nodes with approved routes. */
  readonly routed: Bits;
  readonly pages: Pages;
  readonly owners: Owners;
  readonly budget: FragmentBudget;
  /** For the message that is being made. */
  readonly gathered: Gathered;
  derpMap: SharedPart;
  dns: SharedPart;
  /** Slots of what a node sees, itself perhaps included. Never to be changed. */
  readonly visible: (id: NodeId) => Bits;
  /** What changed since a stamp. */
  readonly since: (stamp: number) => Delta;
}

const sharedPart = (text: string): SharedPart => ({
  version: hash('sha256', text, 'base64url'),
  fragment: encodeFragment(text),
});

/** Takes over the parts that come from the snapshot alone. */
export const readSettings = (world: World): void => {
  world.derpMap = sharedPart(JSON.stringify(derpMapOf(world.snapshot, world.embeddedRegion)));
  // Open at the end: each node adds the names that it may have certificates for.
  world.dns = sharedPart(JSON.stringify(dnsConfigOf(world.snapshot)).slice(0, -1));
};

export const createWorld = (
  snapshot: Snapshot,
  population: Population,
  embeddedRegion: DerpRegion | null,
  fragmentBytes: number,
): World => {
  const slots: (Entry | undefined)[] = [];
  const order: Order = { newest: null };
  const budget = createBudget(fragmentBytes, () => {
    pages.forgetAll();
    owners.forgetAll();
  });
  const pages = createPages(
    (slot) => slots[slot],
    () => budget,
  );
  const owners = createOwners(() => budget);

  let visibleOf = new WeakMap<NodeSet, Bits>();
  let visibleVersion: unknown;

  const world: World = {
    snapshot,
    population,
    embeddedRegion,
    stamp: 0,
    entries: new Map(),
    slots,
    order,
    routed: createBits(),
    pages,
    owners,
    budget,
    gathered: createGathered(),
    derpMap: sharedPart(''),
    dns: sharedPart(''),
    visible: (id) => {
      // The version tells changes of one population apart, the object tells populations apart: sets belong to one.
      if (visibleVersion !== world.population.version) {
        visibleOf = new WeakMap();
        visibleVersion = world.population.version;
      }
      const peers = world.population.visiblePeers(id);
      let bits = visibleOf.get(peers);
      if (!bits) {
        bits = createBits(slots.length);
        for (const peer of peers) {
          const entry = world.entries.get(peer);
          if (entry) addBit(bits, entry.slot);
        }
        visibleOf.set(peers, bits);
      }
      return bits;
    },
    since: createDeltas(order, () => world.stamp),
  };
  readSettings(world);
  return world;
};

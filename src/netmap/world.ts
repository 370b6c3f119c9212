// What all streams share: the snapshot and its parts, the policy over the nodes, the nodes with their stamps, and what was
// encoded once for many. tailnet.ts changes it, stream.ts reads it.

import { hash } from 'node:crypto';
import type { Address } from '../base/address.ts';
import type { NodeId } from '../base/ids.ts';
import type { DerpRegion as DeclaredRegion } from '../config/derp.ts';
import type { NodeSet, Population } from '../policy/population.ts';
import { hiddenRegionsOf } from '../snapshot/lookup.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { DerpRegion } from '../wire/derp.ts';
import type { DnsConfig } from '../wire/dns.ts';
import { appRoutesOf, type Connector } from './apps.ts';
import { addBit, createBits } from './bits.ts';
import type { Bits } from './bits.ts';
import { createDeltas } from './delta.ts';
import type { Delta } from './delta.ts';
import type { Entry, Look } from './entry.ts';
import { createBudget, encodeFragment } from './fragment.ts';
import type { Fragment, FragmentBudget } from './fragment.ts';
import { createGathered } from './gathered.ts';
import type { Gathered } from './gathered.ts';
import { nextDnsOf, usesNextDns } from './nextdns.ts';
import type { Order } from './order.ts';
import { createOwners } from './owners.ts';
import type { Owners } from './owners.ts';
import { createPages } from './pages.ts';
import type { Pages } from './pages.ts';
import type { ResolvedNode } from './resolve.ts';
import { aliasedNodes } from './records.ts';
import { answersOf, derpMapOf, dnsConfigOf, resolversOf } from './settings.ts';

/** A part of a map that is the same for many. */
export interface SharedPart {
  /** Equal for equal parts. */
  readonly version: string;
  readonly fragment: Fragment;
}

/** What the nodes of one class see: all of it is worked out when it is first asked for. */
export interface Seen {
  /** Slots of the peers, a node of the class itself perhaps included. Never to be changed. */
  readonly slots: () => Bits;
  /** How a peer looks, to be asked only for a peer that `viewer` of the class sees. */
  readonly look: (viewer: NodeId, peer: Entry) => Look;
}

export interface World {
  snapshot: Snapshot;
  population: Population;
  readonly embeddedRegion: DerpRegion | null;
  /** Whether the server can help nodes to certificates, where the snapshot wants it. */
  readonly certificates: boolean;
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
  /** Of the map that the server fetches. */
  publicRegions: readonly DeclaredRegion[];
  /** Turns over when clients are to measure their relays again. */
  measureAgain: boolean;
  /** The relays that a node is told of: one object for all nodes from which the same are hidden. */
  derpMapOf: (node: ResolvedNode) => SharedPart;
  dns: SharedPart;
  /** DNS of one node: what it shares with others, and whom it asks where that is its own. */
  dnsOf: (entry: Entry) => SharedPart & { readonly more: string };
  /** Machines that are asked for the names of applications. */
  readonly connectors: Map<NodeId, Connector>;
  /** Names of nodes that records in dns.json5 are aliases of. */
  aliasedNodes: ReadonlySet<string>;
  /** What a node sees; the same object for all nodes to which the policy room gives the same set. */
  readonly seenBy: (id: NodeId) => Seen;
  /** What changed since a stamp. */
  readonly since: (stamp: number) => Delta;
}

const createSeen = (world: World, peers: NodeSet): Seen => {
  let slots: Bits | undefined;
  const looks = new Map<number, Look>();
  return {
    slots: () => {
      if (!slots) {
        slots = createBits(world.slots.length);
        for (const peer of peers) {
          const entry = world.entries.get(peer);
          if (entry) addBit(slots, entry.slot);
        }
      }
      return slots;
    },
    look: (viewer, peer) => {
      let look = looks.get(peer.slot);
      if (!look) {
        const view = world.population.peerView(viewer, peer.id);
        // What is shown of its attributes is the same for all who see it; mostly nothing.
        const shown = peer.common.capMap;
        look = Object.keys(shown).length === 0 ? view : { ...view, capMap: { ...view.capMap, ...shown } };
        looks.set(peer.slot, look);
      }
      return look;
    },
  };
};

const sharedPart = (text: string): SharedPart => ({
  version: hash('sha256', text, 'base64url'),
  fragment: encodeFragment(text),
});

const createDerpMaps = ({ snapshot, embeddedRegion, publicRegions, measureAgain }: World): World['derpMapOf'] => {
  const byHidden = new Map<string, SharedPart>();
  return ({ record, owner, tags }) => {
    const hidden = hiddenRegionsOf(snapshot, { stableId: record.stableId, label: record.name, owner, tags });
    const key = hidden.join(' ');
    let part = byHidden.get(key);
    if (!part) {
      part = sharedPart(JSON.stringify(derpMapOf(snapshot, embeddedRegion, hidden, publicRegions, measureAgain)));
      byHidden.set(key, part);
    }
    return part;
  };
};

/** Equal as long as no node can be told of other relays than before. */
export const relaysOf = ({ snapshot, embeddedRegion, publicRegions }: World): string =>
  hash('sha256', JSON.stringify([derpMapOf(snapshot, embeddedRegion, [], publicRegions), snapshot.derp]));

/** Takes over the parts that come from the snapshot alone. */
export const readSettings = (world: World): void => {
  world.derpMapOf = createDerpMaps(world);
  world.aliasedNodes = aliasedNodes(world.snapshot.dns.extraRecords);
  readDns(world);
};

/** DNS depends on nodes too, where an alias leads to one. True if it differs from before. */
export const readDns = (world: World): boolean => {
  const found = new Map<string, readonly Address[]>();
  if (world.aliasedNodes.size > 0) {
    for (const { node } of world.entries.values()) {
      if (node.authorized && world.aliasedNodes.has(node.fqdn)) found.set(node.fqdn, node.addresses);
    }
  }
  const { version } = world.dns;
  const { snapshot } = world;
  const addressesOf = (fqdn: string): readonly Address[] => found.get(fqdn) ?? [];
  // Open at the end: each node adds the names that it may have certificates for.
  const shared = (config: DnsConfig): SharedPart => sharedPart(JSON.stringify(config).slice(0, -1));
  const common = { ...shared(dnsConfigOf(snapshot, addressesOf)), more: '' };
  world.dns = common;
  // Records can be many; who is asked something of its own shares them all the same.
  let answers: SharedPart | undefined;
  const isDeclared = usesNextDns(snapshot.dns);
  world.dnsOf = ({ id, node }) => {
    const { population } = world;
    if (population.node(id) === undefined) return common;
    const caps = population.capsFor(id);
    const personal = nextDnsOf(caps, isDeclared, node);
    const apps = appRoutesOf(world, id, caps);
    if (!personal && !apps) return common;
    const own = JSON.stringify(resolversOf(snapshot, personal, apps)).slice(1, -1);
    answers ??= shared(answersOf(snapshot, addressesOf));
    return { ...answers, more: own === '' ? '' : `,${own}` };
  };
  return world.dns.version !== version;
};

export const createWorld = (
  snapshot: Snapshot,
  population: Population,
  { embeddedRegion, certificates }: Pick<World, 'embeddedRegion' | 'certificates'>,
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

  let seenSets = new WeakMap<NodeSet, Seen>();
  let seenVersion: unknown;

  const world: World = {
    snapshot,
    population,
    embeddedRegion,
    certificates,
    stamp: 0,
    entries: new Map(),
    slots,
    order,
    routed: createBits(),
    pages,
    owners,
    budget,
    gathered: createGathered(),
    publicRegions: [],
    measureAgain: false,
    derpMapOf: () => sharedPart(''),
    dns: sharedPart(''),
    dnsOf: () => ({ ...world.dns, more: '' }),
    connectors: new Map(),
    aliasedNodes: new Set(),
    seenBy: (id) => {
      // The version tells changes of one population apart, the object tells populations apart: sets belong to one.
      if (seenVersion !== world.population.version) {
        seenSets = new WeakMap();
        seenVersion = world.population.version;
      }
      const peers = world.population.visiblePeers(id);
      let seen = seenSets.get(peers);
      if (!seen) {
        seen = createSeen(world, peers);
        seenSets.set(peers, seen);
      }
      return seen;
    },
    since: createDeltas(order, () => world.stamp),
  };
  readSettings(world);
  return world;
};

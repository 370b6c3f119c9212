// The live tailnet: what git declares, what is registered and who is online, turned into what each client is told. It is
// the only thing that control talks to about maps. Synchronous, without timers: whoever writes to clients decides when to
// ask a stream for its next message, and the message then holds everything that is pending, latest state first and only.

import type { NodeId, UserId } from '../base/ids.ts';
import type { DerpRegion as DeclaredRegion } from '../config/derp.ts';
import type { PolicyNode, PolicyUser } from '../policy/facts.ts';
import type { Population } from '../policy/population.ts';
import type { RegistryChange } from '../registry/change.ts';
import type { NodeField, NodeRecord } from '../registry/record.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { DerpRegion } from '../wire/derp.ts';
import type { Login, User } from '../wire/user.ts';
import { peerHostinfoOf } from '../wire/hostinfo.ts';
import { accountOfNode, ownerProfile } from './account.ts';
import { noteConnector } from './apps.ts';
import { addBit, createBits, eachBit, removeBit } from './bits.ts';
import { PATCHABLE } from './cost.ts';
import { commonLook, compare, createEntry, lookKey, shownCaps } from './entry.ts';
import type { Entry } from './entry.ts';
import { createLife, sharingRouters } from './life.ts';
import type { RouterOrder } from './life.ts';
import { moveToFront, unlink } from './order.ts';
import { samePolicyNode } from './resolve.ts';
import type { ResolvedNode } from './resolve.ts';
import { RULES } from './rules.ts';
import type { Rules } from './rules.ts';
import { createSessions } from './sessions.ts';
import type { MapStream, MapValue, StreamOptions } from './sessions.ts';
import { PART } from './parts.ts';
import type { TimelineEntry } from './timeline.ts';
import { createWorld, readDns, readSettings, relaysOf } from './world.ts';

export interface TailnetOptions {
  /** Unix milliseconds; for ControlTime and the timeline only. */
  readonly nowMs: () => number;
  /** The relay inside the server as a region of the DERP map; null where none runs. Served while the snapshot wants it. */
  readonly embeddedRegion: DerpRegion | null;
  /** Whether the server can publish what certificates need: without, clients learn that HTTPS is not there. By default yes. */
  readonly certificates?: boolean;
  /** Which routers came first when the server last stopped; see `routerOrder`. */
  readonly routerOrder?: RouterOrder;
  /** Called when that changes, in the middle of a change: to be looked at later. */
  readonly onRouterOrder?: () => void;
  /** How many bytes of compressed fragments may be kept for sharing; 64 MiB by default. */
  readonly fragmentBytes?: number;
}

export interface TailnetStats {
  readonly nodes: number;
  readonly online: number;
  readonly streams: number;
  /** Kept fragments and their size. */
  readonly fragments: number;
  readonly fragmentBytes: number;
  /** Since the start. */
  readonly fullMaps: number;
  readonly deltas: number;
  /** Messages that made their client work out its whole netmap anew, full maps among them. */
  readonly rebuilds: number;
  readonly sentBytes: number;
}

export interface Tailnet {
  readonly snapshot: Snapshot;
  /** The policy applied to the nodes that take part: for SSH checks, whois and explanations. */
  readonly population: Population;
  /** A new revision. Streams are woken where it changes something for them. */
  readonly setSnapshot: (snapshot: Snapshot) => void;
  /** Regions of the relay map that the server fetches, from now on. */
  readonly setPublicRegions: (regions: readonly DeclaredRegion[]) => void;
  /** A text that is equal as long as no node is told of other relays. */
  readonly relays: () => string;
  /** Sends the relay map in a form that makes clients measure, and choose their home, anew. */
  readonly measureRelaysAgain: () => void;
  /** What the registry's subscribers hear, in order. */
  readonly apply: (changes: readonly RegistryChange[]) => void;
  /** Presence as control sees it, grace period included. `lastSeenMs` is the registry's. */
  readonly setOnline: (id: NodeId, online: boolean) => void;
  readonly isOnline: (id: NodeId) => boolean;
  /** A router that doesn't answer loses its subnets to one that does, if there is one; else nothing happens. */
  readonly setSilent: (id: NodeId, silent: boolean) => void;
  /** Routers that share a subnet with another: those whose silence matters. */
  readonly sharingRouters: () => ReadonlySet<NodeId>;
  /** Since when routers that share subnets carry theirs, to be given to the next tailnet. */
  readonly routerOrder: () => RouterOrder;
  /** A node as it is served: registered, and what nodes.json5 and routes.json5 say over it. */
  readonly node: (id: NodeId) => ResolvedNode | undefined;
  /** Who the client is told that it is, for the answer to a registration: the same as in its maps. */
  readonly accountOf: (record: NodeRecord) => { readonly User: User; readonly Login: Login };
  /**
   * Begins a stream. `wake` is called when something becomes pending, at most once until the next call of `next`, and
   * never from within `next`. Undefined for an unknown node.
   */
  readonly open: (id: NodeId, options: StreamOptions, wake: () => void) => MapStream | undefined;
  /** A full map for a request that doesn't stream. */
  readonly fetchOnce: (id: NodeId, options: StreamOptions) => readonly Uint8Array[] | undefined;
  /** The map that a client would get now, as a value: for debugging and tests. */
  readonly describe: (id: NodeId) => MapValue | undefined;
  /** The last messages to a node, oldest first; kept across its streams. */
  readonly timeline: (id: NodeId) => readonly TimelineEntry[];
  readonly stats: () => TailnetStats;
}

const FRAGMENT_BYTES = 64 * 1024 * 1024;

/** Fields of a record that neither the policy nor the declarations look at. */
const OBSERVED: ReadonlySet<NodeField> = new Set([
  'discoKey',
  'capver',
  'endpoints',
  'endpointTypes',
  'homeDerp',
  'lastSeenMs',
]);

export const createTailnet = (
  snapshot: Snapshot,
  nodes: Iterable<NodeRecord>,
  options: TailnetOptions,
  rules: Rules = RULES,
): Tailnet => {
  const { nowMs, embeddedRegion, certificates = true, fragmentBytes = FRAGMENT_BYTES } = options;
  const life = createLife(options.routerOrder, options.onRouterOrder);
  const people = new Map<UserId, PolicyUser>();
  const personById = (id: UserId): PolicyUser | undefined => people.get(id);

  const resolve = (snapshot: Snapshot, record: NodeRecord): ResolvedNode => {
    const node = life.note(rules.resolve(snapshot, record, life.isAlive(record.id)));
    if (node.person) people.set(node.person.id, node.person);
    return node;
  };

  const resolved = [...nodes].map((record) => resolve(snapshot, record));
  const world = createWorld(
    snapshot,
    rules.populate(snapshot, takingPart(resolved), personById),
    { embeddedRegion, certificates },
    fragmentBytes,
  );
  const freeSlots: number[] = [];
  const sessions = createSessions(world, nowMs);

  const tick = (): number => ++world.stamp;

  /** Whether somebody may have to ask other machines for names of applications. */
  let connectorsDiffer = false;
  const connect = (id: NodeId, node: ResolvedNode | undefined): void => {
    if (noteConnector(world.connectors, id, node)) connectorsDiffer = true;
  };

  const enter = (node: ResolvedNode): Entry => {
    const owner = ownerProfile(world.snapshot, node);
    const slot = freeSlots.pop() ?? world.slots.length;
    const entry = createEntry(slot, node, life.isOnline(node.record.id), owner, world.owners.index(owner, tick));
    world.entries.set(entry.id, entry);
    world.slots[slot] = entry;
    connect(entry.id, node);
    show(entry);
    entry.replacedAt = stamp(entry);
    return entry;
  };

  /** Marks a change of what peers are shown. */
  const stamp = (entry: Entry): number => {
    entry.changedAt = tick();
    moveToFront(world.order, entry);
    entry.texts.clear();
    entry.fragments.clear();
    entry.patches.clear();
    world.pages.touch(entry.slot);
    return entry.changedAt;
  };

  /** Works out again how viewers see the node, from the policy. True if that differs. */
  const show = (entry: Entry): boolean => {
    const { population, routed } = world;
    const takesPart = population.node(entry.id) !== undefined;
    const before = lookKey(entry.common);
    entry.common = takesPart
      ? commonLook(population.selfView(entry.id).addresses, shownCaps(population.capsFor(entry.id)))
      : commonLook(entry.node.addresses);
    entry.routed = entry.node.approvedRoutes.length > 0;
    if (entry.routed) addBit(routed, entry.slot);
    else removeBit(routed, entry.slot);
    return lookKey(entry.common) !== before;
  };

  /** Takes over a node's new state and stamps what peers see of it. True if they see a difference. */
  const update = (entry: Entry, node: ResolvedNode): boolean => {
    const owner = ownerProfile(world.snapshot, node);
    const { replaced, patched } = compare(entry, node, owner);
    entry.node = node;
    connect(entry.id, node);
    entry.owner = owner;
    entry.ownerIndex = world.owners.index(owner, tick);
    if (!replaced && patched.length === 0) return false;
    entry.homeDerp = node.record.homeDerp || entry.homeDerp;
    entry.capver = node.record.capver || entry.capver;
    const at = stamp(entry);
    for (const field of patched) entry.patchedAt[PATCHABLE.indexOf(field)] = at;
    if (replaced) {
      entry.replacedAt = at;
      entry.hostinfo = peerHostinfoOf(node.hostinfo);
    }
    return true;
  };

  /** Applies changes of nodes to the policy and marks the streams of those for whom it means something. */
  const repopulate = (upserts: readonly Entry[], removals: readonly NodeId[]): void => {
    if (upserts.length === 0 && removals.length === 0) return;
    const impact = world.population.apply({ upserts: upserts.map((entry) => entry.node.policyNode), removals });
    const candidates = createBits(world.slots.length);
    for (const entry of upserts) {
      if (show(entry)) entry.replacedAt = stamp(entry);
      sessions.mark(entry.id, PART.all, 'node');
    }
    for (const id of impact.changed) {
      const entry = world.entries.get(id);
      if (entry) addBit(candidates, entry.slot);
    }
    for (const id of impact.filters) sessions.mark(id, PART.filter, 'node');
    for (const id of impact.ssh) sessions.mark(id, PART.ssh, 'node');
    for (const id of impact.caps) sessions.mark(id, PART.self, 'node');
    // A connector that comes into sight, or goes, is somebody to ask.
    const asked = upserts.some(({ id }) => world.connectors.has(id));
    for (const id of impact.peers) {
      sessions.check(id, candidates, 'peers');
      if (asked) sessions.mark(id, PART.dns, 'peers');
    }
  };

  const add = (record: NodeRecord): Entry | undefined => {
    const node = resolve(world.snapshot, record);
    const entry = enter(node);
    return node.authorized ? entry : undefined;
  };

  const remove = (id: NodeId): boolean => {
    const entry = world.entries.get(id);
    if (!entry) return false;
    unlink(world.order, entry);
    world.entries.delete(id);
    world.slots[entry.slot] = undefined;
    removeBit(world.routed, entry.slot);
    world.pages.touch(entry.slot);
    tick();
    connect(id, undefined);
    life.forget(id);
    sessions.forget(entry);
    freeSlots.push(entry.slot);
    return entry.node.authorized;
  };

  /** A node whose record or declaration changed: what the policy must hear of it. */
  const change = (entry: Entry, node: ResolvedNode): 'upsert' | 'removal' | null => {
    const before = entry.node;
    const seen = update(entry, node);
    if (seen) sessions.wakeAudience(entry);
    if (!node.authorized) return before.authorized ? 'removal' : null;
    return !before.authorized || !samePolicyNode(before.policyNode, node.policyNode) ? 'upsert' : null;
  };

  const apply = (changes: readonly RegistryChange[]): void => {
    const upserts = new Set<Entry>();
    const removals = new Set<NodeId>();
    let dnsMayDiffer = false;
    const ofDns = (id: NodeId): void => {
      const fqdn = world.aliasedNodes.size > 0 && world.entries.get(id)?.node.fqdn;
      if (typeof fqdn === 'string' && world.aliasedNodes.has(fqdn)) dnsMayDiffer = true;
    };
    for (const it of changes) {
      if (it.kind === 'node-added') {
        const entry = add(it.node);
        if (entry) upserts.add(entry);
        ofDns(it.node.id);
      } else if (it.kind === 'node-removed') {
        const entry = world.entries.get(it.node.id);
        ofDns(it.node.id);
        if (entry) upserts.delete(entry);
        if (remove(it.node.id)) removals.add(it.node.id);
      } else if (it.kind === 'node-changed') {
        const entry = world.entries.get(it.after.id);
        if (!entry) continue;
        if (it.fields.every((field) => OBSERVED.has(field))) {
          if (update(entry, { ...entry.node, record: it.after })) sessions.wakeAudience(entry);
          continue;
        }
        ofDns(entry.id);
        const verdict = change(entry, resolve(world.snapshot, it.after));
        ofDns(entry.id);
        if (verdict === 'upsert') {
          upserts.add(entry);
          removals.delete(entry.id);
        } else if (verdict === 'removal') {
          removals.add(entry.id);
          upserts.delete(entry);
          sessions.hide(entry);
        }
        sessions.mark(entry.id, PART.self, 'node');
      }
    }
    repopulate([...upserts], [...removals]);
    if ((dnsMayDiffer && readDns(world)) || connectorsDiffer) {
      for (const id of world.entries.keys()) sessions.mark(id, PART.dns, 'node');
    }
    connectorsDiffer = false;
    sessions.flush();
  };

  const setOnline = (id: NodeId, now: boolean): void => {
    const entry = world.entries.get(id);
    if (!entry || entry.online === now) return;
    life.setOnline(id, now);
    entry.online = now;
    entry.patchedAt[PATCHABLE.indexOf('online')] = stamp(entry);
    sessions.wakeAudience(entry);
    refreshLife(entry);
    sessions.flush();
  };

  /** Lets the policy choose routers anew where one came or went. */
  const refreshLife = (entry: Entry): void => {
    if (!entry.routed || entry.node.policyNode.alive === life.isAlive(entry.id)) return;
    entry.node = life.note(entry.node);
    if (entry.node.authorized) repopulate([entry], []);
  };

  const setSilent = (id: NodeId, silent: boolean): void => {
    const entry = world.entries.get(id);
    if (!entry?.routed || (silent && !standsIn(entry))) return;
    life.setSilent(id, silent);
    refreshLife(entry);
    sessions.flush();
  };

  const routers = (): ResolvedNode[] => {
    const found: ResolvedNode[] = [];
    eachBit(world.routed, (slot) => {
      const entry = world.slots[slot];
      if (entry) found.push(entry.node);
    });
    return found;
  };

  /** Whether one that is alive carries a subnet of this router too. */
  const standsIn = ({ id, node }: Entry): boolean =>
    sharingRouters([node, ...routers().filter(({ record }) => record.id !== id && life.isAlive(record.id))]).has(id);

  const setSnapshot = (next: Snapshot): void => {
    if (next.digest === world.snapshot.digest) {
      world.snapshot = next;
      return;
    }
    const fresh = new Map<Entry, ResolvedNode>();
    for (const entry of world.entries.values()) fresh.set(entry, resolve(next, entry.node.record));
    const population = rules.populate(next, takingPart(fresh.values()), personById);
    world.snapshot = next;
    world.population = population;
    for (const [entry, node] of fresh) {
      update(entry, node);
      if (show(entry)) entry.replacedAt = stamp(entry);
    }
    readSettings(world);
    connectorsDiffer = false;
    sessions.markAll('snapshot');
    sessions.flush();
  };

  const setPublicRegions = (regions: readonly DeclaredRegion[]): void => {
    world.publicRegions = regions;
    tellRelays();
  };

  const tellRelays = (): void => {
    readSettings(world);
    for (const id of world.entries.keys()) sessions.mark(id, PART.derp, 'snapshot');
    sessions.flush();
  };

  for (const node of resolved) enter(node);
  readDns(world);

  return {
    get snapshot() {
      return world.snapshot;
    },
    get population() {
      return world.population;
    },
    setSnapshot,
    setPublicRegions,
    relays: () => relaysOf(world),
    measureRelaysAgain: () => {
      world.measureAgain = !world.measureAgain;
      tellRelays();
    },
    apply,
    setOnline,
    isOnline: life.isOnline,
    setSilent,
    sharingRouters: () => sharingRouters(routers()),
    routerOrder: () => {
      const sharing = sharingRouters(routers());
      return new Map([...life.order()].filter(([id]) => sharing.has(id)));
    },
    node: (id) => world.entries.get(id)?.node,
    accountOf: (record) => accountOfNode(world.snapshot, rules.resolve(world.snapshot, record, false)),
    open: sessions.open,
    fetchOnce: sessions.fetchOnce,
    describe: sessions.describe,
    timeline: sessions.timeline,
    stats: () => ({ nodes: world.entries.size, online: life.online(), ...sessions.stats() }),
  };
};

function* takingPart(nodes: Iterable<ResolvedNode>): Iterable<PolicyNode> {
  for (const node of nodes) if (node.authorized) yield node.policyNode;
}

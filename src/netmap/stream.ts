// What one connected client has, and the message that brings it to now. Everything pending goes out as one message: each
// field that a client can't take in passing makes it rebuild its whole netmap once, and one rebuild for all of them is the
// cheapest that there is (types/netmap/nodemut.go). What is sent follows from what the client has: a patch for a peer that
// it knows and that a patch can describe, the whole peer else, and never a field that is the same as before.

import { concatBytes } from '../base/bytes.ts';
import type { NodeId } from '../base/ids.ts';
import type { CapabilityVersion } from '../wire/capability.ts';
import { losesEndpointsBesideHome } from '../wire/capability.ts';
import { formatTime } from '../wire/reading.ts';
import { accountProfile } from './account.ts';
import { writeAdvice } from './advice.ts';
import {
  addBit,
  addBits,
  addWord,
  clearBits,
  copyBits,
  countWord,
  createBits,
  eachBit,
  eachInWord,
  hasBit,
  isEmptyBits,
  removeBit,
} from './bits.ts';
import type { Bits } from './bits.ts';
import { COST, patchCost, PATCHABLE } from './cost.ts';
import { chunkFragment, contentsOf } from './delta.ts';
import type { Choice, Delta, DeltaChunk } from './delta.ts';
import { lookKey, peerFragment } from './entry.ts';
import type { Entry } from './entry.ts';
import { createMessage, encodeMember } from './fragment.ts';
import type { Member, Message, MessageBuilder } from './fragment.ts';
import { clearGathered } from './gathered.ts';
import type { Gathered } from './gathered.ts';
import { PAGE_SIZE } from './pages.ts';
import type { Family } from './pages.ts';
import { nothingSent, PART, writeParts } from './parts.ts';
import type { Sent } from './parts.ts';
import type { World } from './world.ts';

export class PeerStream {
  readonly nodeId: NodeId;
  /** Slots of the peers that the client has. */
  readonly known: Bits;
  /** Parts to look at again. */
  dirty: number = PART.all;
  /** Slots to look at again: whether the peer is seen, and how. */
  readonly check: Bits = createBits();
  readonly #world: World;
  readonly #omitPeers: boolean;
  readonly #capver: CapabilityVersion;
  /** Whether the client must be made to take endpoints and home relay together as a whole netmap. */
  readonly #careful: boolean;
  /** Looks of routed peers as the client has them, by slot. */
  readonly #looks = new Map<number, string>();
  readonly #removed: NodeId[] = [];
  readonly #sent: Sent = nothingSent();
  /** The stamp of the last message. */
  #at = 0;
  #started = false;
  #account = '';
  #advice = '';
  #family: Family = 'both';
  /** The node takes no part: not authorized, or its key is over. It is told of itself only. */
  #cut = false;

  constructor(world: World, nodeId: NodeId, capver: CapabilityVersion, omitPeers: boolean) {
    this.nodeId = nodeId;
    this.#world = world;
    this.#omitPeers = omitPeers;
    this.#capver = capver;
    this.#careful = losesEndpointsBesideHome(capver);
    this.known = createBits(world.slots.length);
  }

  /** The node in this slot is gone from the tailnet. */
  forget(slot: number, id: NodeId): void {
    removeBit(this.check, slot);
    if (!hasBit(this.known, slot)) return;
    removeBit(this.known, slot);
    this.#looks.delete(slot);
    this.#removed.push(id);
  }

  /** Undefined where nothing is pending, or the node is gone. */
  next(nowMs: number): Message | undefined {
    const entry = this.#world.entries.get(this.nodeId);
    if (!entry) return undefined;
    const { expiresMs } = entry.node.record;
    const cut = this.#world.population.node(entry.id) === undefined || (expiresMs !== null && expiresMs <= nowMs);
    if (cut !== this.#cut) this.dirty = PART.all;
    this.#cut = cut;
    const message = this.#started ? (this.#patchesOnly() ?? this.#delta(entry)) : this.#full(entry, nowMs);
    this.#at = this.#world.stamp;
    if (this.dirty !== 0) clearBits(this.check);
    this.dirty = 0;
    return message === NOTHING ? undefined : message;
  }

  #full(entry: Entry, nowMs: number): Message {
    const to = createMessage();
    to.field('ControlTime');
    to.text(JSON.stringify(formatTime(nowMs)));
    to.field('CollectServices');
    to.text('false');
    to.field('Debug');
    to.text('{"DisableLogTail":true}');
    this.#advise(entry, to);
    this.#family = this.#familyOf(entry);
    writeParts(this.#world, entry, this.#sent, PART.all, this.#cut, to);
    const peers = clearGathered(this.#world.gathered);
    if (!this.#omitPeers) this.#reconcileAll(entry, peers, false);
    this.#wholePeers(entry, peers, 'Peers', to);
    this.#started = true;
    return to.finish(true);
  }

  /**
   * The usual message: a few peers moved, went or came online. It is the same for all streams that know these peers and
   * were last written at the same time, so it is made once. Undefined where more than patches is pending.
   */
  #patchesOnly(): Message | undefined {
    const { owners } = this.#world;
    if (this.dirty !== 0 || this.#removed.length > 0 || owners.newest > this.#at) return undefined;
    if (this.#omitPeers) return NOTHING;
    const delta = this.#world.since(this.#at);
    if (delta.replaced) return undefined;
    const chosen = delta.chunks.map((chunk) => this.#choose(chunk, null));
    const key = `${this.#careful ? 'careful ' : ''}${chosen.map(({ low, high }) => `${low},${high}`).join(' ')}`;
    let message = delta.messages.get(key);
    if (!message) {
      const to = createMessage();
      writePatches(delta, chosen, this.#careful, to);
      message = to.isEmpty() ? NOTHING : joined(to.finish(false));
      delta.messages.set(key, message);
    }
    return message;
  }

  #delta(entry: Entry): Message {
    const to = createMessage();
    const family = (this.dirty & PART.self) === 0 ? this.#family : this.#familyOf(entry);
    const anew = family !== this.#family;
    this.#family = family;
    if ((this.dirty & PART.advice) !== 0) this.#advise(entry, to);
    writeParts(this.#world, entry, this.#sent, this.dirty, this.#cut, to);
    const peers = clearGathered(this.#world.gathered);
    const delta = this.#world.since(this.#at);
    let chosen: readonly Choice[] = [];
    if (!this.#omitPeers) {
      peers.removed.push(...this.#removed.splice(0));
      if (anew || (this.dirty & PART.allPeers) !== 0) this.#reconcileAll(entry, peers, anew);
      else eachBit(this.check, (slot) => this.#reconcile(entry, slot, peers));
      if (delta.replaced) this.#replace(entry, delta, peers);
      chosen = delta.chunks.map((chunk) => this.#choose(chunk, peers.fresh));
    }
    this.#wholePeers(entry, peers, 'PeersChanged', to);
    if (peers.removed.length > 0) {
      to.field('PeersRemoved', `${peers.removed.length}`);
      to.text(JSON.stringify(peers.removed));
    }
    writePatches(delta, chosen, this.#careful, to);
    return to.isEmpty() ? NOTHING : to.finish(false);
  }

  #advise(entry: Entry, to: MessageBuilder): void {
    const { record } = entry.node;
    this.#advice = writeAdvice(this.#world.snapshot, record.hostinfo['IPNVersion'], this.#capver, this.#advice, to);
  }

  #familyOf(entry: Entry): Family {
    const { population } = this.#world;
    return population.node(entry.id) !== undefined && 'disable-ipv4' in population.capsFor(entry.id) ? 'ipv6' : 'both';
  }

  /** Sends the peer whole; once in a message. */
  #upsert(entry: Entry, peer: Entry, peers: Gathered): void {
    if (hasBit(peers.upserted, peer.slot)) return;
    addBit(peers.upserted, peer.slot);
    peers.count++;
    if (!peer.routed) {
      this.#looks.delete(peer.slot);
      addBit(peers.paged, peer.slot);
      return;
    }
    const look = this.#world.seenBy(entry.id).look(entry.id, peer);
    const key = lookKey(look);
    this.#looks.set(peer.slot, key);
    addBit(peers.owners, peer.ownerIndex);
    peers.alone.push(peerFragment(peer, key, () => look));
  }

  /** Brings one peer to how it is seen now. */
  #reconcile(entry: Entry, slot: number, peers: Gathered): void {
    const peer = this.#world.slots[slot];
    const { population } = this.#world;
    const had = hasBit(this.known, slot);
    const sees =
      peer !== undefined &&
      peer !== entry &&
      !this.#cut &&
      population.node(peer.id) !== undefined &&
      population.sees(entry.id, peer.id);
    if (sees && !had) {
      addBit(this.known, slot);
      addBit(peers.fresh, slot);
      this.#upsert(entry, peer, peers);
    } else if (sees) {
      const key = peer.routed ? lookKey(this.#world.seenBy(entry.id).look(entry.id, peer)) : undefined;
      if (this.#looks.get(slot) !== key) this.#upsert(entry, peer, peers);
    } else if (had && peer) {
      removeBit(this.known, slot);
      this.#looks.delete(slot);
      peers.removed.push(peer.id);
    }
  }

  /** The same for all peers, in words of 32: most viewers see most peers alike. `anew`: each is sent whole. */
  #reconcileAll(entry: Entry, peers: Gathered, anew: boolean): void {
    const { slots, routed } = this.#world;
    const seen = this.#cut ? createBits() : copyBits(this.#world.seenBy(entry.id).slots());
    removeBit(seen, entry.slot);
    const words = Math.max(seen.words.length, this.known.words.length);
    for (let at = 0; at < words; at++) {
      const now = seen.words[at] ?? 0;
      const had = this.known.words[at] ?? 0;
      const apart = now & (routed.words[at] ?? 0);
      const single = (had & ~now) | apart;
      if (single !== 0) {
        eachInWord(single, at << 5, (slot) => {
          if (anew && hasBit(this.known, slot) && hasBit(seen, slot)) this.#upsert(entry, slots[slot] as Entry, peers);
          else this.#reconcile(entry, slot, peers);
        });
      }
      const come = (anew ? now : now & ~had) & ~apart;
      if (come === 0) continue;
      addWord(peers.paged, at, come);
      addWord(peers.upserted, at, come);
      addWord(peers.fresh, at, come & ~had);
      addWord(this.known, at, come);
      peers.count += countWord(come);
    }
    // Peers that had routes before and have none now.
    for (const slot of this.#looks.keys()) if (!hasBit(routed, slot)) this.#reconcile(entry, slot, peers);
  }

  /** Sends peers whole where what changed is no matter of patches. */
  #replace(entry: Entry, delta: Delta, peers: Gathered): void {
    for (const { entries } of delta.chunks) {
      for (const peer of entries) {
        if (peer.replacedAt > this.#at && hasBit(this.known, peer.slot)) this.#upsert(entry, peer, peers);
      }
    }
  }

  /**
   * Which patches of a chunk concern the client: of peers that it has. Those that are sent whole are patched too: where
   * the client makes a patch of the whole peer, it may overlook that LastSeen came or a signature went (peerChangeDiff).
   */
  #choose({ entries, patches }: DeltaChunk, fresh: Bits | null): Choice {
    let low = 0;
    let high = 0;
    for (let i = 0; i < entries.length; i++) {
      const { slot } = entries[i] as Entry;
      if (patches[i] === '' || !hasBit(this.known, slot) || (fresh !== null && hasBit(fresh, slot))) continue;
      if (i < 32) low |= 1 << i;
      else high |= 1 << (i - 32);
    }
    return { low, high };
  }

  /** Whole peers, and before them the people behind them. */
  #wholePeers(entry: Entry, peers: Gathered, field: 'Peers' | 'PeersChanged', to: MessageBuilder): void {
    const list: Member[] = [];
    const { words } = peers.paged;
    for (let at = 0; at < words.length; at += 2) {
      const low = words[at] as number;
      const high = words[at + 1] ?? 0;
      if ((low | high) === 0) continue;
      const { pages } = this.#world;
      // In a full map, the page that lacks only the viewer is nobody else's.
      const isOwn = !this.#started && at >>> 1 === Math.floor(entry.slot / PAGE_SIZE);
      const page = isOwn
        ? pages.ownPage(at >>> 1, low, high, this.#family, entry.slot)
        : pages.page(at >>> 1, low, high, this.#family);
      list.push(page.fragment);
      addBits(peers.owners, page.owners);
    }
    list.push(...peers.alone);
    this.#profiles(entry, peers.owners, to);
    if (list.length === 0) return;
    to.field(field, `${peers.count}`);
    to.list(list);
  }

  /** The given people, those among the known whose profile changed, and the node's own account. */
  #profiles(entry: Entry, people: Bits, to: MessageBuilder): void {
    const { owners, slots, snapshot } = this.#world;
    if (this.#started && owners.newest > this.#at) {
      const changed = owners.changedSince(this.#at);
      eachBit(this.known, (slot) => {
        const { ownerIndex } = slots[slot] as Entry;
        if (hasBit(changed, ownerIndex)) addBit(people, ownerIndex);
      });
    }
    const list: Member[] = [];
    if ((this.dirty & PART.self) !== 0) {
      const account = JSON.stringify(accountProfile(snapshot, entry.node));
      if (account !== this.#account) list.push(encodeMember(account));
      this.#account = account;
    }
    if (!isEmptyBits(people)) list.push(owners.fragment(people));
    if (list.length === 0) return;
    to.field('UserProfiles');
    to.list(list);
  }
}

/** In one piece: it is for many, and none of them has to do it. */
const joined = (message: Message): Message => ({ ...message, pieces: [concatBytes(...message.pieces)] });

/** Stands for a message that isn't sent. */
const NOTHING: Message = { full: false, pieces: [], sizeBytes: 0, fields: [], cost: COST.none };

const ENDPOINTS_AND_HOME = (1 << PATCHABLE.indexOf('endpoints')) | (1 << PATCHABLE.indexOf('home'));

const writePatches = (delta: Delta, chosen: readonly Choice[], careful: boolean, to: MessageBuilder): void => {
  const list: Member[] = [];
  let count = 0;
  for (const [i, choice] of chosen.entries()) {
    if ((choice.low | choice.high) === 0) continue;
    list.push(chunkFragment(delta.chunks[i] as DeltaChunk, choice));
    count += countWord(choice.low) + countWord(choice.high);
  }
  if (count === 0) return;
  const contents = contentsOf(delta.chunks, chosen);
  const names = PATCHABLE.filter((_, i) => ((contents >>> i) & 1) === 1);
  to.field('PeersChangedPatch', `${count}: ${names.join(', ')}`, patchCost(contents));
  to.list(list);
  if (careful && (contents & ENDPOINTS_AND_HOME) === ENDPOINTS_AND_HOME) {
    // Says nothing new; but a message with this field is not taken as patches, so that nothing of them gets lost.
    to.field('CollectServices');
    to.text('false');
  }
};

// What one connected client has, and the message that brings it to now. Everything pending goes out as one message: each
// field that a client can't take in passing makes it rebuild its whole netmap once, and one rebuild for all of them is the
// cheapest that there is (types/netmap/nodemut.go). A field is sent only if it differs from what the client has.

import { hash } from 'node:crypto';
import type { NodeId } from '../base/ids.ts';
import { formatTime } from '../wire/reading.ts';
import { accountProfile } from './account.ts';
import { addBit, addBits, addWord, clearBits, copyBits, countWord, createBits, eachBit, eachInWord, hasBit, isEmptyBits, removeBit } from './bits.ts'; // prettier-ignore
import type { Bits } from './bits.ts';
import { lookKey, peerFragment } from './entry.ts';
import type { Entry, Look } from './entry.ts';
import { filterChunks, writeFilters } from './filters.ts';
import { createMessage, encodeFragment } from './fragment.ts';
import type { Fragment, MessageBuilder } from './fragment.ts';
import { familyLook, PAGE_SIZE } from './pages.ts';
import type { Family } from './pages.ts';
import { selfTexts } from './self.ts';
import type { World } from './world.ts';

/** Parts that may have changed for a stream, as bits. */
export const PART = { self: 1, dns: 2, derp: 4, filter: 8, ssh: 16, domain: 32, peers: 64, all: 127 } as const;

export interface Message {
  readonly full: boolean;
  readonly pieces: readonly Uint8Array[];
  /** Fields of tailcfg.MapResponse, with counts of peers. */
  readonly fields: readonly string[];
}

/** What the client was last sent of each part; texts that tell versions apart. */
interface Sent {
  self: string;
  account: string;
  dns: string;
  derp: string;
  ssh: string;
  domain: string;
  filter: ReadonlySet<string> | null;
  family: Family;
}

/** The peers of one message, as they are gathered. */
interface Gathered {
  /** Slots of those that are sent in pages. */
  readonly paged: Bits;
  readonly pages: Fragment[];
  /** Peers whose look is this viewer's alone. */
  readonly alone: Fragment[];
  /** Slots of all that are sent whole, and of those among them that the client did not have. */
  readonly upserted: Bits;
  readonly fresh: Bits;
  readonly owners: Bits;
  readonly removed: NodeId[];
  count: number;
}

const gather = ({ slots: { length } }: World): Gathered => ({
  paged: createBits(length),
  pages: [],
  alone: [],
  upserted: createBits(length),
  fresh: createBits(length),
  owners: createBits(),
  removed: [],
  count: 0,
});

interface Patches {
  readonly fragments: Fragment[];
  readonly count: number;
}

const NONE: Bits = createBits();

const nothingSent = (family: Family): Sent => ({
  self: '',
  account: '',
  dns: '',
  derp: '',
  ssh: '',
  domain: '',
  filter: null,
  family,
});

const digest = (text: string): string => (text.length < 64 ? text : hash('sha256', text, 'base64url'));

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
  /** Looks of routed peers as the client has them, by slot. */
  readonly #looks = new Map<number, string>();
  readonly #removed: NodeId[] = [];
  #at = 0;
  #started = false;
  #sent: Sent = nothingSent('both');

  constructor(world: World, nodeId: NodeId, omitPeers: boolean) {
    this.nodeId = nodeId;
    this.#world = world;
    this.#omitPeers = omitPeers;
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
    const message = this.#started ? this.#delta(entry) : this.#full(entry, nowMs);
    this.#at = this.#world.stamp;
    this.dirty = 0;
    clearBits(this.check);
    return message;
  }

  #full(entry: Entry, nowMs: number): Message {
    const to = createMessage();
    const fields: string[] = [];
    clearBits(this.known);
    this.#looks.clear();
    this.#removed.length = 0;
    this.#sent = nothingSent(this.#familyOf(entry));
    to.field('ControlTime');
    to.text(JSON.stringify(formatTime(nowMs)));
    to.field('CollectServices');
    to.text('false');
    to.field('Debug');
    to.text('{"DisableLogTail":true}');
    to.field('ClientVersion');
    to.text('{"RunningLatest":true}');
    this.#parts(entry, PART.all, to, fields);
    const peers = gather(this.#world);
    if (!this.#omitPeers) this.#reconcileAll(entry, peers, false);
    this.#pages(entry, peers);
    this.#profiles(entry, peers, true, to, fields);
    this.#whole(peers, 'Peers', to, fields);
    this.#started = true;
    return { full: true, pieces: to.finish(), fields };
  }

  #delta(entry: Entry): Message | undefined {
    const to = createMessage();
    const fields: string[] = [];
    const family = this.#familyOf(entry);
    const anew = family !== this.#sent.family;
    this.#sent.family = family;
    this.#parts(entry, this.dirty, to, fields);
    const peers = gather(this.#world);
    let patches: Patches = { fragments: [], count: 0 };
    if (!this.#omitPeers) {
      peers.removed.push(...this.#removed.splice(0));
      if (anew || (this.dirty & PART.peers) !== 0) this.#reconcileAll(entry, peers, anew);
      else eachBit(this.check, (slot) => this.#reconcile(entry, slot, peers));
      patches = this.#changes(entry, peers);
    }
    this.#pages(entry, peers);
    this.#profiles(entry, peers, (this.dirty & PART.self) !== 0, to, fields);
    if (peers.removed.length > 0) {
      to.field('PeersRemoved');
      to.text(JSON.stringify(peers.removed));
      fields.push(`PeersRemoved(${peers.removed.length})`);
    }
    this.#whole(peers, 'PeersChanged', to, fields);
    if (patches.count > 0) {
      to.field('PeersChangedPatch');
      to.list(patches.fragments);
      fields.push(`PeersChangedPatch(${patches.count})`);
    }
    return fields.length === 0 ? undefined : { full: false, pieces: to.finish(), fields };
  }

  /** Fields that concern the node itself, where they differ from what the client has. */
  #parts(entry: Entry, dirty: number, to: MessageBuilder, fields: string[]): void {
    const { population, dns, derpMap, snapshot } = this.#world;
    const takesPart = population.node(entry.id) !== undefined;
    const sent = this.#sent;
    if ((dirty & PART.self) !== 0) {
      const { text, key } = selfTexts(this.#world, entry);
      if (digest(key) !== sent.self) {
        sent.self = digest(key);
        to.field('Node');
        to.text(text);
        fields.push('Node');
      }
    }
    if ((dirty & PART.domain) !== 0 && sent.domain !== snapshot.tailnet.name) {
      sent.domain = snapshot.tailnet.name;
      to.field('Domain');
      to.text(JSON.stringify(sent.domain));
      fields.push('Domain');
    }
    if ((dirty & PART.derp) !== 0 && sent.derp !== derpMap.text) {
      sent.derp = derpMap.text;
      to.field('DERPMap');
      to.fragment(derpMap.fragment);
      fields.push('DERPMap');
    }
    if ((dirty & (PART.dns | PART.self)) !== 0) {
      const names = snapshot.tailnet.features.https ? JSON.stringify([entry.node.fqdn]) : '';
      const key = digest(`${dns.text}${names}`);
      if (sent.dns !== key) {
        sent.dns = key;
        to.field('DNSConfig');
        to.fragment(dns.fragment);
        to.text(names === '' ? '}' : `,"CertDomains":${names}}`);
        fields.push('DNSConfig');
      }
    }
    if ((dirty & PART.filter) !== 0) {
      const chunks = filterChunks(takesPart ? population.compactFilterFor(entry.id) : []);
      if (writeFilters(sent.filter, chunks, to)) fields.push('PacketFilters');
      sent.filter = new Set(chunks.keys());
    }
    if ((dirty & PART.ssh) !== 0) {
      const text = JSON.stringify(takesPart ? population.sshFor(entry.id) : { rules: [] });
      const key = digest(text);
      if (sent.ssh !== key) {
        sent.ssh = key;
        to.field('SSHPolicy');
        to.text(text);
        fields.push('SSHPolicy');
      }
    }
  }

  #familyOf(entry: Entry): Family {
    const { population } = this.#world;
    return population.node(entry.id) !== undefined && 'disable-ipv4' in population.capsFor(entry.id) ? 'ipv6' : 'both';
  }

  #lookAt(entry: Entry, peer: Entry): { key: string; look: () => Look } {
    const { family } = this.#sent;
    if (!peer.routed) return { key: family, look: () => familyLook(peer, family) };
    const look = this.#world.population.peerView(entry.id, peer.id);
    return { key: lookKey(look), look: () => look };
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
    const { key, look } = this.#lookAt(entry, peer);
    this.#looks.set(peer.slot, key);
    addBit(peers.owners, peer.ownerIndex);
    peers.alone.push(peerFragment(peer, key, look));
  }

  /** Brings one peer to how it is seen now. */
  #reconcile(entry: Entry, slot: number, peers: Gathered): void {
    const peer = this.#world.slots[slot];
    const { population } = this.#world;
    const had = hasBit(this.known, slot);
    const sees =
      peer !== undefined &&
      peer !== entry &&
      population.node(entry.id) !== undefined &&
      population.node(peer.id) !== undefined &&
      population.sees(entry.id, peer.id);
    if (sees && !had) {
      addBit(this.known, slot);
      addBit(peers.fresh, slot);
      this.#upsert(entry, peer, peers);
    } else if (sees) {
      const key = peer.routed ? this.#lookAt(entry, peer).key : undefined;
      if (this.#looks.get(slot) !== key) this.#upsert(entry, peer, peers);
    } else if (had && peer) {
      removeBit(this.known, slot);
      this.#looks.delete(slot);
      peers.removed.push(peer.id);
    }
  }

  /** Brings all peers to how they are seen now; `anew`: each is sent whole. Word by word: most viewers see most peers alike. */
  #reconcileAll(entry: Entry, peers: Gathered, anew: boolean): void {
    const { population, slots, routed } = this.#world;
    const seen = population.node(entry.id) !== undefined ? copyBits(this.#world.visible(entry.id)) : createBits();
    removeBit(seen, entry.slot);
    const words = Math.max(seen.words.length, this.known.words.length);
    for (let at = 0; at < words; at++) {
      const now = seen.words[at] ?? 0;
      const had = this.known.words[at] ?? 0;
      const apart = routed.words[at] ?? 0;
      eachInWord((had & ~now) | (now & apart), at << 5, (slot) => {
        if (anew && hasBit(this.known, slot) && hasBit(seen, slot)) this.#upsert(entry, slots[slot] as Entry, peers);
        else this.#reconcile(entry, slot, peers);
      });
      const come = (anew ? now : now & ~had) & ~apart;
      addWord(peers.paged, at, come);
      addWord(peers.upserted, at, come);
      addWord(peers.fresh, at, come & ~had);
      addWord(this.known, at, come);
      peers.count += countWord(come);
    }
    // Peers that had routes before and have none now.
    for (const slot of this.#looks.keys()) if (!hasBit(routed, slot)) this.#reconcile(entry, slot, peers);
  }

  /** Peers that changed since the last message: whole where a patch can't say it. Returns the patches. */
  #changes(entry: Entry, peers: Gathered): Patches {
    const fragments: Fragment[] = [];
    let count = 0;
    for (const chunk of this.#world.since(this.#at).chunks) {
      let low = 0;
      let high = 0;
      for (const [i, peer] of chunk.entries.entries()) {
        if (!hasBit(this.known, peer.slot) || hasBit(peers.fresh, peer.slot)) continue;
        if (peer.replacedAt > this.#at) this.#upsert(entry, peer, peers);
        if (chunk.patches[i] === '') continue;
        if (i < 32) low |= 1 << i;
        else high |= 1 << (i - 32);
        count++;
      }
      if ((low | high) === 0) continue;
      const key = `${low},${high}`;
      let fragment = chunk.fragments.get(key);
      if (!fragment) {
        const chosen = chunk.patches.filter((_, i) => ((i < 32 ? low >>> i : high >>> (i - 32)) & 1) === 1);
        fragment = encodeFragment(chosen.join());
        chunk.fragments.set(key, fragment);
      }
      fragments.push(fragment);
    }
    return { fragments, count };
  }

  /** The pages of the peers that are sent whole. In a full map, the page that lacks only the viewer is nobody else's. */
  #pages(entry: Entry, peers: Gathered): void {
    const { words } = peers.paged;
    for (let at = 0; at < words.length; at += 2) {
      const low = words[at] as number;
      const high = words[at + 1] ?? 0;
      if ((low | high) === 0) continue;
      const keep = this.#started || at >>> 1 !== Math.floor(entry.slot / PAGE_SIZE);
      const page = this.#world.pages.page(at >>> 1, low, high, this.#sent.family, keep);
      peers.pages.push(page.fragment);
      addBits(peers.owners, page.owners);
    }
  }

  /** People behind the peers that are sent whole, those whose profile changed, and the node's own account. */
  #profiles(entry: Entry, peers: Gathered, own: boolean, to: MessageBuilder, fields: string[]): void {
    const { owners, slots } = this.#world;
    const changed = this.#started ? owners.changedSince(this.#at) : NONE;
    if (!isEmptyBits(changed)) {
      eachBit(this.known, (slot) => {
        const { ownerIndex } = slots[slot] as Entry;
        if (hasBit(changed, ownerIndex)) addBit(peers.owners, ownerIndex);
      });
    }
    const account = own ? JSON.stringify(accountProfile(this.#world.snapshot, entry.node)) : '';
    const list: Fragment[] = [];
    if (account !== '' && account !== this.#sent.account) {
      this.#sent.account = account;
      list.push(encodeFragment(account));
    }
    if (!isEmptyBits(peers.owners)) list.push(owners.fragment(peers.owners));
    if (list.length === 0) return;
    to.field('UserProfiles');
    to.list(list);
    fields.push('UserProfiles');
  }

  /** Whole peers: pages that are shared, then those that only this viewer sees so. */
  #whole(peers: Gathered, field: 'Peers' | 'PeersChanged', to: MessageBuilder, fields: string[]): void {
    if (peers.count === 0) return;
    to.field(field);
    to.list([...peers.pages, ...peers.alone]);
    fields.push(`${field}(${peers.count})`);
  }
}

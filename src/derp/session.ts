// One connection to the relay, without its socket: the handshake, then what each frame of the client means. Bytes come in
// by `read`, frames go out by `drain`; the link says what the socket can do. The reading of one client never waits for
// another that is slow: what a client cannot take leaves its queue, the oldest first.

import { equalBytes } from '../base/bytes.ts';
import { BOX_NONCE_BYTES } from '../keys/box.ts';
import type { Crypto, Random } from '../keys/crypto.ts';
import { formatNodeKey, type NodeKey } from '../keys/text.ts';
import { createBucket, type Bucket } from '../base/bucket.ts';
import {
  createFrameReader,
  encodeFrame,
  encodeHealth,
  encodePeerGone,
  encodePong,
  encodeServerKey,
  FRAME,
  GONE,
  HEADER_BYTES,
  KEEP_ALIVE,
  KEY_BYTES,
  keyName,
  looksLikeDisco,
  NEXT,
  PAUSE,
  PING_BYTES,
  PRESENT,
  STOP,
  turnForwardedIntoReceived,
  turnIntoReceived,
  type FrameReader,
  type Verdict,
} from './frame.ts';
import { holdsMeshKey, openClientInfo, sealServerInfo, type ProvenClient } from './handshake.ts';
import { createPacketQueue, type PacketQueue } from './queue.ts';
import type { Client, Peer, Roster } from './roster.ts';
import type { RefusalKind, Tally } from './tally.ts';

/** What all sessions of a relay share. */
export interface Shared {
  readonly crypto: Crypto;
  readonly random: Random;
  readonly nowMs: () => number;
  readonly after: (delayMs: number, act: () => void) => void;
  readonly admit: (nodeKey: NodeKey, remoteAddress: string) => boolean | Promise<boolean>;
  readonly privateKey: Uint8Array;
  readonly publicKey: Uint8Array;
  readonly meshKey: Uint8Array | undefined;
  readonly roster: Roster;
  readonly tally: Tally;
  /** 0: no limit. */
  readonly bytesPerSecond: number;
  readonly burstBytes: number;
  readonly connectionsPerKey: number;
  /** What clients are to show; empty: nothing. */
  healthText: string;
}

/** The other end of a connection. */
export interface Remote {
  readonly address: string;
  /** 16 bytes, IPv4 mapped. */
  readonly bytes: Uint8Array;
  readonly port: number;
  /** Whether the client wanted this relay of the region, and not one that stands before it in the relay map. */
  readonly isIdeal: boolean;
}

/** The socket below a session. */
export interface Link {
  readonly remote: Remote;
  /** Whether it would take more bytes without heaping them up. */
  readonly isWritable: () => boolean;
  /** Asks for `drain` when this turn of the event loop has read what there was. */
  readonly wake: () => void;
  /** Calls `drain` now. */
  readonly flush: () => void;
  readonly pause: () => void;
  readonly resume: () => void;
  readonly close: () => void;
}

const NOT_HERE_PER_SECOND = 1;
const NOT_HERE_BURST = 3;
/** Frames that are no packets and wait for a socket; a mesh watcher of a large region needs the most. */
const CONTROL_LIMIT_BYTES = 8 << 20;

export class Session implements Client {
  readonly heard = new Set<Peer>();
  readonly #shared: Shared;
  readonly #link: Link;
  readonly #reader: FrameReader;
  #peer: Peer | undefined;
  #isMesh = false;
  #isProber = false;
  #isHome = false;
  #isClosed = false;
  #isAdmitting = false;
  #control: Uint8Array[] = [];
  #controlBytes = 0;
  /** Queues and buckets are made when first needed: most connections are idle. */
  #disco: PacketQueue | undefined;
  #packets: PacketQueue | undefined;
  #pong: Uint8Array | undefined;
  #readBucket: Bucket | undefined;
  #notHereBucket: Bucket | undefined;

  constructor(shared: Shared, link: Link) {
    this.#shared = shared;
    this.#link = link;
    this.#reader = createFrameReader((type, bytes, at, end) => this.#onFrame(type, bytes, at, end));
  }

  get isProven(): boolean {
    return this.#peer !== undefined;
  }

  get isMesh(): boolean {
    return this.#isMesh;
  }

  get isHome(): boolean {
    return this.#isHome;
  }

  /** Asked for only when the key is proven. */
  get peer(): Peer {
    return this.#peer as Peer;
  }

  get address(): Uint8Array {
    return this.#link.remote.bytes;
  }

  get port(): number {
    return this.#link.remote.port;
  }

  get flags(): number {
    return (
      (this.#isMesh ? PRESENT.meshPeer : this.#isProber ? PRESENT.prober : PRESENT.regular) |
      (this.#link.remote.isIdeal ? 0 : PRESENT.notIdeal)
    );
  }

  /** The relay speaks first. */
  start(): void {
    this.tell(encodeServerKey(this.#shared.publicKey));
  }

  /** Takes a chunk from the socket, and its memory: packets are forwarded from where they lie. */
  read(chunk: Buffer): void {
    if (!this.#isClosed && !this.#reader.read(chunk)) this.#refuse(this.isProven ? 'protocol' : 'handshake');
  }

  /** Moves what is to be written behind `out`, the urgent first. */
  drain(out: Uint8Array[]): void {
    if (this.#control.length > 0) {
      for (const frame of this.#control) out.push(frame);
      this.#control = [];
      this.#controlBytes = 0;
    }
    if (this.#pong) {
      out.push(this.#pong);
      this.#pong = undefined;
    }
    const first = out.length;
    const packets = (this.#disco?.drain(out) ?? 0) + (this.#packets?.drain(out) ?? 0);
    if (packets === 0) return;
    const { tally } = this.#shared;
    tally.packetsOut += packets;
    for (let i = first; i < out.length; i++) tally.bytesOut += (out[i] as Uint8Array).length;
    tally.bytesOut -= packets * (HEADER_BYTES + KEY_BYTES);
  }

  keepAlive(): void {
    if (this.#control.length === 0) this.tell(KEEP_ALIVE);
  }

  tell(frame: Uint8Array): void {
    this.#control.push(frame);
    this.#controlBytes += frame.length;
    if (this.#controlBytes > CONTROL_LIMIT_BYTES) this.close();
    else this.#link.wake();
  }

  deliver(bytes: Buffer, start: number, end: number, isDisco: boolean): void {
    const queue = isDisco ? (this.#disco ??= createPacketQueue()) : (this.#packets ??= createPacketQueue());
    // A burst that comes in one turn of the event loop is no reason to drop: only a socket that takes no more is.
    if (queue.isFull() && this.#link.isWritable()) this.#link.flush();
    if (!queue.push(bytes, start, end)) this.#shared.tally.dropped['queue-full']++;
    this.#link.wake();
  }

  /** Ends the session; the socket, too. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (this.#peer) this.#shared.roster.remove(this);
    this.#link.close();
  }

  #refuse(kind: RefusalKind): void {
    this.#shared.tally.refused[kind]++;
    this.close();
  }

  #onFrame(type: number, bytes: Buffer, at: number, end: number): Verdict {
    const peer = this.#peer;
    if (peer === undefined) {
      return type === FRAME.clientInfo ? this.#onClientInfo(bytes.subarray(at + HEADER_BYTES, end)) : STOP;
    }
    if (peer.active !== this) this.#shared.roster.activate(this);
    const verdict = this.#onSteadyFrame(type, bytes, at, end);
    if (this.#isClosed) return PAUSE;
    if (verdict === NEXT && this.#readBucket) {
      const waitMs = this.#readBucket.take(end - at, this.#shared.nowMs());
      if (waitMs > 0) {
        this.#link.pause();
        this.#shared.after(waitMs, () => this.#resume());
        return PAUSE;
      }
    }
    return verdict;
  }

  #onSteadyFrame(type: number, bytes: Buffer, at: number, end: number): Verdict {
    switch (type) {
      case FRAME.sendPacket:
        this.#onSendPacket(bytes, at, end);
        return NEXT;
      case FRAME.ping:
        this.#pong = encodePong(bytes.subarray(at + HEADER_BYTES, at + HEADER_BYTES + PING_BYTES));
        this.#link.wake();
        return NEXT;
      case FRAME.notePreferred:
        this.#isHome = bytes[at + HEADER_BYTES] !== 0;
        return NEXT;
      case FRAME.forwardPacket:
        if (!this.#isMesh) return STOP;
        this.#onForwardPacket(bytes, at, end);
        return NEXT;
      case FRAME.watchConns:
        if (!this.#isMesh) return STOP;
        // A relay that is told to connect to every relay of its region connects to itself, too.
        if (!equalBytes(this.peer.key, this.#shared.publicKey)) this.#shared.roster.watch(this);
        return NEXT;
      case FRAME.closePeer:
        if (!this.#isMesh) return STOP;
        for (const client of this.#shared.roster.find(keyName(bytes, at + HEADER_BYTES))?.connections.slice() ?? []) {
          client.close();
        }
        return NEXT;
      default:
        return STOP;
    }
  }

  #onSendPacket(bytes: Buffer, at: number, end: number): void {
    const { roster, tally } = this.#shared;
    const packetAt = at + HEADER_BYTES + KEY_BYTES;
    tally.packetsIn++;
    tally.bytesIn += end - packetAt;
    const to = roster.find(keyName(bytes, at + HEADER_BYTES));
    const isDisco = looksLikeDisco(bytes, packetAt, end);
    const client = to?.active;
    if (client) {
      roster.noteHeard(client, this.peer);
      turnIntoReceived(bytes, at, this.peer.key);
      client.deliver(bytes, at, end, isDisco);
      return;
    }
    const [forwarder] = to?.forwarders ?? [];
    if (to && forwarder) forwarder.forward(this.peer.key, to.key, bytes.subarray(packetAt, end));
    else this.#onNotHere(bytes.subarray(at + HEADER_BYTES, packetAt), isDisco);
  }

  /** A packet that another relay of the region brings. It is never forwarded again. */
  #onForwardPacket(bytes: Buffer, at: number, end: number): void {
    const { roster } = this.#shared;
    const sourceAt = at + HEADER_BYTES;
    const packetAt = sourceAt + 2 * KEY_BYTES;
    const client = roster.find(keyName(bytes, sourceAt + KEY_BYTES))?.active;
    const isDisco = looksLikeDisco(bytes, packetAt, end);
    if (!client) {
      this.#onNotHere(bytes.subarray(sourceAt + KEY_BYTES, packetAt), isDisco);
      return;
    }
    const source = roster.find(keyName(bytes, sourceAt));
    if (source) roster.noteHeard(client, source);
    client.deliver(bytes, turnForwardedIntoReceived(bytes, at, end), end, isDisco);
  }

  /** Only path discovery is told that nobody is there, and seldom: a client that floods learns nothing faster. */
  #onNotHere(key: Uint8Array, isDisco: boolean): void {
    const { tally, nowMs } = this.#shared;
    tally.dropped['unknown-destination']++;
    if (!isDisco) return;
    this.#notHereBucket ??= createBucket(NOT_HERE_PER_SECOND, NOT_HERE_BURST, nowMs());
    if (this.#notHereBucket.tryTake(1, nowMs())) this.tell(encodePeerGone(key, GONE.notHere));
  }

  #onClientInfo(payload: Uint8Array): Verdict {
    const { crypto, privateKey, admit } = this.#shared;
    if (this.#isAdmitting) return STOP;
    const proven = openClientInfo(crypto, privateKey, payload);
    if (!proven) return STOP;
    if (holdsMeshKey(proven.info, this.#shared.meshKey)) {
      this.#isMesh = true;
      this.#join(proven);
      return NEXT;
    }
    this.#isAdmitting = true;
    const answer = admit(formatNodeKey(proven.publicKey), this.#link.remote.address);
    if (typeof answer === 'boolean') {
      this.#onAdmission(proven, answer);
      return this.#isClosed ? PAUSE : NEXT;
    }
    this.#link.pause();
    void this.#awaitAdmission(proven, answer);
    return PAUSE;
  }

  async #awaitAdmission(proven: ProvenClient, answer: Promise<boolean>): Promise<void> {
    this.#onAdmission(proven, await answer.catch(() => false));
    this.#resume();
  }

  #onAdmission(proven: ProvenClient, allowed: boolean): void {
    if (this.#isClosed) return;
    if (allowed) this.#join(proven);
    else this.#refuse('admission');
  }

  /** Registers before it answers, so that packets can come as soon as the client knows that it is in. */
  #join({ publicKey, info, shared }: ProvenClient): void {
    const { roster, tally, random, bytesPerSecond, burstBytes, nowMs, healthText } = this.#shared;
    this.#isProber = info.isProber;
    this.#peer = roster.peerOf(keyName(Buffer.from(publicKey.buffer), 0), publicKey);
    if (bytesPerSecond > 0 && !this.#isMesh) this.#readBucket = createBucket(bytesPerSecond, burstBytes, nowMs());
    tally.accepted++;
    roster.add(this);
    if (this.#peer.connections.length > this.#shared.connectionsPerKey) this.#peer.connections[0]?.close();
    this.tell(encodeFrame(FRAME.serverInfo, sealServerInfo(shared, random(BOX_NONCE_BYTES))));
    if (healthText !== '') this.tell(encodeHealth(healthText));
  }

  #resume(): void {
    if (this.#isClosed) return;
    if (!this.#reader.resume()) this.#refuse('protocol');
    else if (!this.#reader.isPaused()) this.#link.resume();
  }
}

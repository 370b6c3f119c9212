// One open map stream of one client. It asks netmap for the next message only while the client's connection takes bytes, so
// a slow client costs nothing but its newest state, and whoever is told later is told less.

import type { ServerHttp2Stream } from 'node:http2';

import type { NodeId } from '../base/ids.ts';
import type { DiscoKey } from '../keys/text.ts';
import type { MapStream } from '../netmap/sessions.ts';
import type { CapabilityVersion } from '../wire/capability.ts';
import { KEEP_ALIVE } from '../wire/framing.ts';
import type { Meter, SessionStatus } from './ports.ts';
import type { Peer } from './upgrade.ts';

/** Pieces below this are joined, because each has a price in the layers below; larger ones are shared between sessions as they are. */
const SMALL_BYTES = 4096;
const MESSAGE_LABELS = {
  full: { kind: 'full' },
  change: { kind: 'change' },
  'keep-alive': { kind: 'keep-alive' },
  other: { kind: 'other' },
} as const;

const joinSmall = (pieces: readonly Uint8Array[]): readonly Uint8Array[] => {
  const joined: Uint8Array[] = [];
  let small: Uint8Array[] = [];
  const flush = (): void => {
    if (small.length > 0) joined.push(small.length === 1 ? (small[0] as Uint8Array) : Buffer.concat(small));
    small = [];
  };
  for (const piece of pieces) {
    if (piece.length < SMALL_BYTES) small.push(piece);
    else {
      flush();
      joined.push(piece);
    }
  }
  flush();
  return joined;
};

export class Session {
  readonly node: NodeId;
  readonly peer: Peer;
  /** The disco key, which tells one process of the client from another. */
  readonly process: DiscoKey | undefined;
  readonly capver: CapabilityVersion;
  readonly sinceMs: number;
  readonly #meter: Meter;
  readonly #stream: ServerHttp2Stream;
  readonly #wake: (session: Session) => void;
  #source: MapStream | undefined;
  #stopKeepAlive = (): void => {};
  /** Taken from netmap and not yet written. */
  #taken: readonly Uint8Array[] | undefined;
  #blocked = false;
  #pending = false;
  #ended = false;
  #messages = 0;
  #sentBytes = 0;
  #hasMap = false;
  lastSentMs: number;
  /** When netmap was last asked, on the clock of the outbox. */
  askedMs = -Infinity;

  /** `wake` is called when the session has, or may have, something to send and room to send it. */
  constructor(
    of: {
      node: NodeId;
      peer: Peer;
      process: DiscoKey | undefined;
      capver: CapabilityVersion;
      nowMs: number;
      meter: Meter;
    },
    stream: ServerHttp2Stream,
    wake: (session: Session) => void,
  ) {
    this.node = of.node;
    this.peer = of.peer;
    this.process = of.process;
    this.capver = of.capver;
    this.sinceMs = of.nowMs;
    this.lastSentMs = of.nowMs;
    this.#meter = of.meter;
    this.#stream = stream;
    this.#wake = wake;
    stream.on('drain', () => {
      this.#blocked = false;
      if (this.#pending) this.#wake(this);
    });
  }

  /** From now on there are maps to send. `open` is given what to call when more is there. */
  begin(open: (wake: () => void) => MapStream | undefined): boolean {
    this.#source = open(() => {
      this.#pending = true;
      if (!this.#blocked) this.#wake(this);
    });
    return this.#source !== undefined;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Asks netmap for what is due and holds it; true if there is something to write. Cheap when other sessions asked just before. */
  take(askedMs: number): boolean {
    this.askedMs = askedMs;
    if (this.#ended || this.#blocked || this.#taken) return false;
    this.#pending = false;
    this.#taken = this.#source?.next();
    return this.#taken !== undefined;
  }

  /** Writes what was taken. */
  write(nowMs: number): void {
    const pieces = this.#taken;
    this.#taken = undefined;
    if (pieces && !this.#ended) {
      this.#send(pieces, nowMs, this.#hasMap ? 'change' : 'full');
      this.#hasMap = true;
    }
    if (this.#pending && !this.#blocked) this.#wake(this);
  }

  /** Writes a message of control's own, such as a ping, unless the client doesn't read. */
  send(message: Uint8Array, nowMs: number): boolean {
    if (this.#ended || this.#blocked) return false;
    this.#send([message], nowMs, message === KEEP_ALIVE ? 'keep-alive' : 'other');
    return true;
  }

  /** Says that the server is there, in bytes that are always the same: clients compare them and skip decoding. */
  keepAlive(nowMs: number): void {
    this.send(KEEP_ALIVE, nowMs);
  }

  /** `stop` is called when the session ends. */
  keptAliveBy(stop: () => void): void {
    this.#stopKeepAlive = stop;
  }

  #send(pieces: readonly Uint8Array[], nowMs: number, kind: 'full' | 'change' | 'keep-alive' | 'other'): void {
    const joined = pieces.length > 1 ? joinSmall(pieces) : pieces;
    const beforeBytes = this.#sentBytes;
    let room = true;
    if (joined.length > 1) this.#stream.cork();
    for (const piece of joined) {
      room = this.#stream.write(piece);
      this.#sentBytes += piece.length;
    }
    if (joined.length > 1) this.#stream.uncork();
    this.#blocked = !room;
    this.#messages += 1;
    this.#meter.count('map_messages_total', 1, MESSAGE_LABELS[kind]);
    this.#meter.count('map_bytes_total', this.#sentBytes - beforeBytes);
    this.lastSentMs = nowMs;
  }

  /** Ends the stream; the client sees a clean end and asks anew. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#taken = undefined;
    this.#stopKeepAlive();
    this.#source?.close();
    if (!this.#stream.destroyed) this.#stream.end();
  }

  status(): SessionStatus {
    return {
      node: this.node,
      remote: this.peer.remote,
      capver: this.capver,
      sinceMs: this.sinceMs,
      messages: this.#messages,
      sentBytes: this.#sentBytes,
      lastSentMs: this.lastSentMs,
      state: !this.#hasMap ? 'waiting' : this.#blocked ? 'slow' : 'open',
    };
  }
}

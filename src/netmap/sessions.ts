// The streams of connected clients: who has to be woken by what, and what each was sent. A stream is woken once and then
// left alone until it was asked for its message, so a burst of changes costs each stream one wake.

import { zstdDecompressSync } from 'node:zlib';
import type { NodeId } from '../base/ids.ts';
import type { CapabilityVersion } from '../wire/capability.ts';
import { addBit, addBits, hasBit } from './bits.ts';
import type { Bits } from './bits.ts';
import { makesRebuild } from './cost.ts';
import type { Entry } from './entry.ts';
import type { Message } from './fragment.ts';
import { PART } from './parts.ts';
import { PeerStream } from './stream.ts';
import { createTimeline } from './timeline.ts';
import type { TimelineEntry } from './timeline.ts';
import type { World } from './world.ts';

export type Cause = 'start' | 'snapshot' | 'node' | 'peers';

interface Session {
  readonly capver: CapabilityVersion;
  readonly stream: PeerStream;
  readonly wake: () => void;
  readonly causes: Set<Cause>;
}

export interface StreamOptions {
  /** Some releases need a message in another form than others (wire/capability.ts). */
  readonly capver: CapabilityVersion;
  /** Leave peers out, as old tools ask when they only want the relay map. */
  readonly omitPeers?: boolean;
}

/**
 * What one connected client is sent. Streams of one node don't know of each other; that a newer one replaces the older is
 * control's business.
 */
export interface MapStream {
  readonly nodeId: NodeId;
  /**
   * The next message as pieces to be written one after the other: length, then zstd frames. The first call gives the full
   * map. Later calls give the cheapest message that brings the client from the last one to now; undefined when nothing
   * is pending. Pieces are shared between streams and must not be changed.
   */
  readonly next: () => readonly Uint8Array[] | undefined;
  /** Afterwards `next` gives undefined and `wake` is not called. */
  readonly close: () => void;
}

/** A whole map as plain JSON, as the client of this node would hold it: tailcfg.MapResponse of a first message. */
export interface MapValue {
  readonly [field: string]: unknown;
}

export interface Sessions {
  readonly open: (id: NodeId, options: StreamOptions, wake: () => void) => MapStream | undefined;
  readonly fetchOnce: (id: NodeId, options: StreamOptions) => readonly Uint8Array[] | undefined;
  readonly describe: (id: NodeId) => MapValue | undefined;
  readonly timeline: (id: NodeId) => readonly TimelineEntry[];
  /** Parts of the node's own map may differ. */
  readonly mark: (id: NodeId, parts: number, cause: Cause) => void;
  /** The node may see these peers otherwise. */
  readonly check: (id: NodeId, slots: Bits, cause: Cause) => void;
  readonly markAll: (cause: Cause) => void;
  /** Peers were shown something else of the node. */
  readonly wakeAudience: (entry: Entry) => void;
  /** The node no longer takes part: nobody sees it, and it sees nobody. */
  readonly hide: (entry: Entry) => void;
  /** The node is gone. */
  readonly forget: (entry: Entry) => void;
  /** Wakes the streams that were marked. Called at the end of every change, when everything is consistent. */
  readonly flush: () => void;
  readonly stats: () => {
    streams: number;
    fragments: number;
    fragmentBytes: number;
    fullMaps: number;
    deltas: number;
    rebuilds: number;
    sentBytes: number;
  };
}

export const createSessions = (world: World, nowMs: () => number): Sessions => {
  const byNode = new Map<NodeId, Set<Session>>();
  /** Streams that nobody has woken since their last message. */
  const idle = new Set<Session>();
  const busy = new Set<Session>();
  let marked: Session[] = [];
  const timeline = createTimeline();
  let fullMaps = 0;
  let deltas = 0;
  let rebuilds = 0;
  let sentBytes = 0;

  const raise = (session: Session, cause: Cause): void => {
    session.causes.add(cause);
    if (!idle.delete(session)) return;
    busy.add(session);
    marked.push(session);
  };

  const each = (id: NodeId, use: (session: Session) => void): void => {
    const sessions = byNode.get(id);
    if (sessions) for (const session of sessions) use(session);
  };

  const eachSession = (use: (session: Session) => void): void => {
    // Collected first: raising a session moves it from one set to the other.
    for (const session of [...idle, ...busy]) use(session);
  };

  const note = (session: Session, message: Message): void => {
    if (message.full) fullMaps++;
    else deltas++;
    const rebuild = makesRebuild(message.cost, session.capver);
    if (rebuild) rebuilds++;
    sentBytes += message.sizeBytes;
    timeline.note(session.stream.nodeId, {
      atMs: nowMs(),
      kind: message.full ? 'full' : 'delta',
      fields: message.fields,
      causes: [...session.causes],
      sizeBytes: message.sizeBytes,
      rebuild,
    });
  };

  const fetchOnce = (id: NodeId, options: StreamOptions): readonly Uint8Array[] | undefined =>
    new PeerStream(world, id, options.capver, options.omitPeers === true).next(nowMs())?.pieces;

  return {
    open: (id, options, wake) => {
      if (!world.entries.has(id)) return undefined;
      const stream = new PeerStream(world, id, options.capver, options.omitPeers === true);
      const session: Session = { capver: options.capver, stream, wake, causes: new Set(['start']) };
      const sessions = byNode.get(id) ?? new Set();
      byNode.set(id, sessions.add(session));
      // Nobody has to wake it before its first message.
      busy.add(session);
      let open = true;
      return {
        nodeId: id,
        next: () => {
          if (!open) return undefined;
          const message = stream.next(nowMs());
          if (message) note(session, message);
          session.causes.clear();
          busy.delete(session);
          idle.add(session);
          return message?.pieces;
        },
        close: () => {
          if (!open) return;
          open = false;
          idle.delete(session);
          busy.delete(session);
          sessions.delete(session);
          if (sessions.size === 0) byNode.delete(id);
        },
      };
    },
    fetchOnce,
    describe: (id) => {
      const pieces = fetchOnce(id, { capver: 0 });
      if (!pieces) return undefined;
      return JSON.parse(zstdDecompressSync(Buffer.concat(pieces).subarray(4)).toString()) as MapValue;
    },
    timeline: timeline.read,
    mark: (id, parts, cause) =>
      each(id, (session) => {
        session.stream.dirty |= parts;
        raise(session, cause);
      }),
    check: (id, slots, cause) =>
      each(id, (session) => {
        session.stream.dirty |= PART.somePeers;
        addBits(session.stream.check, slots);
        raise(session, cause);
      }),
    markAll: (cause) =>
      eachSession((session) => {
        session.stream.dirty = PART.all;
        raise(session, cause);
      }),
    wakeAudience: (entry) => {
      const { population } = world;
      const audience = population.node(entry.id) !== undefined ? population.visiblePeers(entry.id) : undefined;
      // Seeing is mutual, so those whom the node sees are its audience. In a storm most streams are awake already, and
      // looking through the rest is shorter.
      if (audience && audience.size < idle.size) {
        for (const id of audience) if (id !== entry.id) each(id, (session) => raise(session, 'peers'));
      } else {
        for (const session of idle) if (hasBit(session.stream.known, entry.slot)) raise(session, 'peers');
      }
    },
    hide: (entry) => {
      eachSession((session) => {
        if (session.stream.nodeId === entry.id) session.stream.dirty = PART.all;
        else if (hasBit(session.stream.known, entry.slot)) {
          session.stream.dirty |= PART.somePeers;
          addBit(session.stream.check, entry.slot);
        } else return;
        raise(session, 'peers');
      });
    },
    forget: (entry) => {
      timeline.forget(entry.id);
      eachSession((session) => {
        const had = hasBit(session.stream.known, entry.slot);
        session.stream.forget(entry.slot, entry.id);
        if (had) raise(session, 'peers');
      });
    },
    flush: () => {
      const sessions = marked;
      marked = [];
      for (const session of sessions) if (busy.has(session)) session.wake();
    },
    stats: () => ({
      streams: idle.size + busy.size,
      fragments: world.budget.count,
      fragmentBytes: world.budget.sizeBytes,
      fullMaps,
      deltas,
      rebuilds,
      sentBytes,
    }),
  };
};

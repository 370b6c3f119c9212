// The live tailnet: what git declares, what is registered and who is online, turned into what each client is told. It is
// the only thing that control talks to about maps. Synchronous, without timers: whoever writes to clients decides when to
// ask a stream for its next message, and the message then holds everything that is pending, latest state first and only.

import type { NodeId } from '../base/ids.ts';
import type { Population } from '../policy/population.ts';
import type { RegistryChange } from '../registry/change.ts';
import type { NodeRecord } from '../registry/record.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { CapabilityVersion } from '../wire/capability.ts';
import type { DerpRegion } from '../wire/derp.ts';
import type { Login, User } from '../wire/user.ts';
import type { ResolvedNode } from './resolve.ts';

export interface TailnetOptions {
  /** Unix milliseconds; for ControlTime and the timeline only. */
  readonly nowMs: () => number;
  /** The relay inside the server as a region of the DERP map; null where none runs. Served while the snapshot wants it. */
  readonly embeddedRegion: DerpRegion | null;
  /** How many bytes of compressed fragments may be kept for sharing; 64 MiB by default. */
  readonly fragmentBytes?: number;
}

export interface StreamOptions {
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
  next(): readonly Uint8Array[] | undefined;
  /** Forgets what the client has: the next message is a full map. For a client whose connection lost something. */
  resync(): void;
  /** Must be called once; afterwards `next` gives undefined and `wake` is not called. */
  close(): void;
}

/** One message that was sent, for people who ask what happened. */
export interface TimelineEntry {
  readonly atMs: number;
  readonly kind: 'full' | 'delta';
  /** Fields of tailcfg.MapResponse in the message, with counts of peers: `PeersChangedPatch(3)`. */
  readonly fields: readonly string[];
  /** What caused it: `endpoints`, `online`, `policy`, `snapshot` … */
  readonly causes: readonly string[];
  readonly sizeBytes: number;
}

/** A whole map as plain JSON, as the client of this node would hold it: tailcfg.MapResponse of a first message. */
export interface MapValue {
  readonly [field: string]: unknown;
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
  readonly sentBytes: number;
}

export interface Tailnet {
  readonly snapshot: Snapshot;
  /** The policy applied to the nodes that take part: for SSH checks, whois and explanations. */
  readonly population: Population;
  /** A new revision. Streams are woken where it changes something for them. */
  setSnapshot(snapshot: Snapshot): void;
  /** What the registry's subscribers hear, in order. */
  apply(changes: readonly RegistryChange[]): void;
  /** Presence as control sees it, grace period included. `lastSeenMs` is the registry's. */
  setOnline(id: NodeId, online: boolean): void;
  isOnline(id: NodeId): boolean;
  /** A node as it is served: registered, and what nodes.json5 and routes.json5 say over it. */
  node(id: NodeId): ResolvedNode | undefined;
  /** Who the client is told that it is, for the answer to a registration: the same as in its maps. */
  accountOf(record: NodeRecord): { readonly User: User; readonly Login: Login };
  /**
   * Begins a stream. `wake` is called when something becomes pending, at most once until the next call of `next`, and
   * never from within `next`. Undefined for an unknown node.
   */
  open(id: NodeId, options: StreamOptions, wake: () => void): MapStream | undefined;
  /** A full map for a request that doesn't stream. */
  fetchOnce(id: NodeId, options: StreamOptions): readonly Uint8Array[] | undefined;
  /** The map that a client would get now, as a value: for debugging and tests. */
  describe(id: NodeId): MapValue | undefined;
  /** The last messages to a node, oldest first; kept across its streams. */
  timeline(id: NodeId): readonly TimelineEntry[];
  stats(): TailnetStats;
}

export const createTailnet = (snapshot: Snapshot, nodes: Iterable<NodeRecord>, options: TailnetOptions): Tailnet => {
  void snapshot;
  void nodes;
  void options;
  throw new Error('not yet');
};

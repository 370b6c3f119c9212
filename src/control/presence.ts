// Which nodes are there: a node is online while it has a map stream, and for a little longer, so that a reconnect is not
// news for its peers. A node has one stream; a newer one takes the place of the older. Ephemeral nodes that stay away
// are removed.

import type { NodeId } from '../base/ids.ts';
import type { Registry } from '../registry/registry.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { isExpired } from './expiry.ts';
import { noteNode, type MapSource, type Note } from './ports.ts';
import type { Session } from './session.ts';

/** After a start, nodes that were there until just before count as online for so long: they are on their way back. */
const RETURN_MS = 60_000;
/**
 * When many nodes leave at once, it is a network or a server that went, not they: more than a part of those that stay, and
 * more than a handful. Then each is given its grace several times over.
 */
const MASS_SHARE = 1 / 4;
const MASS_LEAST = 20;
const MASS_GRACES = 6;
/** setTimeout takes no longer delays. */
const MAX_DELAY_MS = 2 ** 31 - 1;

export interface PresencePorts {
  readonly now: () => number;
  readonly registry: Registry;
  readonly netmap: MapSource;
  readonly snapshot: () => Snapshot;
  readonly note: Note;
  readonly offlineGraceMs: number;
}

export interface Presence {
  /** The node is there; its older stream, if any, ends. */
  readonly arrive: (session: Session) => void;
  /** The stream ended. Does nothing for a session whose place was taken. */
  readonly leave: (session: Session) => void;
  readonly sessionOf: (node: NodeId) => Session | undefined;
  readonly sessions: () => Iterable<Session>;
  /** Nodes that are online, those within their grace included. */
  readonly online: () => number;
  /** The snapshot was swapped, which may give ephemeral nodes another time. */
  readonly recheck: () => void;
  /** Stops all timers and remembers when the nodes were last seen. */
  readonly close: () => void;
}

export const createPresence = (ports: PresencePorts): Presence => {
  const { netmap, now, registry } = ports;
  const sessions = new Map<NodeId, Session>();
  /** Nodes without a stream that count as online until their timer fires. */
  const leaving = new Map<NodeId, NodeJS.Timeout>();
  /** Ephemeral nodes that are offline. */
  const removals = new Map<NodeId, NodeJS.Timeout>();
  let closed = false;

  const stop = (timers: Map<NodeId, NodeJS.Timeout>, node: NodeId): void => {
    clearTimeout(timers.get(node));
    timers.delete(node);
  };

  const remove = async (node: NodeId): Promise<void> => {
    removals.delete(node);
    const record = registry.view.nodes.get(node);
    if (!record?.ephemeral || sessions.has(node)) return;
    const outcome = await registry.apply({ kind: 'remove', id: node, cause: 'inactive' });
    if (!outcome.ok) expectRemoval(node, now());
  };

  /** Begins to count the time that an ephemeral node is away. */
  const expectRemoval = (node: NodeId, sinceMs: number): void => {
    if (closed || !registry.view.nodes.get(node)?.ephemeral) return;
    const leftMs = sinceMs + ports.snapshot().tailnet.nodes.ephemeralTimeoutMs - now();
    stop(removals, node);
    const run = (): void => {
      remove(node).catch((fault: unknown) => ports.note('error', 'removal failed', { fault }));
    };
    const timer = setTimeout(run, Math.min(Math.max(leftMs, 1000), MAX_DELAY_MS));
    removals.set(node, timer.unref());
  };

  const goOffline = (node: NodeId, lastSeenMs: number): void => {
    leaving.delete(node);
    const record = registry.view.nodes.get(node);
    if (record) {
      // In this order, so that peers get both facts in one patch.
      registry.note(node, { lastSeenMs });
      ports.note('info', 'node offline', noteNode(record));
    }
    netmap.setOnline(node, false);
    expectRemoval(node, lastSeenMs);
  };

  const isMassDeparture = (): boolean => leaving.size > Math.max(MASS_LEAST, sessions.size * MASS_SHARE);

  const awaitReturn = (node: NodeId, lastSeenMs: number, graceMs: number, graces = 1): void => {
    stop(leaving, node);
    const over = (): void => {
      if (graces < MASS_GRACES && isMassDeparture()) awaitReturn(node, lastSeenMs, graceMs, graces + 1);
      else goOffline(node, lastSeenMs);
    };
    leaving.set(node, setTimeout(over, graceMs).unref());
  };

  for (const record of registry.view.nodes.values()) {
    const awayMs = now() - record.lastSeenMs;
    if (awayMs < RETURN_MS && !isExpired(record, now())) {
      netmap.setOnline(record.id, true);
      awaitReturn(record.id, record.lastSeenMs, RETURN_MS - awayMs, MASS_GRACES);
    } else expectRemoval(record.id, record.lastSeenMs);
  }

  return {
    arrive: (session) => {
      const { node } = session;
      const older = sessions.get(node);
      sessions.set(node, session);
      stop(leaving, node);
      stop(removals, node);
      older?.end();
      const record = registry.view.nodes.get(node);
      if (record && !netmap.isOnline(node)) ports.note('info', 'node online', noteNode(record));
      netmap.setOnline(node, true);
      netmap.setSilent(node, false);
    },
    leave: (session) => {
      const { node } = session;
      if (sessions.get(node) !== session) return;
      sessions.delete(node);
      if (closed) return;
      // A node that was removed or has logged out is not coming back in a moment.
      const record = registry.view.nodes.get(node);
      if (!record || isExpired(record, now())) goOffline(node, now());
      else {
        // What goes through a router can't wait whether it comes back.
        netmap.setSilent(node, true);
        awaitReturn(node, now(), ports.offlineGraceMs);
      }
    },
    sessionOf: (node) => sessions.get(node),
    sessions: () => sessions.values(),
    online: () => sessions.size + leaving.size,
    recheck: () => {
      for (const node of removals.keys().toArray())
        expectRemoval(node, registry.view.nodes.get(node)?.lastSeenMs ?? now());
    },
    close: () => {
      closed = true;
      for (const node of sessions.keys()) registry.note(node, { lastSeenMs: now() });
      for (const timer of [...leaving.values(), ...removals.values()]) clearTimeout(timer);
      leaving.clear();
      removals.clear();
    },
  };
};

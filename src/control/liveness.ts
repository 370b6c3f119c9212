// Whether subnet routers that have a stand-in still answer. One that stopped without a word keeps its connection, so it is
// asked over its map stream now and then; only these few nodes are, as nobody else could carry on for another.

import type { NodeId } from '../base/ids.ts';
import type { Registry } from '../registry/registry.ts';
import type { Callbacks } from './callback.ts';
import { noteNode, type ControlLimits, type MapSource, type Note } from './ports.ts';
import type { Presence } from './presence.ts';

/** One question may get lost in a busy machine. */
const MISSES = 2;
/** How many rounds a router has to come back after a start of the server. */
const RETURN_ROUNDS = 5;

export interface LivenessPorts {
  readonly netmap: Pick<MapSource, 'sharingRouters' | 'setSilent' | 'isOnline'>;
  readonly presence: Pick<Presence, 'sessionOf'>;
  readonly callbacks: Pick<Callbacks, 'ping'>;
  readonly registry: Registry;
  readonly limits: Pick<ControlLimits, 'routerProbeMs'>;
  readonly note: Note;
}

/** Fails over within three times `routerProbeMs`: what is left of a round, and two questions without an answer. */
export const createLiveness = (ports: LivenessPorts): { readonly close: () => void } => {
  const { netmap, presence, callbacks, registry, note } = ports;
  const { routerProbeMs } = ports.limits;
  /** Questions in a row that were not answered. */
  const misses = new Map<NodeId, number>();

  const tell = (node: NodeId, event: string): void => {
    const record = registry.view.nodes.get(node);
    if (record) note('warn', event, noteNode(record));
  };

  const probe = async (node: NodeId): Promise<void> => {
    const { ok } = await callbacks.ping(node, routerProbeMs);
    const missed = misses.get(node) ?? 0;
    if (ok) {
      misses.delete(node);
      netmap.setSilent(node, false);
      if (missed >= MISSES) tell(node, 'router answers again');
    } else if (presence.sessionOf(node)) {
      misses.set(node, missed + 1);
      if (missed + 1 < MISSES) return;
      netmap.setSilent(node, true);
      if (missed + 1 === MISSES) tell(node, 'router is silent');
    }
  };

  /**
   * After a start of the server, nodes that were there before count as online for a while. A router that takes longer than most
   * clients need to connect again is passed over, if another one is there.
   */
  const awaitReturn = (node: NodeId): void => {
    const missed = (misses.get(node) ?? 0) + 1;
    misses.set(node, missed);
    if (missed < RETURN_ROUNDS) return;
    netmap.setSilent(node, true);
    if (missed === RETURN_ROUNDS) tell(node, 'router did not return');
  };

  const round = (): void => {
    const routers = netmap.sharingRouters();
    for (const node of misses.keys()) if (!routers.has(node)) misses.delete(node);
    for (const node of routers) {
      if (!presence.sessionOf(node)) {
        if (netmap.isOnline(node)) awaitReturn(node);
        continue;
      }
      probe(node).catch((fault: unknown) => note('error', 'probe failed', { fault }));
    }
  };

  const timer = setInterval(round, routerProbeMs).unref();
  return { close: () => clearInterval(timer) };
};

// Copied disks: two machines with the same machine key and node key. Each would take the other's place as soon as it is sent
// off, and every peer would hear of it each time. So before a process that is new to us takes the place of one that is there,
// the one that is there is asked; if it answers there are two, and the newcomer has to go. A process is known by its disco key,
// which is made anew whenever a client starts and is in no file.

import type { NodeId } from '../base/ids.ts';
import { refuse } from '../base/outcome.ts';
import type { DiscoKey } from '../keys/text.ts';
import type { NodeRecord } from '../registry/record.ts';
import type { Registry } from '../registry/registry.ts';
import type { Callbacks } from './callback.ts';
import { noteNode, type ControlLimits, type CopyFound, type Note } from './ports.ts';
import type { Presence } from './presence.ts';
import type { Peer } from './upgrade.ts';

/** How long a copy is remembered after it was last seen. */
const MEMORY_MS = 3_600_000;

export const COPIED = refuse(
  'control/copied',
  'This machine is a copy: another one with the same keys is connected. Stop tailscaled here, delete its state folder, start it and log in again.',
);

export interface CopiesPorts {
  readonly now: () => number;
  readonly registry: Registry;
  readonly presence: Pick<Presence, 'sessionOf'>;
  readonly callbacks: Pick<Callbacks, 'ping'>;
  readonly limits: Pick<ControlLimits, 'copyProbeMs'>;
  readonly note: Note;
}

export interface Copies {
  /**
   * Whether a process may speak for the node: it does already, or nobody does any more. A promise only where another process
   * is connected and has to be asked.
   */
  readonly maySpeak: (node: NodeRecord, peer: Peer, process: DiscoKey | undefined) => boolean | Promise<boolean>;
  /** Whether somebody who registers is a copy that we know of, of a machine that is still there. */
  readonly isKnownCopy: (peer: Peer) => Promise<boolean>;
  readonly copyOf: (node: NodeId) => CopyFound | undefined;
  readonly forget: (node: NodeId) => void;
}

export const createCopies = (ports: CopiesPorts): Copies => {
  const { now, registry, presence, callbacks, limits, note } = ports;
  const found = new Map<NodeId, CopyFound>();
  /** Questions that are open, by node and asking process: a client that starts asks several things at once. */
  const open = new Map<string, Promise<boolean>>();

  const copyOf = (node: NodeId): CopyFound | undefined => {
    const copy = found.get(node);
    if (copy && now() - copy.lastMs <= MEMORY_MS) return copy;
    found.delete(node);
    return undefined;
  };

  const remember = (node: NodeRecord, peer: Peer, holder: string): void => {
    const before = copyOf(node.id);
    found.set(node.id, { remote: peer.remote, sinceMs: before?.sinceMs ?? now(), lastMs: now() });
    if (before?.remote !== peer.remote)
      note('warn', 'node is copied', { ...noteNode(node), remote: holder, copy: peer.remote });
  };

  /** True: the place is free now, or was never taken by another process. */
  const ask = async (node: NodeRecord, peer: Peer, process: DiscoKey): Promise<boolean> => {
    const holder = presence.sessionOf(node.id);
    if (!holder) return true;
    const answer = await callbacks.ping(node.id, limits.copyProbeMs);
    const speaker = presence.sessionOf(node.id);
    // Who answered may have gone right after; then somebody else's turn is settled by what is there now.
    if (!answer.ok || !speaker || speaker.process === process) return true;
    remember(node, peer, speaker.peer.remote);
    return false;
  };

  return {
    copyOf,
    maySpeak: (node, peer, process) => {
      const holder = presence.sessionOf(node.id);
      if (!holder || process === undefined || holder.peer === peer) return true;
      if (holder.process === undefined || holder.process === process) return true;
      const name = `${node.id} ${process}`;
      const asked = open.get(name) ?? ask(node, peer, process).finally(() => open.delete(name));
      open.set(name, asked);
      return asked;
    },
    isKnownCopy: async (peer) => {
      for (const id of registry.view.byMachineKey.get(peer.machineKey) ?? []) {
        const holder = presence.sessionOf(id);
        if (!copyOf(id) || !holder || holder.peer === peer) continue;
        const answer = await callbacks.ping(id, limits.copyProbeMs);
        const node = registry.view.nodes.get(id);
        if (!answer.ok || !node || presence.sessionOf(id) !== holder) continue;
        remember(node, peer, holder.peer.remote);
        return true;
      }
      return false;
    },
    forget: (node) => found.delete(node),
  };
};

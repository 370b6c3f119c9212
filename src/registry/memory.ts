// The registry without a disk, for tests and for a server that is thrown away: what is applied shows at once.

import { createEngine } from './engine.ts';
import type { Registry } from './registry.ts';
import { emptyState } from './state.ts';

export const openMemoryRegistry = (now: () => number = Date.now): Registry => {
  const state = emptyState();
  const engine = createEngine({
    state,
    now,
    log: { append: () => Promise.resolve(), recover: () => Promise.resolve() },
  });
  return {
    view: state,
    apply: engine.apply,
    note: engine.note,
    subscribe: engine.subscribe,
    status: () => ({ ...engine.status(), nodes: state.nodes.size, journalBytes: 0, lastSnapshotMs: 0 }),
    checkpoint: () => Promise.resolve(),
    exportFile: () => Promise.reject(new Error('a registry in memory has no file')),
    close: engine.close,
  };
};

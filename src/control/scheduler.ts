// Admission: work that could hold up the event loop waits here for its turn. Kinds of work take turns, so that a storm of
// full maps can't keep a change waiting; within a kind the lanes take turns, so that one address can't keep others out.
// After a few milliseconds the loop gets back to its sockets.

import { performance } from 'node:perf_hooks';

/** In the order of a round, with how many of each are done in one: small and urgent work first. */
const SHARES = { change: 8, handshake: 2, registration: 2, map: 1 } as const;
/** In the last second; a tailnet at rest sees a few in a minute. */
const CROWD = 20;
export type WorkKind = keyof typeof SHARES;
const KINDS = Object.keys(SHARES) as readonly WorkKind[];

export interface Scheduler {
  /** Runs `task` soon, in its turn. The function given back takes it out again if it has not run. */
  readonly enter: (kind: WorkKind, lane: string, task: () => void) => () => void;
  readonly waiting: (kind: WorkKind) => number;
  /** Whether machines come in crowds: more than twenty in the last second. */
  readonly isCrowded: () => boolean;
}

interface Entry {
  /** Undefined once it has run or was taken out. */
  task: (() => void) | undefined;
}

/** First in, first out within a lane; lanes in turn. The order of the map is the order of turns. */
class Lanes {
  readonly #lanes = new Map<string, Entry[]>();
  count = 0;

  add(lane: string, entry: Entry): void {
    const entries = this.#lanes.get(lane);
    if (entries) entries.push(entry);
    else this.#lanes.set(lane, [entry]);
    this.count += 1;
  }

  take(): (() => void) | undefined {
    for (const [lane, entries] of this.#lanes) {
      const entry = entries.shift();
      this.#lanes.delete(lane);
      if (entries.length > 0) this.#lanes.set(lane, entries);
      const task = entry?.task;
      if (entry && task) {
        this.count -= 1;
        entry.task = undefined;
        return task;
      }
    }
    return undefined;
  }
}

export const createScheduler = (sliceMs: number, onFault: (fault: unknown) => void): Scheduler => {
  const queues = KINDS.map((kind) => ({ kind, share: SHARES[kind], lanes: new Lanes() }));
  let running = false;
  /** Machines let in during this second and the one before. */
  let arrivals = { sinceMs: performance.now(), count: 0, before: 0 };

  const run = (task: () => void): void => {
    try {
      task();
    } catch (fault) {
      onFault(fault);
    }
  };

  const turnSecond = (): void => {
    const pastMs = performance.now() - arrivals.sinceMs;
    if (pastMs < 1000) return;
    arrivals = { sinceMs: performance.now(), count: 0, before: pastMs < 2000 ? arrivals.count : 0 };
  };

  const countArrival = (): void => {
    turnSecond();
    arrivals.count += 1;
  };

  /** One round over all kinds; false if there was nothing to do. */
  const round = (): boolean => {
    let found = false;
    for (const { kind, share, lanes } of queues) {
      for (let i = 0; i < share; i++) {
        const task = lanes.take();
        if (!task) break;
        found = true;
        if (kind !== 'change') countArrival();
        run(task);
      }
    }
    return found;
  };

  const turn = (): void => {
    const endMs = performance.now() + sliceMs;
    while (round()) {
      if (performance.now() < endMs) continue;
      setImmediate(turn);
      return;
    }
    running = false;
  };

  const lanesOf = (kind: WorkKind): Lanes => (queues[KINDS.indexOf(kind)] as (typeof queues)[number]).lanes;

  return {
    enter: (kind, lane, task) => {
      const lanes = lanesOf(kind);
      const entry: Entry = { task };
      lanes.add(lane, entry);
      if (!running) {
        running = true;
        setImmediate(turn);
      }
      return () => {
        if (!entry.task) return;
        entry.task = undefined;
        lanes.count -= 1;
      };
    },
    waiting: (kind) => lanesOf(kind).count,
    isCrowded: () => {
      turnSecond();
      return Math.max(arrivals.count, arrivals.before) > CROWD;
    },
  };
};

// One timer for all that happens every minute or so to each of thousands of connections: keep-alives and probes. A wheel of
// slots, one second each; it stands still while nothing waits.

const TICK_MS = 1000;

export interface Wheel {
  /** Runs `task` after about `delayMs`, to the second; the function given back calls it off. Tasks must not throw. */
  readonly after: (delayMs: number, task: () => void) => () => void;
  readonly waiting: () => number;
}

/** `slots` is the longest delay in seconds; longer ones are cut to it. */
export const createWheel = (slots = 128): Wheel => {
  const wheel = Array.from({ length: slots }, () => new Set<() => void>());
  let at = 0;
  let count = 0;
  let timer: NodeJS.Timeout | undefined;

  const tick = (): void => {
    at = (at + 1) % slots;
    const due = wheel[at] as Set<() => void>;
    wheel[at] = new Set();
    count -= due.size;
    for (const task of due) task();
    if (count === 0) {
      clearInterval(timer);
      timer = undefined;
    }
  };

  return {
    after: (delayMs, task) => {
      const ticks = Math.min(Math.max(Math.round(delayMs / TICK_MS), 1), slots - 1);
      const index = (at + ticks) % slots;
      // A function of its own, so that one task may wait more than once.
      const entry = (): void => task();
      (wheel[index] as Set<() => void>).add(entry);
      count += 1;
      timer ??= setInterval(tick, TICK_MS).unref();
      return () => {
        if ((wheel[index] as Set<() => void>).delete(entry)) count -= 1;
      };
    },
    waiting: () => count,
  };
};

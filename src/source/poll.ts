// When to ask the origin next: at the interval, spread by a tenth so that many servers do not ask in step, and later and
// later while it fails, but never later than a quarter of an hour.

const FAILURES_LIMIT_MS = 15 * 60_000;

/** `random` is in [0, 1). */
export const pollDelayMs = (pollMs: number, failures: number, random: number): number => {
  const backedOff = Math.min(pollMs * 2 ** Math.min(failures, 16), Math.max(pollMs, FAILURES_LIMIT_MS));
  return Math.round(backedOff * (0.9 + 0.2 * random));
};

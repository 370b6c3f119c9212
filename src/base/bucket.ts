// A token bucket: lets `burst` through at once and `perSecond` for a long time. Units are the caller's: bytes or events.

export interface Bucket {
  /** Takes `amount` if there is that much. */
  readonly tryTake: (amount: number, nowMs: number) => boolean;
  /** Takes `amount` in any case; gives for how many milliseconds the taker has to wait until the debt is paid. */
  readonly take: (amount: number, nowMs: number) => number;
}

export const createBucket = (perSecond: number, burst: number, nowMs: number): Bucket => {
  let level = burst;
  let lastMs = nowMs;
  const refill = (nowMs: number): void => {
    level = Math.min(burst, level + (Math.max(0, nowMs - lastMs) * perSecond) / 1000);
    lastMs = nowMs;
  };
  return {
    tryTake: (amount, nowMs) => {
      refill(nowMs);
      if (level < amount) return false;
      level -= amount;
      return true;
    },
    take: (amount, nowMs) => {
      refill(nowMs);
      level -= amount;
      return level >= 0 ? 0 : Math.ceil((-level * 1000) / perSecond);
    },
  };
};

// Durations as Go's time.ParseDuration reads and time.Duration prints them, which the messages about checkPeriod repeat.

const UNITS: Record<string, number> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** Milliseconds of `1h30m`, `-1m`, `0`; undefined for anything else. */
export const parseDuration = (text: string): number | undefined => {
  const sign = text.startsWith('-') ? -1 : 1;
  const body = text.replace(/^[-+]/, '');
  if (body === '0') return 0;
  if (body.length > 64 || !/^(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+$/.test(body)) return undefined;
  let totalMs = 0;
  for (const [, amount, unit] of body.matchAll(/(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)/g)) {
    totalMs += Number(amount) * (UNITS[unit as string] as number);
  }
  return Number.isFinite(totalMs) ? sign * totalMs : undefined;
};

/** `168h0m1s`, `-1m0s`, `1.5s`, `20ms`, `0s`. */
export const formatDuration = (ms: number): string => {
  const sign = ms < 0 ? '-' : '';
  const size = Math.abs(ms);
  if (size === 0) return '0s';
  if (size < 1000) return `${sign}${size < 1 ? `${Number((size * 1000).toPrecision(12))}µs` : `${size}ms`}`;
  const hours = Math.floor(size / 3_600_000);
  const minutes = Math.floor((size % 3_600_000) / 60_000);
  const seconds = Number(((size % 60_000) / 1000).toFixed(9));
  return `${sign}${hours > 0 ? `${hours}h` : ''}${hours > 0 || minutes > 0 ? `${minutes}m` : ''}${seconds}s`;
};

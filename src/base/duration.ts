// Spans of time as people write them: `90s`, `30m`, `1d12h`, `2w`.

const UNIT_MS: Readonly<Record<string, number>> = {
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};

/** Milliseconds above 0, or undefined for anything else. A hundred years is the most. */
export const parseDuration = (text: string): number | undefined => {
  if (!/^(?:\d{1,9}[smhdw]){1,5}$/.test(text)) return undefined;
  let totalMs = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+)([smhdw])/g)) {
    totalMs += Number(amount) * (UNIT_MS[unit as string] as number);
  }
  return totalMs > 0 && totalMs <= 36_525 * 86_400_000 ? totalMs : undefined;
};

/** The largest whole unit: `30m`, `180d`; never weeks, which people don't expect to be counted in. */
export const formatDuration = (ms: number): string => {
  for (const unit of ['d', 'h', 'm'] as const) {
    const unitMs = UNIT_MS[unit] as number;
    if (ms >= unitMs && ms % unitMs === 0) return `${ms / unitMs}${unit}`;
  }
  return `${Math.round(ms / 1000)}s`;
};

/**
 * `2027-01-31` or an RFC 3339 moment with its zone, as milliseconds since 1970. A day stands for its first or its last
 * moment in UTC.
 */
export const parseMoment = (text: string, dayEdge: 'start' | 'end'): number | undefined => {
  const match = /^(\d{4})-(\d\d)-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:\d\d))?$/.exec(text);
  if (!match) return undefined;
  const day = Date.parse(`${match[1]}-${match[2]}-${match[3]}T00:00:00Z`);
  // Date.parse turns February 30 into March: what comes out must be what went in.
  if (Number.isNaN(day) || new Date(day).getUTCDate() !== Number(match[3])) return undefined;
  if (match[4] === undefined) return dayEdge === 'start' ? day : day + 86_400_000 - 1;
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? undefined : ms;
};

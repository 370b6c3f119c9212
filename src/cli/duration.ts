// Spans of time as people write them: 90s, 15m, 24h, 30d, 1w.

const UNIT_MS: Readonly<Record<string, number>> = {
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};

/** Milliseconds, or undefined where the text is no duration. */
export const parseDuration = (text: string): number | undefined => {
  if (!/^(?:\d+[smhdw])+$/.test(text)) return undefined;
  let totalMs = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+)([smhdw])/g))
    totalMs += Number(amount) * (UNIT_MS[unit as string] as number);
  return Number.isSafeInteger(totalMs) && totalMs > 0 ? totalMs : undefined;
};

// What a client says is wrong with it: health.State, the answer of the call /debug/health. It is text from the client, for
// people; each piece is cut to a length that a log can bear.

import type { Outcome } from '../base/outcome.ts';
import { accept } from '../base/outcome.ts';
import { decodeObject, isObject, parseTime, readObject, readParsed, readText } from './reading.ts';

export interface HealthWarning {
  /** A word of the client's for the kind of problem, such as `no-derp-home`. */
  readonly code: string;
  readonly severity: 'high' | 'medium' | 'low';
  readonly text: string;
  readonly sinceMs: number | undefined;
}

const MAX_WARNINGS = 32;
export const MAX_HEALTH_CODE = 64;
export const MAX_HEALTH_TEXT = 512;

const SEVERITIES = ['high', 'medium', 'low'] as const;

export const decodeHealthState = (bytes: Uint8Array): Outcome<readonly HealthWarning[]> => {
  const decoded = decodeObject(bytes);
  if (!decoded.ok) return decoded;
  const warnings = Object.entries(readObject(decoded.value, 'Warnings') ?? {}).slice(0, MAX_WARNINGS);
  return accept(
    warnings.flatMap(([code, value]): readonly HealthWarning[] => {
      if (!isObject(value)) return [];
      const severity = SEVERITIES.find((known) => known === value['Severity']) ?? 'medium';
      const text = readText(value, 'Text', 64 * 1024) || readText(value, 'Title', 1024) || code;
      const sinceMs = readParsed(value, 'BrokenSince', parseTime);
      return [{ code: code.slice(0, MAX_HEALTH_CODE), severity, text: text.slice(0, MAX_HEALTH_TEXT), sinceMs }];
    }),
  );
};

// What is wrong with a policy, collected in the order of the hosted service's checks and cut off where nobody reads on.

import type { Code } from '../base/catalogue.ts';
import type { Diagnostic, Span } from '../base/diagnostic.ts';

/** A file can hold a problem on every line; nobody reads more than this. */
const REPORTED = 200;

export interface Problems {
  /** `message` is the service's own wording where one is known. */
  error(code: Code, at: Span, message: string, help?: string): void;
  warn(code: Code, at: Span, message: string, help?: string): void;
  readonly list: readonly Diagnostic[];
}

/** The service decodes the whole file before it checks anything, so these come before all others. */
const SHAPE: ReadonlySet<Code> = new Set<Code>(['policy/unknown-field', 'policy/repeated-field', 'policy/wrong-type']);

export const createProblems = (): Problems => {
  const shape: Diagnostic[] = [];
  const errors: Diagnostic[] = [];
  const warnings: Diagnostic[] = [];
  const add = (
    to: Diagnostic[],
    severity: 'error' | 'warning',
    code: Code,
    at: Span,
    message: string,
    help?: string,
  ): void => {
    if (to.length < REPORTED) {
      to.push({ code, severity, message, span: at, ...(help === undefined ? {} : { help }) });
    }
  };
  return {
    error: (code, at, message, help) => add(SHAPE.has(code) ? shape : errors, 'error', code, at, message, help),
    warn: (code, at, message, help) => add(warnings, 'warning', code, at, message, help),
    get list() {
      return [...shape, ...errors, ...warnings];
    },
  };
};

/** A text as Go's %q prints it, for messages that repeat the service's wording. */
export const quote = (text: string): string => JSON.stringify(text);

/** The candidate nearest to a misspelled name, or undefined where none is near. */
const nearestName = (name: string, candidates: Iterable<string>): string | undefined => {
  if (name.length > 64) return undefined;
  let best: string | undefined;
  // The beginning that all names of a kind share, such as `tag:`, doesn't make two names alike.
  const own = name.length - (name.lastIndexOf(':') + 1);
  let bestDistance = Math.max(1, Math.floor(own / 3)) + 1;
  let looked = 0;
  for (const candidate of candidates) {
    if (++looked > 1000) break;
    if (Math.abs(candidate.length - name.length) >= bestDistance) continue;
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
};

const editDistance = (a: string, b: string): number => {
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const swap = (previous[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(swap, (previous[j] as number) + 1, (row[j - 1] as number) + 1));
    }
    previous = row;
  }
  return previous[b.length] as number;
};

/** `Did you mean «x»?` or undefined. */
export const didYouMean = (name: string, candidates: Iterable<string>): string | undefined => {
  const nearest = nearestName(name, candidates);
  return nearest === undefined ? undefined : `Did you mean ${quote(nearest)}?`;
};

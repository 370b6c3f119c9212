// What is wrong with a policy, collected in the order of the hosted service's checks and cut off where nobody reads on.

import type { Code } from '../base/catalogue.ts';
import type { Diagnostic, Span } from '../base/diagnostic.ts';
import { suggest } from '../base/suggest.ts';

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

const MOST_CANDIDATES = 1000;

/** The beginning that all names of a kind share, such as `tag:`, doesn't make two names alike. */
const nearestName = (name: string, candidates: Iterable<string>): string | undefined => {
  const kind = name.slice(0, name.lastIndexOf(':') + 1);
  const own: string[] = [];
  for (const candidate of candidates) {
    if (own.length === MOST_CANDIDATES) break;
    if (candidate.startsWith(kind)) own.push(candidate.slice(kind.length));
  }
  const nearest = suggest(name.slice(kind.length), own);
  return nearest === undefined ? undefined : kind + nearest;
};

/** `Did you mean «x»?` or undefined. */
export const didYouMean = (name: string, candidates: Iterable<string>): string | undefined => {
  const nearest = nearestName(name, candidates);
  return nearest === undefined ? undefined : `Did you mean ${quote(nearest)}?`;
};

// A Diagnostic says what is wrong or risky in a user's document: where, what, why it matters and what to do.
// It is a value, never thrown; a document is taken only if none of its diagnostics is an error.

import type { Code } from './catalogue.ts';

export type Severity = 'error' | 'warning' | 'info';

/** Line and column count from 1, in UTF-16 code units as editors do; the offset counts from 0. */
export interface Position {
  readonly line: number;
  readonly column: number;
  readonly offset: number;
}

/** A stretch of one file, from the first character to just after the last. The file is relative to the tailnet folder. */
export interface Span {
  readonly file: string;
  readonly start: Position;
  readonly end: Position;
}

export interface Diagnostic {
  readonly code: Code;
  readonly severity: Severity;
  /** The first line is a whole sentence on its own; no file names or positions in it. */
  readonly message: string;
  readonly span?: Span;
  /** What to do about it. */
  readonly help?: string;
  /** Other places that explain this one, for example the first of two equal keys. */
  readonly related?: readonly { readonly span: Span; readonly message: string }[];
}

export const hasErrors = (diagnostics: Iterable<Diagnostic>): boolean => {
  for (const diagnostic of diagnostics) if (diagnostic.severity === 'error') return true;
  return false;
};

const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** The order of reports: by file, place and code, so that the same files always give the same text. */
export const compareDiagnostics = (a: Diagnostic, b: Diagnostic): number =>
  compareText(a.span?.file ?? '', b.span?.file ?? '') ||
  (a.span?.start.offset ?? 0) - (b.span?.start.offset ?? 0) ||
  compareText(a.code, b.code) ||
  compareText(a.message, b.message);

// Findings for programs. The form is published as schemas/lint-report.schema.json and only grows.

import type { Diagnostic, Span } from '../base/diagnostic.ts';
import { countFindings, type Counts, type Report } from './report.ts';

interface Place {
  readonly file: string;
  readonly start: { readonly line: number; readonly column: number; readonly offset: number };
  readonly end: { readonly line: number; readonly column: number; readonly offset: number };
}

export interface LintReport {
  readonly schema: 'lint-report.schema.json';
  readonly ok: boolean;
  readonly counts: Counts;
  readonly files: readonly string[];
  readonly diagnostics: readonly (Omit<Diagnostic, 'span' | 'related'> & {
    readonly place?: Place;
    readonly related?: readonly { readonly message: string; readonly place: Place }[];
  })[];
}

const placeOf = ({ file, start, end }: Span): Place => ({ file, start, end });

/** `ok`: whether the caller takes it; warnings may count. */
export const lintReport = (report: Report, ok: boolean): LintReport => ({
  schema: 'lint-report.schema.json',
  ok,
  counts: countFindings(report.diagnostics),
  files: [...report.sources.keys()],
  diagnostics: report.diagnostics.map(({ span, related, ...rest }) => ({
    ...rest,
    ...(span ? { place: placeOf(span) } : {}),
    ...(related ? { related: related.map(({ span, message }) => ({ message, place: placeOf(span) })) } : {}),
  })),
});

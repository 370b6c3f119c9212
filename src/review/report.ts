// A report is findings and the files they speak about. Each renderer turns the same report into one form: for a terminal, a
// program, a code host or a pull request.

import type { Diagnostic, Severity } from '../base/diagnostic.ts';

export interface Report {
  /** In the order in which they are to be shown. */
  readonly diagnostics: readonly Diagnostic[];
  /** The text of each file by the name that spans use; a file without text is shown without its lines. */
  readonly sources: ReadonlyMap<string, string>;
}

export type Counts = Readonly<Record<Severity, number>>;

export const countFindings = (diagnostics: readonly Diagnostic[]): Counts => {
  const counts = { error: 0, warning: 0, info: 0 };
  for (const { severity } of diagnostics) counts[severity]++;
  return counts;
};

const plural = (count: number, word: string): string => `${count} ${word}${count === 1 ? '' : 's'}`;

/** `2 errors and 1 warning`, or `nothing to report`. */
export const describeCounts = ({ error, warning, info }: Counts): string => {
  const parts = [
    ...(error > 0 ? [plural(error, 'error')] : []),
    ...(warning > 0 ? [plural(warning, 'warning')] : []),
    ...(info > 0 ? [plural(info, 'note')] : []),
  ];
  if (parts.length === 0) return 'nothing to report';
  return parts.length === 1 ? (parts[0] as string) : `${parts.slice(0, -1).join(', ')} and ${parts.at(-1)}`;
};

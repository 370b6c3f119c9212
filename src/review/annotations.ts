// Findings as GitHub workflow commands, which show on the lines of a pull request. GitHub takes ten errors, ten warnings
// and ten notices from a step and drops the rest, so the last place of each says what was left out.

import type { Diagnostic, Severity } from '../base/diagnostic.ts';
import { printable } from './excerpt.ts';
import type { Report } from './report.ts';

const COMMAND: Readonly<Record<Severity, string>> = { error: 'error', warning: 'warning', info: 'notice' };
const LIMIT = 10;

/** As actions/toolkit escapes: nothing in a text can end the command or begin another one. */
const escapeText = (text: string): string =>
  text.split('\n').map(printable).join('\n').replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
const escapeProperty = (text: string): string => escapeText(text).replaceAll(':', '%3A').replaceAll(',', '%2C');

const annotate = ({ severity, code, message, span, help }: Diagnostic, prefix: string): string => {
  const properties: string[] = [];
  if (span) {
    properties.push(
      `file=${escapeProperty(prefix + span.file)}`,
      `line=${span.start.line}`,
      `endLine=${span.end.line}`,
    );
    // GitHub shows columns only where a finding stays on one line.
    if (span.start.line === span.end.line) properties.push(`col=${span.start.column}`, `endColumn=${span.end.column}`);
  }
  properties.push(`title=${escapeProperty(code)}`);
  return `::${COMMAND[severity]} ${properties.join(',')}::${escapeText(help === undefined ? message : `${message}\n${help}`)}`;
};

/** One command a line. `prefix` is where the tailnet folder lies in the repository: `` or `tailnet/`. */
export const renderAnnotations = ({ diagnostics }: Report, prefix: string): string => {
  const lines: string[] = [];
  for (const severity of ['error', 'warning', 'info'] as const) {
    const mine = diagnostics.filter((diagnostic) => diagnostic.severity === severity);
    const shown = mine.length > LIMIT ? LIMIT - 1 : mine.length;
    lines.push(...mine.slice(0, shown).map((diagnostic) => annotate(diagnostic, prefix)));
    if (mine.length > shown)
      lines.push(`::${COMMAND[severity]} title=tailplane::${mine.length - shown} more are in the job summary.`);
  }
  return lines.map((line) => `${line}\n`).join('');
};

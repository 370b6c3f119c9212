// Findings for a person at a terminal: what is wrong, where, the line with the stretch underlined, and what to do.

import { styleText } from 'node:util';
import type { Diagnostic, Severity, Span } from '../base/diagnostic.ts';
import { excerptOf, printable } from './excerpt.ts';
import { countFindings, describeCounts, type Report } from './report.ts';

export interface TerminalOptions {
  /** Only where asked for: whoever calls knows whether it is a terminal. */
  readonly colour: boolean;
}

type Format = Parameters<typeof styleText>[0];

const COLOURS: Readonly<Record<Severity, Format>> = {
  error: ['bold', 'red'],
  warning: ['bold', 'yellow'],
  info: ['bold', 'blue'],
};

export const formatPlace = ({ file, start }: Span): string => `${printable(file)}:${start.line}:${start.column}`;

const widthOfNumbers = (diagnostic: Diagnostic): number =>
  Math.max(
    ...[diagnostic.span, ...(diagnostic.related ?? []).map(({ span }) => span)].map(
      (span) => String(span?.start.line ?? 0).length,
    ),
  );

interface Mark {
  readonly span: Span;
  readonly sign: '^' | '-';
  readonly note: string;
}

/** The marked lines of one file, in its order; marks that fit share a line. */
const renderMarks = (
  marks: readonly Mark[],
  source: string | undefined,
  paint: (sign: '^' | '-', text: string) => string,
) => {
  const lines: { readonly line: number; readonly text: string; under: string; end: number }[] = [];
  for (const { span, sign, note } of marks.toSorted((a, b) => a.span.start.offset - b.span.start.offset)) {
    const excerpt = excerptOf(source, span);
    if (!excerpt) continue;
    const mark = paint(sign, sign.repeat(excerpt.width) + (note && ` ${note}`));
    const end = excerpt.indent + excerpt.width + (note === '' ? 0 : note.length + 1);
    const last = lines.at(-1);
    if (last?.line === excerpt.line && last.text === excerpt.text && last.end < excerpt.indent) {
      last.under += ' '.repeat(excerpt.indent - last.end) + mark;
      last.end = end;
    } else {
      lines.push({ line: excerpt.line, text: excerpt.text, under: ' '.repeat(excerpt.indent) + mark, end });
    }
  }
  return lines;
};

/** Without a line feed at the end. */
export const renderDiagnostic = (
  diagnostic: Diagnostic,
  sources: Report['sources'],
  { colour }: TerminalOptions,
): string => {
  const style = (format: Format, text: string): string =>
    colour ? styleText(format, text, { validateStream: false }) : text;
  const paint = (sign: '^' | '-', text: string): string => style(sign === '^' ? COLOURS[severity] : 'cyan', text);
  const { severity, code, message, span, help, related = [] } = diagnostic;
  const [first = '', ...more] = message.split('\n').map(printable);
  const gutter = ' '.repeat(widthOfNumbers(diagnostic));
  const bar = style('cyan', `${gutter} |`);
  const out = [`${style(COLOURS[severity], `${severity}[${code}]`)}: ${style('bold', first)}`];

  const marks: Mark[] = [
    ...(span ? [{ span, sign: '^' as const, note: '' }] : []),
    ...related.map((other) => ({ span: other.span, sign: '-' as const, note: printable(other.message) })),
  ];
  for (const [file, mine] of Map.groupBy(marks, (mark) => mark.span.file)) {
    const [head] = mine as [Mark];
    const lines = renderMarks(mine, sources.get(file), paint);
    const note = lines.length === 0 && head.note !== '' ? `: ${head.note}` : '';
    out.push(`${gutter}${style('cyan', head.sign === '^' ? '-->' : ':::')} ${formatPlace(head.span)}${note}`);
    if (lines.length > 0) out.push(bar);
    for (const { line, text, under } of lines) {
      out.push(`${style('cyan', `${String(line).padStart(gutter.length)} |`)} ${text}`, `${bar} ${under}`);
    }
  }
  for (const line of more) out.push(`${gutter} ${style('cyan', '=')} ${line}`);
  if (help !== undefined) out.push(`${gutter} ${style('cyan', '=')} ${style('bold', 'help')}: ${printable(help)}`);
  return out.join('\n');
};

export const renderTerminal = (report: Report, options: TerminalOptions): string => {
  const findings = report.diagnostics.map(
    (diagnostic) => `${renderDiagnostic(diagnostic, report.sources, options)}\n\n`,
  );
  const files = report.sources.size;
  const counts = describeCounts(countFindings(report.diagnostics));
  return `${findings.join('')}${counts[0]?.toUpperCase()}${counts.slice(1)} in ${files} file${files === 1 ? '' : 's'}.\n`;
};

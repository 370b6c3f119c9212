// Findings for a person at a terminal: what is wrong, where, the line with the stretch underlined, and what to do.

import { styleText } from 'node:util';
import type { Diagnostic, Severity, Span } from '../base/diagnostic.ts';
import { excerptOf, printable, type Excerpt } from './excerpt.ts';
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

type Paint = (sign: '^' | '-', text: string) => string;

/** Marks of one line, left to right, in as few rows as they need: signs first, then the notes that don't fit behind. */
const renderRows = (marks: readonly (Mark & Excerpt)[], paint: Paint): string[] => {
  const rows: { text: string; end: number }[] = [];
  const put = (row: number, indent: number, width: number, text: string): void => {
    const target = rows[row] ?? { text: '', end: 0 };
    rows[row] = { text: target.text + ' '.repeat(Math.max(indent - target.end, 0)) + text, end: indent + width };
  };
  let notes = 0;
  let free = 0;
  for (const [i, { sign, indent, width, note }] of marks.entries()) {
    // Two marks that overlap: the later one goes below.
    const row = indent < free ? ++notes : 0;
    free = Math.max(free, indent + width);
    const last = i === marks.length - 1;
    put(row, indent, width, paint(sign, sign.repeat(width) + (last && note !== '' ? ` ${note}` : '')));
    if (!last && note !== '') put(++notes, indent, note.length, paint(sign, note));
  }
  return rows.map(({ text }) => text);
};

/** The marked lines of one file, in its order. */
const renderMarks = (marks: readonly Mark[], source: string | undefined, paint: Paint) =>
  [...Map.groupBy(marks, ({ span }) => span.start.line)]
    .sort(([a], [b]) => a - b)
    .flatMap(([line, mine]) => {
      const sorted = mine.toSorted((a, b) => a.span.start.offset - b.span.start.offset);
      const anchor = (sorted[0] as Mark).span.start.offset;
      const excerpts = sorted.flatMap((mark) => {
        const excerpt = excerptOf(source, mark.span, anchor);
        return excerpt ? [{ ...mark, ...excerpt }] : [];
      });
      // Spans that lie too far apart on one line are shown in pieces of it.
      return [...Map.groupBy(excerpts, ({ text }) => text)].map(([text, some]) => ({
        line,
        text,
        rows: renderRows(some, paint),
      }));
    });

/** Without a line feed at the end. */
export const renderDiagnostic = (
  diagnostic: Diagnostic,
  sources: Report['sources'],
  { colour }: TerminalOptions,
): string => {
  const style = (format: Format, text: string): string =>
    colour ? styleText(format, text, { validateStream: false }) : text;
  const paint: Paint = (sign, text) => style(sign === '^' ? COLOURS[severity] : 'cyan', text);
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
    for (const { line, text, rows } of lines) {
      out.push(
        `${style('cyan', `${String(line).padStart(gutter.length)} |`)} ${text}`,
        ...rows.map((row) => `${bar} ${row}`),
      );
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

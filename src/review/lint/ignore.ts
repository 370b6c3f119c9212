// `// tailplane-ignore CODE reason` switches a finding off: on the line it ends, or on the first line with content below
// it. An ignore without a reason, of an unknown code, or of nothing is a finding itself, so that none outlives its cause.

import { catalogue, type Code } from '../../base/catalogue.ts';
import type { Diagnostic, Span } from '../../base/diagnostic.ts';
import { suggest } from '../../base/suggest.ts';
import type { LocatedFile } from '../../config/folder.ts';

interface Ignore {
  readonly file: string;
  readonly code: string;
  readonly line: number;
  readonly span: Span;
  readonly hasReason: boolean;
  used: boolean;
}

const PATTERN = /^tailplane-ignore\b[ \t]*(\S*)[ \t]*(.*)$/m;

/** The line that a comment speaks about: its own where something stands before it, else the next one that isn't comment. */
const targetLine = ({ text, comments }: LocatedFile, span: Span): number => {
  const lines = text.split(/\r\n|\r|\n/);
  if ((lines[span.start.line - 1] ?? '').slice(0, span.start.column - 1).trim() !== '') return span.start.line;
  const commented = new Set(
    comments
      .filter(
        (comment) => (lines[comment.span.start.line - 1] ?? '').slice(0, comment.span.start.column - 1).trim() === '',
      )
      .flatMap(({ span: { start, end } }) =>
        Array.from({ length: end.line - start.line + 1 }, (_, i) => start.line + i),
      ),
  );
  let line = span.end.line + 1;
  while (line < lines.length && (commented.has(line) || (lines[line - 1] ?? '').trim() === '')) line++;
  return line;
};

const readIgnores = (files: readonly LocatedFile[]): Ignore[] =>
  files.flatMap((file) =>
    file.comments.flatMap(({ text, span }) => {
      const match = PATTERN.exec(text);
      if (!match) return [];
      const [, code = '', reason = ''] = match;
      return [
        { file: file.file, code, line: targetLine(file, span), span, hasReason: reason.trim() !== '', used: false },
      ];
    }),
  );

const aboutIgnore = ({ code, span, hasReason, used }: Ignore): Diagnostic | undefined => {
  if (!Object.hasOwn(catalogue, code)) {
    const meant = suggest(code, Object.keys(catalogue));
    return {
      code: 'lint/ignore-unknown',
      severity: 'warning',
      message: code === '' ? 'This ignores nothing: it names no code.' : `There is no code \`${code}\`.`,
      span,
      help: meant === undefined ? 'Write `// tailplane-ignore lint/unused-group why`.' : `Did you mean \`${meant}\`?`,
    };
  }
  if (!hasReason) {
    return {
      code: 'lint/ignore-without-reason',
      severity: 'warning',
      message: 'This does not say why.',
      span,
      help: `Add the reason: \`// tailplane-ignore ${code} because …\`.`,
    };
  }
  if (used) return undefined;
  return {
    code: 'lint/ignore-unused',
    severity: 'info',
    message: `Nothing here is \`${code}\` any more.`,
    span,
    help: 'Remove the comment.',
  };
};

/** Leaves out what is ignored, and adds what is wrong with the ignores. Errors can't be ignored. */
export const applyIgnores = (files: readonly LocatedFile[], diagnostics: readonly Diagnostic[]): Diagnostic[] => {
  const ignores = readIgnores(files);
  const byPlace = Map.groupBy(ignores, ({ file, line, code }) => `${file}:${line}:${code}`);
  const kept = diagnostics.filter(({ code, severity, span }) => {
    const matching = span && byPlace.get(`${span.file}:${span.start.line}:${code satisfies Code}`);
    if (!matching || severity === 'error') return true;
    for (const ignore of matching) ignore.used = true;
    return !matching.some(({ hasReason }) => hasReason);
  });
  return [...kept, ...ignores.flatMap((ignore) => aboutIgnore(ignore) ?? [])];
};

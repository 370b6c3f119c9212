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

/** Nobody reads more. */
const REPORTS_LIMIT = 200;

const PATTERN = /^tailplane-ignore\b[ \t]*(\S*)[ \t]*(.*)$/m;

/** For each comment the line that it speaks about: its own where something stands before it, else the next with content. */
const targetsOf = ({ text, comments }: LocatedFile): ((span: Span) => number) => {
  const lines = text.split(/\r\n|\r|\n/);
  const standsAlone = ({ start }: Span): boolean =>
    (lines[start.line - 1] ?? '').slice(0, start.column - 1).trim() === '';
  const empty = lines.map((line) => line.trim() === '');
  for (const { span } of comments) {
    if (standsAlone(span)) for (let line = span.start.line; line <= span.end.line; line++) empty[line - 1] = true;
  }
  // From the end, so that each line knows the next one with content in one step.
  const next: number[] = [];
  for (let i = lines.length - 1; i >= 0; i--) next[i] = empty[i] === true ? (next[i + 1] ?? lines.length) : i + 1;
  return (span) => (standsAlone(span) ? (next[span.end.line] ?? lines.length) : span.start.line);
};

const readIgnores = (files: readonly LocatedFile[]): Ignore[] =>
  files.flatMap((file) => {
    const mine = file.comments.filter(({ text }) => PATTERN.test(text));
    if (mine.length === 0) return [];
    const targetOf = targetsOf(file);
    return mine.map(({ text, span }) => {
      const [, code = '', reason = ''] = PATTERN.exec(text) as RegExpExecArray;
      return { file: file.file, code, line: targetOf(span), span, hasReason: reason.trim() !== '', used: false };
    });
  });

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
  return [...kept, ...ignores.flatMap((ignore) => aboutIgnore(ignore) ?? []).slice(0, REPORTS_LIMIT)];
};

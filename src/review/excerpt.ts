// One line of a file with a stretch of it underlined, safe to print anywhere: control characters are shown as pictures,
// secrets are masked, a very long line is cut around what matters, and wide letters are counted as two columns.

import type { Span } from '../base/diagnostic.ts';
import { maskSecrets } from '../config/secrets.ts';

export interface Excerpt {
  readonly line: number;
  readonly text: string;
  /** In columns of a terminal. */
  readonly indent: number;
  readonly width: number;
}

const TAB = '  ';
const MOST = 120;
const BEFORE = 40;

/** What nobody sees, or what turns the reading direction: format characters, separators of lines, and letters without a shape. */
export const UNSEEN = String.raw`\u0080-\u009f\p{Cf}\p{Zl}\p{Zp}\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0`;
const UNSEEN_CHARACTER = new RegExp(`[${UNSEEN}]`, 'gu');

/** Control characters as their pictures (U+2400 and on), and what can't be seen as an escape. */
export const printable = (text: string): string =>
  text
    .replaceAll('\t', TAB)
    // oxlint-disable-next-line no-control-regex -- finding these is the point
    .replaceAll(/[\u0000-\u001f]/g, (c) => String.fromCharCode(0x2400 + c.charCodeAt(0)))
    .replaceAll('\u007f', '\u2421')
    .replaceAll(UNSEEN_CHARACTER, (c) => `<U+${(c.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}>`);

const WIDE =
  /^[\p{Emoji_Presentation}\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]$/u;
// oxlint-disable-next-line no-misleading-character-class -- single code points are tested
const NO_WIDTH = /^[\p{Mn}\p{Me}\u200d\ufe0f]$/u;

/** Columns that a text takes in a terminal. */
export const columnsOf = (text: string): number => {
  let columns = 0;
  for (const character of text) columns += NO_WIDTH.test(character) ? 0 : WIDE.test(character) ? 2 : 1;
  return columns;
};

const lineAt = (source: string, offset: number): { readonly start: number; readonly end: number } => {
  const before = Math.min(offset, source.length) - 1;
  const start = before < 0 ? 0 : Math.max(source.lastIndexOf('\n', before), source.lastIndexOf('\r', before)) + 1;
  const feed = /[\r\n]|$/g;
  feed.lastIndex = Math.max(offset, 0);
  return { start, end: feed.exec(source)?.index ?? source.length };
};

/** Findings come in the order of the file, and a line of a megabyte may have many: the last one is kept. */
let kept: { readonly source: string; readonly start: number; readonly masked: string } | undefined;

const maskedLine = (source: string, start: number, end: number): string => {
  if (kept?.source !== source || kept.start !== start)
    kept = { source, start, masked: maskSecrets(source.slice(start, end)) };
  return kept.masked;
};

/**
 * The first line of the span; undefined where the source does not reach so far. A line that must be cut begins a little
 * before `anchor` if the span still fits, so that several spans can share it.
 */
export const excerptOf = (
  source: string | undefined,
  span: Span,
  anchor: number = span.start.offset,
): Excerpt | undefined => {
  if (source === undefined || span.start.offset > source.length || source === '') return undefined;
  const line = lineAt(source, span.start.offset);
  const from = span.start.offset - line.start;
  const to = Math.max(Math.min(span.end.offset, line.end) - line.start, from);
  const masked = maskedLine(source, line.start, line.end);
  const near = Math.max(anchor - line.start, 0);
  const first = to - near <= MOST - BEFORE ? near : from;
  const cutStart = masked.length > MOST && first > BEFORE ? first - BEFORE : 0;
  const cutEnd = Math.min(masked.length, cutStart + MOST);
  const part = (start: number, end: number): string =>
    printable(masked.slice(Math.min(start, cutEnd), Math.min(end, cutEnd)));
  const lead = cutStart > 0 ? '…' : '';
  return {
    line: span.start.line,
    text: `${lead}${part(cutStart, cutEnd)}${cutEnd < masked.length ? '…' : ''}`.trimEnd(),
    indent: lead.length + columnsOf(part(cutStart, from)),
    width: Math.max(columnsOf(part(from, to)), 1),
  };
};

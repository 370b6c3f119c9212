// Bytes of one file → a located tree, or everything that is wrong with it. momoa gives the places, json5 the values; what
// both let through but people are hurt by (duplicate keys, invisible bytes, prototype keys, endless nesting) is refused.

import { parse as parseTree, type ValueNode } from '@humanwhocodes/momoa';
import JSON5 from 'json5';
import type { Diagnostic, Span } from '../base/diagnostic.ts';
import { utf8Text } from '../base/bytes.ts';
import { linesOf, type Lines } from './lines.ts';
import type { LocatedMember, LocatedNode } from './located.ts';
import { scanText, type Dialect, type Problem } from './scan.ts';
import { explainSyntax } from './syntax.ts';

export interface LocatedComment {
  /** Without its markers, trimmed. */
  readonly text: string;
  readonly span: Span;
}

export interface ParsedDocument {
  /** Absent exactly when the text could not be read at all. With errors among the diagnostics it may still be there. */
  readonly root?: LocatedNode;
  readonly comments: readonly LocatedComment[];
  readonly diagnostics: readonly Diagnostic[];
}

export const FILE_LIMIT_BYTES = 4 * 1024 * 1024;

const HIDDEN: Record<string, string> = {
  '\u0000': 'a NUL byte',
  '\u200b': 'a zero width space',
  '\u2028': 'a line separator',
  '\u2029': 'a paragraph separator',
  '\u2060': 'a word joiner',
  '\ufeff': 'a byte order mark',
};
// Characters that show as nothing or turn the reading direction: what a reviewer sees is not what a parser reads.
// oxlint-disable-next-line no-control-regex -- NUL is one of them
const HIDDEN_PATTERN = new RegExp('[\\u0000\\u200b\\u2028\\u2029\\u202a-\\u202e\\u2060\\u2066-\\u2069\\ufeff]', 'g');
const REFUSED_KEYS = new Set(['__proto__', 'constructor', 'prototype']);
/** A file can hold a problem on every line; nobody reads more than this. */
const HIDDEN_REPORTS = 20;

const notUtf8 = (file: string, bytes: Uint8Array): Diagnostic => {
  const text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
  const isReplacement = (at: number): boolean => bytes[at] === 0xef && bytes[at + 1] === 0xbf && bytes[at + 2] === 0xbd;
  let index = text.indexOf('\ufffd');
  let byteOffset = Buffer.byteLength(text.slice(0, index));
  // A replacement character that really stands in the file is three bytes of valid UTF-8.
  while (index >= 0 && isReplacement(byteOffset)) {
    const next = text.indexOf('\ufffd', index + 1);
    byteOffset += Buffer.byteLength(text.slice(index, next));
    index = next;
  }
  const utf16 = (bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff);
  const byte = (bytes[byteOffset] ?? 0).toString(16).padStart(2, '0');
  return {
    code: 'config/not-utf8',
    severity: 'error',
    message: utf16 ? 'The file is UTF-16.' : `Byte 0x${byte} at offset ${byteOffset} is not valid UTF-8.`,
    span: linesOf(file, text).span(index, index + 1),
    help: 'Save the file as UTF-8 without a byte order mark.',
  };
};

const hiddenCharacters = (text: string, lines: Lines): Diagnostic[] => {
  const found: Diagnostic[] = [];
  for (const match of text.matchAll(HIDDEN_PATTERN)) {
    const [character] = match;
    const hex = character.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0');
    const span = lines.span(match.index, match.index + 1);
    if (character === '\ufeff' && match.index === 0) {
      found.push({
        code: 'config/byte-order-mark',
        severity: 'error',
        message: 'The file begins with a byte order mark.',
        span,
        help: 'Save the file as UTF-8 without a byte order mark.',
      });
    } else {
      found.push({
        code: 'config/hidden-character',
        severity: 'error',
        message: `There is ${HIDDEN[character] ?? 'a character that turns the reading direction'} (U+${hex}) here, which people don't see.`,
        span,
        help: `Remove it; where it is meant, write it as the escape \\u${hex.toLowerCase()} in a string.`,
      });
    }
    if (found.length === HIDDEN_REPORTS) break;
  }
  return found;
};

/** `file` is the name used in spans, relative to the tailnet folder. Never throws. */
export const parseDocument = (
  file: string,
  bytes: Uint8Array,
  options: { readonly dialect: Dialect },
): ParsedDocument => {
  const { dialect } = options;
  const failed = (...diagnostics: Diagnostic[]): ParsedDocument => ({ comments: [], diagnostics });
  if (bytes.length > FILE_LIMIT_BYTES) {
    const origin = { line: 1, column: 1, offset: 0 };
    return failed({
      code: 'config/too-large',
      severity: 'error',
      message: `The file has ${bytes.length} bytes; at most ${FILE_LIMIT_BYTES} (4 MiB) are read.`,
      span: { file, start: origin, end: origin },
    });
  }
  let text: string;
  try {
    text = utf8Text(bytes);
  } catch {
    return failed(notUtf8(file, bytes));
  }
  const lines = linesOf(file, text);
  const hidden = hiddenCharacters(text, lines);
  if (hidden.length > 0) return failed(...hidden);

  const scan = scanText(text, dialect);
  const asDiagnostic = ({ code, start, end, message, help, related }: Problem): Diagnostic => ({
    code,
    severity: 'error',
    message,
    span: lines.span(start, end),
    ...(help === undefined ? {} : { help }),
    ...(related === undefined
      ? {}
      : { related: [{ span: lines.span(related.start, related.end), message: related.message }] }),
  });
  if (scan.problem) return failed(asDiagnostic(scan.problem));

  let tree: ValueNode;
  let value: unknown;
  try {
    tree = parseTree(scan.bare, {
      mode: dialect === 'json5' ? 'json5' : 'jsonc',
      ranges: true,
      allowTrailingCommas: true,
    }).body;
    value = JSON5.parse(scan.bare);
  } catch (error) {
    return failed(asDiagnostic(explainSyntax(scan.bare, offsetOf(error, lines, scan.bare), dialect)));
  }
  const diagnostics: Diagnostic[] = [];
  const root = locate(tree, value, { text: scan.bare, lines, diagnostics });
  const comments = scan.comments.map(({ start, end }) => ({
    text: text.slice(start + 2, text[start + 1] === '*' ? end - 2 : end).trim(),
    span: lines.span(start, end),
  }));
  return { root, comments, diagnostics };
};

/** momoa's errors carry an offset; json5's a line and a column. */
const offsetOf = (error: unknown, lines: Lines, text: string): number => {
  const place = error as { offset?: unknown; lineNumber?: unknown; columnNumber?: unknown };
  if (typeof place.offset === 'number') return place.offset;
  if (typeof place.lineNumber !== 'number' || typeof place.columnNumber !== 'number') return text.length;
  let low = 0;
  let high = text.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (lines.position(middle).line < place.lineNumber) low = middle + 1;
    else high = middle;
  }
  return low + Math.max(place.columnNumber - 1, 0);
};

interface Walk {
  readonly text: string;
  readonly lines: Lines;
  readonly diagnostics: Diagnostic[];
}

const rangeOf = (node: { readonly range?: unknown }): readonly [number, number] => node.range as [number, number];

/** Puts momoa's places and json5's values together. Depth is bounded by the scan. */
const locate = (node: ValueNode, value: unknown, walk: Walk): LocatedNode => {
  const span = walk.lines.span(...rangeOf(node));
  if (node.type === 'Object') return locateObject(node, value as Record<string, unknown>, span, walk);
  if (node.type === 'Array') {
    const items = node.elements.map((element, i) => locate(element.value, (value as unknown[])[i], walk));
    return { kind: 'array', items, span };
  }
  if (typeof value === 'string') return { kind: 'string', value, span };
  if (typeof value === 'boolean') return { kind: 'boolean', value, span };
  if (typeof value !== 'number') return { kind: 'null', value: null, span };
  if (!Number.isFinite(value) || (Number.isInteger(value) && !Number.isSafeInteger(value))) {
    const [start, end] = rangeOf(node);
    walk.diagnostics.push({
      code: 'config/number',
      severity: 'error',
      message: `\`${walk.text.slice(start, Math.min(end, start + 40))}\` can't be held exactly.`,
      span,
      help: 'Whole numbers reach to 9007199254740991; write a larger one as text.',
    });
    return { kind: 'number', value: 0, span };
  }
  return { kind: 'number', value: Object.is(value, -0) ? 0 : value, span };
};

const locateObject = (
  node: Extract<ValueNode, { type: 'Object' }>,
  value: Record<string, unknown>,
  span: Span,
  walk: Walk,
): LocatedNode => {
  const keys = new Map<string, { readonly keySpan: Span; readonly value: ValueNode }>();
  for (const member of node.members) {
    const [start, end] = rangeOf(member.name);
    const raw = walk.text.slice(start, end);
    const quoted = raw[0] === '"' || raw[0] === "'";
    const key = raw.includes('\\') ? String(JSON5.parse(quoted ? raw : `"${raw}"`)) : quoted ? raw.slice(1, -1) : raw;
    const keySpan = walk.lines.span(start, end);
    if (REFUSED_KEYS.has(key)) {
      walk.diagnostics.push({
        code: 'config/refused-key',
        severity: 'error',
        message: `\`${key}\` can't be a key.`,
        span: keySpan,
        help: 'The name means something to JavaScript programs that read the file; choose another one.',
      });
      continue;
    }
    const earlier = keys.get(key);
    if (earlier) {
      walk.diagnostics.push({
        code: 'config/duplicate-key',
        severity: 'error',
        message: `The key \`${key}\` is given twice.`,
        span: keySpan,
        help: 'Keep one of the two; a reader would silently take the last.',
        related: [{ span: earlier.keySpan, message: 'first given here' }],
      });
    }
    // json5 keeps the last value of a key, and so does the tree.
    keys.set(key, { keySpan, value: member.value });
  }
  const members: LocatedMember[] = [];
  for (const [key, { keySpan, value: node }] of keys) {
    members.push({ key, keySpan, value: locate(node, value[key], walk) });
  }
  return { kind: 'object', members, span };
};

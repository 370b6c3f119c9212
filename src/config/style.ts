// How a file is written, so that what is added looks as if its author had added it: quotes, indentation, line ends.

import type { Json } from '../base/canonical.ts';
import type { Dialect } from './scan.ts';
import type { LocatedNode } from './located.ts';

export interface Style {
  readonly quote: '"' | "'";
  readonly quotedKeys: boolean;
  readonly indent: string;
  readonly newline: '\n' | '\r\n';
}

/** A value that fits in so many columns stays on its line. */
const WIDTH = 100;

const firstQuote = (node: LocatedNode, text: string): string | undefined => {
  const open: LocatedNode[] = [node];
  while (open.length > 0) {
    const next = open.pop() as LocatedNode;
    if (next.kind === 'string') return text[next.span.start.offset];
    if (next.kind === 'object') open.push(...next.members.map(({ value }) => value).reverse());
    if (next.kind === 'array') open.push(...next.items.toReversed());
  }
  return undefined;
};

/** The habits of a text; those of the language where it shows none. */
export const styleOf = (text: string, root: LocatedNode, dialect: Dialect): Style => {
  const firstKey = root.kind === 'object' ? root.members[0]?.keySpan : undefined;
  const keyMark = firstKey && text[firstKey.start.offset];
  const quotedKeys = dialect === 'hujson' || keyMark === '"' || keyMark === "'";
  const quote = dialect === 'hujson' || (firstQuote(root, text) ?? keyMark) === '"' ? '"' : "'";
  const indent = /^([ \t]+)\S/m.exec(text)?.[1] ?? '  ';
  return {
    quote,
    quotedKeys,
    indent: indent.length > 8 ? '  ' : indent,
    newline: text.includes('\r\n') ? '\r\n' : '\n',
  };
};

const quoteText = (text: string, quote: '"' | "'"): string => {
  const inner = JSON.stringify(text)
    .slice(1, -1)
    // What a reader would refuse as hidden is written as an escape.
    .replaceAll(
      /[\u007f-\u009f\u200b\u2028\u2029\u202a-\u202e\u2060\u2066-\u2069\ufeff]/g,
      (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
    );
  return quote === '"' ? `"${inner}"` : `'${inner.replaceAll('\\"', '"').replaceAll("'", "\\'")}'`;
};

export const formatKey = (key: string, { quote, quotedKeys }: Style): string =>
  !quotedKeys && /^[A-Za-z_$][\w$]*$/.test(key) ? key : quoteText(key, quote);

const inline = (value: Json, style: Style): string => {
  if (typeof value === 'string') return quoteText(value, style.quote);
  if (Array.isArray(value)) return `[${value.map((item: Json) => inline(item, style)).join(', ')}]`;
  if (value === null || typeof value !== 'object') return String(value);
  const fields = Object.entries(value as Record<string, Json | undefined>).filter(
    (entry): entry is [string, Json] => entry[1] !== undefined,
  );
  if (fields.length === 0) return '{}';
  return `{ ${fields.map(([key, item]) => `${formatKey(key, style)}: ${inline(item, style)}`).join(', ')} }`;
};

/** `indent` is that of the line on which the value begins. */
export const formatValue = (value: Json, indent: string, style: Style): string => {
  const line = inline(value, style);
  if (line.length + indent.length <= WIDTH || value === null || typeof value !== 'object') return line;
  const inner = indent + style.indent;
  const entries = Array.isArray(value)
    ? value.map((item: Json) => formatValue(item, inner, style))
    : Object.entries(value as Record<string, Json | undefined>)
        .filter((entry): entry is [string, Json] => entry[1] !== undefined)
        .map(([key, item]) => `${formatKey(key, style)}: ${formatValue(item, inner, style)}`);
  const [open, close] = Array.isArray(value) ? ['[', ']'] : ['{', '}'];
  return [open, ...entries.map((entry) => `${inner}${entry},`), `${indent}${close}`].join(style.newline);
};

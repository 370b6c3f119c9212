// Small edits of a file that people write by hand: one value is set, inserted or removed, and everything else, comments,
// order and style, stays as it is to the last character. A comment on a line of its own is never removed.

import type { Json } from '../base/canonical.ts';
import { canonicalJson } from '../base/canonical.ts';
import { utf8 } from '../base/bytes.ts';
import { hasErrors } from '../base/diagnostic.ts';
import { accept, refuse, type Outcome } from '../base/outcome.ts';
import { parseDocument } from './document.ts';
import type { Dialect } from './scan.ts';
import { nodeAt, plainOf, type LocatedArray, type LocatedNode, type LocatedObject, type Path } from './located.ts';
import { scanText } from './scan.ts';
import { formatKey, formatValue, styleOf, type Style } from './style.ts';

export type Edit =
  /** Replaces the value at the path, or adds it; objects that are missing on the way are made. */
  | { readonly kind: 'set'; readonly path: Path; readonly value: Json }
  /** Puts an entry into the list at the path: before the entry of that index, or at the end. */
  | { readonly kind: 'insert'; readonly path: Path; readonly index?: number; readonly value: Json }
  /** Removes the member or entry at the path, which must be there. */
  | { readonly kind: 'remove'; readonly path: Path };

/** Stretches of the old text and what stands in their place; sorted, without overlap. */
interface Splice {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

interface Extent {
  readonly start: number;
  readonly end: number;
}

interface Page {
  readonly text: string;
  /** Without comments, same offsets. */
  readonly bare: string;
  readonly root: LocatedNode;
  readonly style: Style;
}

type Container = LocatedObject | LocatedArray;

const extentsOf = (container: Container): Extent[] =>
  container.kind === 'object'
    ? container.members.map(({ keySpan, value }) => ({ start: keySpan.start.offset, end: value.span.end.offset }))
    : container.items.map(({ span }) => ({ start: span.start.offset, end: span.end.offset }));

const skipBlank = (text: string, from: number): number => {
  let i = from;
  while (i < text.length && /\s/.test(text[i] as string)) i++;
  return i;
};

/** The offset after the comma that follows, or undefined where there is none. */
const afterComma = ({ bare }: Page, from: number): number | undefined => {
  const next = skipBlank(bare, from);
  return bare[next] === ',' ? next + 1 : undefined;
};

const lineStart = (text: string, offset: number): number => {
  let i = offset;
  while (i > 0 && text[i - 1] !== '\n' && text[i - 1] !== '\r') i--;
  return i;
};

/** The end of the line, without its line feed. */
const lineEnd = (text: string, offset: number): number => {
  let i = offset;
  while (i < text.length && text[i] !== '\n' && text[i] !== '\r') i++;
  return i;
};

const indentAt = (text: string, offset: number): string => {
  const start = lineStart(text, offset);
  return (/^[ \t]*/.exec(text.slice(start, offset)) as RegExpExecArray)[0];
};

const isMultiLine = ({ text }: Page, { span }: Container): boolean =>
  /[\r\n]/.test(text.slice(span.start.offset, span.end.offset));

/** The end of the line where nothing but blanks and whole comments follow; else `from` itself. */
const pastComments = ({ text, bare }: Page, from: number): number => {
  const end = lineEnd(bare, from);
  return bare.slice(from, end).trim() === '' && lineEnd(text, from) === end ? end : from;
};

const insertInto = (page: Page, container: Container, before: number, render: (indent: string) => string): Splice[] => {
  const { text, bare, style } = page;
  const extents = extentsOf(container);
  const previous = extents[before - 1];
  const next = extents[before];
  const open = container.span.start.offset + 1;
  const close = container.span.end.offset - 1;

  if (extents.length === 0) {
    if (!isMultiLine(page, container)) {
      const pad = container.kind === 'object' ? ' ' : '';
      if (text.slice(open, close).trim() === '') {
        return [{ start: open, end: close, text: `${pad}${render(indentAt(text, open))}${pad}` }];
      }
      return [
        {
          start: close,
          end: close,
          text: `${text[close - 1] === ' ' ? '' : ' '}${render(indentAt(text, open))}${pad}`,
        },
      ];
    }
    // Only comments or blanks inside: the entry goes to the end, on a line of its own.
    const outer = indentAt(text, open);
    const inner = outer + style.indent;
    const start = lineStart(text, close);
    if (text.slice(start, close).trim() !== '') {
      return [{ start: close, end: close, text: `${style.newline}${inner}${render(inner)},${style.newline}${outer}` }];
    }
    return [{ start, end: start, text: `${inner}${render(inner)},${style.newline}` }];
  }

  const sample = extents[0] as Extent;
  const ownLines =
    isMultiLine(page, container) && text.slice(lineStart(text, sample.start), sample.start).trim() === '';
  const indent = indentAt(text, sample.start);
  if (previous === undefined) {
    const from = ownLines ? pastComments(page, open) : open;
    if (ownLines && from === lineEnd(text, open)) {
      return [{ start: from, end: from, text: `${style.newline}${indent}${render(indent)},` }];
    }
    return [{ start: sample.start, end: sample.start, text: `${render(indent)}, ` }];
  }
  const comma = afterComma(page, previous.end);
  const missing: Splice[] = comma === undefined ? [{ start: previous.end, end: previous.end, text: ',' }] : [];
  const at = comma ?? previous.end;
  const trailing = next !== undefined || comma !== undefined ? ',' : '';
  if (ownLines) {
    const from = pastComments(page, at);
    const alone = from === lineEnd(text, at) && (next === undefined || next.start > from);
    if (alone && from <= close)
      return merge([
        ...missing,
        { start: from, end: from, text: `${style.newline}${indent}${render(indent)}${trailing}` },
      ]);
  }
  const gap = bare[at] === ' ' && next === undefined && comma !== undefined ? '' : ' ';
  return merge([...missing, { start: at, end: at, text: `${gap === '' ? ' ' : gap}${render(indent)}${trailing}` }]);
};

/** Splices at the same place become one. */
const merge = (splices: readonly Splice[]): Splice[] => {
  const out: Splice[] = [];
  for (const splice of splices) {
    const last = out.at(-1);
    if (last && last.end === splice.start)
      out[out.length - 1] = { start: last.start, end: splice.end, text: last.text + splice.text };
    else out.push(splice);
  }
  return out;
};

const removeFrom = (page: Page, container: Container, index: number): Splice[] => {
  const { text, bare } = page;
  const extents = extentsOf(container);
  const own = extents[index] as Extent;
  const previous = extents[index - 1];
  const next = extents[index + 1];
  const comma = afterComma(page, own.end);
  if (comma !== undefined && !/^[ \t]*,$/.test(text.slice(own.end, comma))) {
    // Something stands between the two that is not ours to remove.
    return [
      { start: own.start, end: own.end, text: '' },
      { start: comma - 1, end: comma, text: '' },
    ];
  }
  const end = comma ?? own.end;
  // The last one had no comma after it, so the one before it loses its own.
  const style: Splice[] = [];
  if (next === undefined && comma === undefined && previous) {
    const previousComma = afterComma(page, previous.end) as number;
    style.push({ start: previousComma - 1, end: previousComma, text: '' });
  }
  const start = lineStart(text, own.start);
  const past = pastComments(page, end);
  const sharesNothing =
    text.slice(start, own.start).trim() === '' && past === lineEnd(text, end) && start > container.span.start.offset;
  if (sharesNothing && past < container.span.end.offset) {
    const feed = text.slice(past, past + 2) === '\r\n' ? 2 : past < text.length ? 1 : 0;
    return merge([...style, { start, end: past + feed, text: '' }]);
  }
  if (next) {
    const blank = text.slice(end, next.start).trim() === '' && !/[\r\n]/.test(text.slice(end, next.start));
    return [{ start: own.start, end: blank ? next.start : end, text: '' }];
  }
  if (previous) {
    const from = style[0]?.end ?? (afterComma(page, previous.end) as number);
    const clean = text.slice(from, own.start).trim() === '' ? from : own.start;
    return merge([...style, { start: clean, end, text: '' }]);
  }
  const inside =
    bare.slice(container.span.start.offset + 1, own.start) + bare.slice(end, container.span.end.offset - 1);
  const commented =
    text.slice(container.span.start.offset + 1, own.start) + text.slice(end, container.span.end.offset - 1);
  if (inside === commented && inside.trim() === '' && !/[\r\n]/.test(inside)) {
    return [{ start: container.span.start.offset + 1, end: container.span.end.offset - 1, text: '' }];
  }
  return [{ start: own.start, end, text: '' }];
};

const cannot = (reason: string): Outcome<never> => refuse('config/cannot-edit', reason);

const isContainer = (node: LocatedNode | undefined): node is Container =>
  node?.kind === 'object' || node?.kind === 'array';

const planSet = (page: Page, path: Path, value: Json): Outcome<Splice[]> => {
  const { root, text, style } = page;
  const existing = nodeAt(root, path);
  if (existing) {
    if (canonicalJson(plainOf(existing)) === canonicalJson(value)) return accept([]);
    const { start, end } = existing.span;
    return accept([
      { start: start.offset, end: end.offset, text: formatValue(value, indentAt(text, start.offset), style) },
    ]);
  }
  let depth = path.length - 1;
  while (depth > 0 && !nodeAt(root, path.slice(0, depth))) depth--;
  const parent = nodeAt(root, path.slice(0, depth));
  const missing = path.slice(depth);
  if (parent?.kind !== 'object' || missing.some((step) => typeof step === 'number')) {
    return cannot(`There is nothing at ${formatPath(path)} to set.`);
  }
  const [key, ...inner] = missing as [string, ...string[]];
  const whole = inner.reduceRight<Json>((nested, step) => ({ [step]: nested }), value);
  return accept(
    insertInto(
      page,
      parent,
      parent.members.length,
      (indent) => `${formatKey(key, style)}: ${formatValue(whole, indent, style)}`,
    ),
  );
};

const formatPath = (path: Path): string => (path.length === 0 ? 'the root' : path.join('/'));

const plan = (page: Page, edit: Edit): Outcome<Splice[]> => {
  const { root, style } = page;
  switch (edit.kind) {
    case 'set':
      return planSet(page, edit.path, edit.value);
    case 'insert': {
      const list = nodeAt(root, edit.path);
      if (list?.kind !== 'array') return cannot(`There is no list at ${formatPath(edit.path)}.`);
      const index = edit.index ?? list.items.length;
      if (index < 0 || index > list.items.length)
        return cannot(`The list at ${formatPath(edit.path)} has no place ${index}.`);
      return accept(insertInto(page, list, index, (indent) => formatValue(edit.value, indent, style)));
    }
    default: {
      const parent = nodeAt(root, edit.path.slice(0, -1));
      const last = edit.path.at(-1);
      const index = !isContainer(parent)
        ? -1
        : parent.kind === 'object'
          ? parent.members.findIndex(({ key }) => key === last)
          : typeof last === 'number' && last < parent.items.length
            ? last
            : -1;
      if (!isContainer(parent) || index < 0) return cannot(`There is nothing at ${formatPath(edit.path)} to remove.`);
      return accept(removeFrom(page, parent, index));
    }
  }
};

const openPage = (text: string, dialect: Dialect): Outcome<Page> => {
  const { root, diagnostics } = parseDocument('', utf8(text), { dialect });
  if (!root || hasErrors(diagnostics)) return cannot('The file can not be read, so it can not be edited.');
  return accept({ text, bare: scanText(text, dialect).bare, root, style: styleOf(text, root, dialect) });
};

/** Applies the edits one after the other. Each sees what the one before it left. */
export const editDocument = (text: string, dialect: Dialect, edits: readonly Edit[]): Outcome<string> => {
  let current = text;
  for (const edit of edits) {
    const page = openPage(current, dialect);
    if (!page.ok) return page;
    const splices = plan(page.value, edit);
    if (!splices.ok) return splices;
    for (const { start, end, text } of splices.value.toReversed())
      current = current.slice(0, start) + text + current.slice(end);
  }
  // What was written must be readable again: a refused key or a file that grew too large is found here.
  const written = openPage(current, dialect);
  return written.ok ? accept(current) : cannot('The edited file could not be read again.');
};

// One way to write a file: two spaces, one entry a line or all on one, at most one blank line. Comments stay where they
// are said, words stay as they are spelled, and formatting twice is formatting once. As with Prettier, a list or object that
// begins a new line after its bracket stays in lines; another one is joined while it fits.

import { utf8 } from '../base/bytes.ts';
import { hasErrors } from '../base/diagnostic.ts';
import { accept, refuse, type Outcome } from '../base/outcome.ts';
import { parseDocument } from './document.ts';
import type { Dialect } from './scan.ts';
import type { LocatedArray, LocatedNode, LocatedObject } from './located.ts';
import { scanText, type Comment } from './scan.ts';

const WIDTH = 120;
const INDENT = '  ';

interface Page {
  readonly text: string;
  readonly comments: readonly Comment[];
}

type Container = LocatedObject | LocatedArray;

interface Entry {
  readonly start: number;
  readonly end: number;
  readonly print: (indent: string, column: number) => string;
  readonly flat: () => string | undefined;
}

const hasFeed = (text: string): boolean => text.includes('\n');

/** Comments that lie between two offsets, found by halving. */
const commentsIn = ({ comments }: Page, from: number, to: number): readonly Comment[] => {
  let low = 0;
  let high = comments.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((comments[middle] as Comment).start < from) low = middle + 1;
    else high = middle;
  }
  let end = low;
  while (end < comments.length && (comments[end] as Comment).end <= to) end++;
  return comments.slice(low, end);
};

const textOf = ({ text }: Page, { start, end }: Comment): string => text.slice(start, end).trimEnd();
const isLine = ({ text }: Page, { start }: Comment): boolean => text[start + 1] === '/';

interface Gap {
  /** On the line of what comes before. */
  readonly behind: readonly Comment[];
  /** On lines of their own. */
  readonly between: readonly Comment[];
  /** Directly before what follows, on its line. */
  readonly before: readonly Comment[];
}

/** Sorts the comments between two things by the line that they speak about. */
const gapOf = (page: Page, from: number, to: number, closing: boolean): Gap => {
  const { text } = page;
  const open = [...commentsIn(page, from, to)];
  const before: Comment[] = [];
  let edge = to;
  for (let last = closing ? undefined : open.at(-1); last; last = open.at(-1)) {
    if (isLine(page, last) || hasFeed(text.slice(last.end, edge))) break;
    before.unshift(last);
    edge = last.start;
    open.pop();
  }
  const behind: Comment[] = [];
  edge = from;
  for (let first = open[0]; first && !hasFeed(text.slice(edge, first.start)); first = open[0]) {
    behind.push(first);
    edge = first.end;
    open.shift();
    if (isLine(page, first)) break;
  }
  return { behind, between: open, before };
};

/** The blanks that the author put before a comment at the end of a line, so that columns of comments stay. */
const padBefore = ({ text }: Page, { start }: Comment): string => {
  let i = start;
  while (i > 0 && text[i - 1] === ' ') i--;
  return text.slice(i, start) || ' ';
};

const blankBefore = ({ text }: Page, from: number, to: number): boolean => /\n[ \t]*\n/.test(text.slice(from, to));

const printScalar = ({ text }: Page, node: LocatedNode): string =>
  text.slice(node.span.start.offset, node.span.end.offset);

const entriesOf = (page: Page, node: Container): Entry[] => {
  if (node.kind === 'array') {
    return node.items.map((item) => ({
      start: item.span.start.offset,
      end: item.span.end.offset,
      print: (indent, column) => print(page, item, indent, column),
      flat: () => flat(page, item),
    }));
  }
  return node.members.map(({ keySpan, value }) => {
    const key = page.text.slice(keySpan.start.offset, keySpan.end.offset);
    const inside = commentsIn(page, keySpan.end.offset, value.span.start.offset);
    const said = inside.map((comment) => textOf(page, comment));
    const lined = inside.some((comment) => isLine(page, comment) || hasFeed(textOf(page, comment)));
    const head = `${key}: ${said.map((comment) => `${comment} `).join('')}`;
    return {
      start: keySpan.start.offset,
      end: value.span.end.offset,
      print: (indent, column) => {
        if (!lined) return head + print(page, value, indent, column + head.length);
        const inner = indent + INDENT;
        return [
          `${key}:`,
          ...said.map((comment) => inner + comment),
          inner + print(page, value, inner, inner.length),
        ].join('\n');
      },
      flat: () => {
        const one = lined ? undefined : flat(page, value);
        return one === undefined ? undefined : head + one;
      },
    };
  });
};

const bracketsOf = (node: Container): readonly [string, string] => (node.kind === 'array' ? ['[', ']'] : ['{', '}']);

/** The value on one line, or undefined where its author, a comment or a line break in it asks for more. */
const flat = (page: Page, node: LocatedNode): string | undefined => {
  if (node.kind !== 'array' && node.kind !== 'object') {
    const text = printScalar(page, node);
    return hasFeed(text) ? undefined : text;
  }
  const { text } = page;
  const [from, to] = [node.span.start.offset + 1, node.span.end.offset - 1];
  const entries = entriesOf(page, node);
  const [open, close] = bracketsOf(node);
  const first = entries[0]?.start ?? to;
  const parts: string[] = [];
  let edge = from;
  for (const entry of [...entries, undefined]) {
    const comments = commentsIn(page, edge, entry?.start ?? to);
    if (comments.some((comment) => isLine(page, comment) || hasFeed(textOf(page, comment)))) return undefined;
    const said = comments.map((comment) => textOf(page, comment)).join(' ');
    if (!entry) {
      if (said !== '' && hasFeed(text.slice(edge, to))) return undefined;
      if (parts.length === 0) parts.push(said);
      else if (said !== '') parts[parts.length - 1] += ` ${said}`;
      break;
    }
    // A comment that is alone on its line stays so.
    if (said !== '' && hasFeed(text.slice(edge, entry.start))) return undefined;
    const one = entry.flat();
    if (one === undefined) return undefined;
    parts.push(said === '' ? one : `${said} ${one}`);
    edge = entry.end;
  }
  if (entries.length > 0 && hasFeed(text.slice(from, first))) return undefined;
  const inside = parts.join(', ');
  const pad = node.kind === 'object' && inside !== '' ? ' ' : '';
  return `${open}${pad}${inside}${pad}${close}`;
};

const print = (page: Page, node: LocatedNode, indent: string, column: number): string => {
  if (node.kind !== 'array' && node.kind !== 'object') return printScalar(page, node);
  const joined = flat(page, node);
  // One column for the comma behind it.
  if (joined !== undefined && (column + joined.length + 1 <= WIDTH || joined.length === 2)) return joined;

  const [open, close] = bracketsOf(node);
  const inner = indent + INDENT;
  const lines: string[] = [open];
  const behind = (comments: readonly Comment[]): void => {
    for (const comment of comments) lines[lines.length - 1] += padBefore(page, comment) + textOf(page, comment);
  };
  let edge = node.span.start.offset + 1;
  const onOwnLine = (from: number, start: number, text: string): void => {
    if (lines.length > 1 && blankBefore(page, from, start)) lines.push('');
    lines.push(inner + text);
  };
  for (const entry of [...entriesOf(page, node), undefined]) {
    const to = entry?.start ?? node.span.end.offset - 1;
    const gap = gapOf(page, edge, to, entry === undefined);
    behind(gap.behind);
    edge = gap.behind.at(-1)?.end ?? edge;
    for (const comment of gap.between) {
      onOwnLine(edge, comment.start, textOf(page, comment));
      edge = comment.end;
    }
    if (!entry) break;
    const lead = gap.before.map((comment) => `${textOf(page, comment)} `).join('');
    onOwnLine(edge, gap.before[0]?.start ?? entry.start, `${lead}${entry.print(inner, inner.length + lead.length)},`);
    edge = entry.end;
  }
  return [...lines, indent + close].join('\n');
};

/** The file in its one form; refused where it can't be read. */
export const formatDocument = (source: string, dialect: Dialect): Outcome<string> => {
  const feed = source.includes('\r\n') ? '\r\n' : '\n';
  const text = source.replaceAll(/\r\n?/g, '\n');
  const { root, diagnostics } = parseDocument('', utf8(text), { dialect });
  if (!root || hasErrors(diagnostics))
    return refuse('config/cannot-edit', 'The file can not be read, so it can not be formatted.');
  const page: Page = { text, comments: scanText(text, dialect).comments };
  const lines: string[] = [];
  let edge = 0;
  const put = (start: number, end: number, part: string): void => {
    // What is behind the document on its line stays there.
    const same = lines.length > 0 && !hasFeed(text.slice(edge, start));
    if (lines.length > 0 && blankBefore(page, edge, start)) lines.push('');
    if (same) lines[lines.length - 1] += ` ${part}`;
    else lines.push(part);
    edge = end;
  };
  const [from, to] = [root.span.start.offset, root.span.end.offset];
  for (const comment of commentsIn(page, 0, from)) put(comment.start, comment.end, textOf(page, comment));
  put(from, to, print(page, root, '', 0));
  for (const comment of commentsIn(page, to, text.length)) put(comment.start, comment.end, textOf(page, comment));
  return accept(`${lines.join('\n')}\n`.replaceAll('\n', feed));
};

// What commands print: a value as JSON for programs, or text for people. Colours only on a terminal that wants them
// (https://no-color.org). Text from clients can't move the cursor: control characters are shown as escapes.

import { styleText } from 'node:util';
import { UNSEEN } from '../review/excerpt.ts';

export interface Output {
  readonly json: boolean;
  /** Prints `value` as JSON when --json was given, else what `text` makes. */
  readonly show: (value: unknown, text: () => string) => void;
  readonly note: (text: string) => void;
  readonly style: (format: Parameters<typeof styleText>[0], text: string) => string;
}

export const wantsColour = (stream: NodeJS.WriteStream): boolean =>
  stream.isTTY && process.env['NO_COLOR'] === undefined && process.env['TERM'] !== 'dumb';

export const createOutput = (json: boolean): Output => {
  const colour = !json && wantsColour(process.stdout);
  return {
    json,
    show: (value, text) => {
      process.stdout.write(json ? `${JSON.stringify(value, null, 2)}\n` : `${text()}\n`);
    },
    note: (text) => {
      if (!json) process.stderr.write(`${text}\n`);
    },
    style: (format, text) => (colour ? styleText(format, text, { validateStream: false }) : text),
  };
};

const CONTROL = new RegExp(String.raw`[\u0000-\u001f\u007f${UNSEEN}]`, 'gu');

const escapeOf = (character: string): string => {
  const hex = (character.codePointAt(0) ?? 0).toString(16).padStart(4, '0');
  return hex.length > 4 ? `\\u{${hex}}` : `\\u${hex}`;
};

/** Untrusted text for a terminal: control characters, and those that nobody sees, become visible escapes. */
export const plain = (text: string): string => text.replace(CONTROL, escapeOf);

/** The same for text of several lines, which may hold tabs. */
export const plainLines = (text: string): string =>
  text.replace(CONTROL, (character) => (character === '\n' || character === '\t' ? character : escapeOf(character)));

// oxlint-disable-next-line no-control-regex
const STYLE = /\u001b\[[\d;]*m/g;
const width = (text: string): number => text.replace(STYLE, '').length;

/** Left-aligned columns, two spaces apart, without trailing blanks. */
export const table = (
  head: readonly string[],
  rows: readonly (readonly string[])[],
  style: Output['style'],
): string => {
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => width(row[i] ?? ''))));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, i) => cell + ' '.repeat(Math.max(0, (widths[i] ?? 0) - width(cell))))
      .join('  ')
      .trimEnd();
  return [style('dim', line(head)), ...rows.map(line)].join('\n');
};

const STEPS: readonly [number, string][] = [
  [86_400, 'd'],
  [3_600, 'h'],
  [60, 'min'],
  [1, 's'],
];

/** `3 min ago`, `in 2 d`. */
export const relativeTime = (atMs: number, nowMs: number): string => {
  const seconds = Math.round(Math.abs(nowMs - atMs) / 1000);
  const [size, unit] = STEPS.find(([size]) => seconds >= size) ?? [1, 's'];
  const amount = `${Math.floor(seconds / size)} ${unit}`;
  return atMs <= nowMs ? `${amount} ago` : `in ${amount}`;
};

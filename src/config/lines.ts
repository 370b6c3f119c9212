// Offsets of a text → lines and columns as editors count them: from 1, in UTF-16 code units; \n, \r\n and \r end a line.

import type { Position, Span } from '../base/diagnostic.ts';

export interface Lines {
  readonly position: (offset: number) => Position;
  readonly span: (start: number, end: number) => Span;
}

export const linesOf = (file: string, text: string): Lines => {
  const starts = [0];
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === 10 || (c === 13 && text.charCodeAt(i + 1) !== 10)) starts.push(i + 1);
  }
  const position = (offset: number): Position => {
    let low = 0;
    let high = starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if ((starts[middle] as number) <= offset) low = middle;
      else high = middle - 1;
    }
    return { line: low + 1, column: offset - (starts[low] as number) + 1, offset };
  };
  return { position, span: (start, end) => ({ file, start: position(start), end: position(end) }) };
};

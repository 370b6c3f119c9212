// Text for people: tables, times, and untrusted text that can't move a cursor.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { plain, relativeTime, table } from '../../src/cli/output.ts';

test('names from clients are shown, not obeyed', () => {
  assert.equal(plain('pc\u001b[2J\u202egnp.exe\n'), 'pc\\u001b[2J\\u202egnp.exe\\u000a');
  assert.equal(plain('Zoë 🦔'), 'Zoë 🦔');
});

test('columns align, with or without colour', () => {
  const style = (_: unknown, text: string): string => `\u001b[2m${text}\u001b[22m`;
  assert.equal(
    table(
      ['ID', 'NAME'],
      [
        ['1', style(0, 'a')],
        ['10', 'bcd'],
      ],
      (_, text) => text,
    ),
    `ID  NAME\n1   ${style(0, 'a')}\n10  bcd`,
  );
});

test('spans of time', () => {
  assert.equal(relativeTime(0, 90_000), '1 min ago');
  assert.equal(relativeTime(3 * 86_400_000, 0), 'in 3 d');
});

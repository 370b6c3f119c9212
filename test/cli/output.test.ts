// Text for people: tables, times, and untrusted text that can't move a cursor.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as editing from '../../src/cli/edit.ts';
import { plain, plainLines, relativeTime, table } from '../../src/cli/output.ts';

test('names from clients are shown, not obeyed', () => {
  assert.equal(plain('pc\u001b[2J\u202egnp.exe\n'), 'pc\\u001b[2J\\u202egnp.exe\\u000a');
  assert.equal(
    plain('a\u061cb\u2028c\u200bd\u{e0041}e\u3164'),
    'a\\u061cb\\u2028c\\u200bd\\u{e0041}e\\u3164',
    'what nobody sees',
  );
  assert.equal(plain('Zoë 🦔'), 'Zoë 🦔');
});

test('a difference of files keeps its lines and tabs, and nothing else that a terminal obeys', () => {
  assert.equal(plainLines('-\ta\n+\u001b[1Ab\r\n'), '-\ta\n+\\u001b[1Ab\\u000d\n');
  const { renderEdit } = editing;
  const answer = { file: 'routes.json5', subject: '', mode: 'print', diff: '+ // \u001b]0;x\u0007\n' } as const;
  assert.equal(renderEdit(answer), '+ // \\u001b]0;x\\u0007');
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

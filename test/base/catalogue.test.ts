// The catalogue and what is said about it are held together: every code has its paragraph in docs/errors/<room>.md under a
// heading of its name, no heading is left over, and every code is named by a test.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { catalogue } from '../../src/base/catalogue.ts';

const root = path.join(import.meta.dirname, '../..');
const codes = Object.keys(catalogue);
const rooms = [...new Set(codes.map((code) => code.split('/')[0] as string))];

/** Headings of the form `## room/code` and what stands under each. */
const paragraphs = (room: string): Map<string, string> => {
  const file = path.join(root, `docs/errors/${room}.md`);
  if (!fs.existsSync(file)) return new Map();
  const sections = fs.readFileSync(file, 'utf8').split(/^#+ /m).slice(1);
  return new Map(
    sections
      .map(
        (section) =>
          [
            section.slice(0, section.indexOf('\n')).replaceAll('`', '').trim(),
            section.slice(section.indexOf('\n')).trim(),
          ] as const,
      )
      .filter(([title]) => title.includes('/')),
  );
};

for (const room of rooms) {
  test(`docs/errors/${room}.md explains every code of ${room}`, () => {
    const documented = paragraphs(room);
    const mine = codes.filter((code) => code.startsWith(`${room}/`));
    assert.deepEqual(
      mine.filter((code) => (documented.get(code) ?? '').length < 40),
      [],
      'codes without a paragraph',
    );
    assert.deepEqual(
      [...documented.keys()].filter((code) => !mine.includes(code)),
      [],
      'headings without a code',
    );
  });
}

/** Only a bug raises these; there is nothing that a test could arrange. */
const BUGS: ReadonlySet<string> = new Set(['source/fault']);

test('every code is named by a test or a golden', () => {
  // The page of the lint rules is a golden itself: its examples are run by test/review/lint/rules.test.ts.
  const goldens = fs.readFileSync(path.join(root, 'docs/errors/lint.md'), 'utf8');
  const texts = fs
    .readdirSync(path.join(root, 'test'), { recursive: true, withFileTypes: true })
    .filter(
      (entry) =>
        entry.isFile() &&
        /\.(?:ts|txt|json|json5|md|sarif|annotations)$/.test(entry.name) &&
        !/\.build|node_modules/.test(entry.parentPath),
    )
    .map((entry) => fs.readFileSync(path.join(entry.parentPath, entry.name), 'utf8'))
    .join('\n');
  assert.deepEqual(
    codes.filter((code) => !texts.includes(code) && !goldens.includes(code) && !BUGS.has(code)),
    [],
  );
});

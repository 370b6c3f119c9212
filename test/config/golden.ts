// Cases that a person can read: one file each, with the files of a small tailnet folder and the exact report that
// `tailplane lint` prints for it. A folder without tailnet.json5 gets the smallest one, unless the case says `(absent)`.
//
//   === users.json5              the text of a file, up to the next line that begins with ===
//   === users.json5 (escaped)    the same with \xNN for a byte and {{repeat N TEXT}}; its last line feed is dropped
//   === report                   what is printed; UPDATE_GOLDENS=1 writes it anew
//
// Run with UPDATE_GOLDENS=1, then read the difference.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { Diagnostic } from '../../src/base/diagnostic.ts';
import { parseRevision, type Revision } from '../../src/base/ids.ts';
import { renderTerminal } from '../../src/review/terminal.ts';
import { compileSnapshot } from '../../src/snapshot/compile.ts';

const SMALLEST = "{ name: 'example.com' }\n";
export const REVISION = parseRevision('dir-0123456789abcdef') as Revision;

export interface Case {
  readonly name: string;
  readonly files: ReadonlyMap<string, Uint8Array>;
  readonly expected: string;
  /** Writes the case back with another report. */
  readonly rewrite: (report: string) => void;
}

const unescapeBytes = (text: string): Uint8Array => {
  const long = text.replaceAll(/\{\{repeat (\d+) (.+?)\}\}/g, (_, count: string, part: string) =>
    part.repeat(Number(count)),
  );
  const parts = long.replace(/\n$/, '').split(/\\x([0-9a-f]{2})/);
  return Buffer.concat(parts.map((part, i) => (i % 2 === 0 ? Buffer.from(part) : Buffer.from(part, 'hex'))));
};

const readCase = (file: string): Case => {
  const text = fs.readFileSync(file, 'utf8');
  const files = new Map<string, Uint8Array>();
  let expected = '';
  let input = text;
  let absent = false;
  for (const section of text.split(/^(?==== )/m)) {
    const [, name, note, body = ''] = /^=== (\S+)(?: \((\w+)\))?\n([\s\S]*)$/.exec(section) ?? [];
    if (name === undefined) throw new Error(`${file}: a section begins with «=== name»`);
    if (name === 'report') {
      expected = body;
      input = text.slice(0, text.indexOf('=== report\n'));
    } else if (note === 'absent') absent = true;
    else files.set(name, note === 'escaped' ? unescapeBytes(body) : Buffer.from(body));
  }
  if (!absent && !files.has('tailnet.json5')) files.set('tailnet.json5', Buffer.from(SMALLEST));
  return {
    name: path.basename(file, '.txt'),
    files,
    expected,
    rewrite: (report) => fs.writeFileSync(file, `${input}=== report\n${report}`),
  };
};

export const readCases = (folder: string): Case[] =>
  fs
    .readdirSync(folder)
    .filter((name) => name.endsWith('.txt'))
    .sort()
    .map((name) => readCase(path.join(folder, name)));

/** One test for each case of a folder, and one that the cases hold every code of the rooms. */
export const testCases = (folder: string, codes: readonly string[]): void => {
  const cases = readCases(folder);
  const seen = new Set<string>();
  for (const one of cases) {
    test(one.name, () => {
      const { snapshot, diagnostics, folder } = compileSnapshot({ revision: REVISION, files: one.files });
      for (const { code } of diagnostics) seen.add(code);
      assert.equal(
        snapshot === undefined,
        diagnostics.some(({ severity }: Diagnostic) => severity === 'error'),
      );
      const sources = new Map(folder.files.map(({ file, text }) => [file as string, text]));
      const report = renderTerminal({ diagnostics, sources }, { colour: false });
      if (process.env['UPDATE_GOLDENS'] === undefined) assert.equal(report, one.expected);
      else one.rewrite(report);
    });
  }
  test('every code has a case', () => {
    assert.deepEqual(
      codes.filter((code) => !seen.has(code)),
      [],
    );
  });
};

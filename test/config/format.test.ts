// One form for every file: what it looks like, and the law that it changes neither the meaning nor a comment, and that the
// formatted file stays as it is.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { canonicalJson } from '../../src/base/canonical.ts';
import { parseDocument } from '../../src/config/document.ts';
import type { Dialect } from '../../src/config/scan.ts';
import { formatDocument } from '../../src/config/format.ts';
import { plainOf, type LocatedNode } from '../../src/config/located.ts';
import { anyNoise, anyObject, write } from './writer.ts';

const format = (text: string, dialect: Dialect = 'json5'): string => {
  const outcome = formatDocument(text, dialect);
  assert.ok(outcome.ok, outcome.ok ? '' : outcome.reason);
  return outcome.value;
};

test('format: spaces, commas and blank lines, but not words or comments', () => {
  const before = `// head

// of the file
{name:'example.com' ,   "quoted":[1,0x10 , 'x'],


    // own line
      nodes:{
  keyExpiry :'90d'   // aligned
   ,ephemeral:/* why */"30m"},
  long: ['group:engineering', 'group:operations', 'group:contractors', 'group:management', 'group:support', 'tag:server'],
  empty: {

  },
  // last
}
// tail`;
  assert.equal(
    format(before),
    `// head

// of the file
{
  name: 'example.com',
  "quoted": [1, 0x10, 'x'],

  // own line
  nodes: {
    keyExpiry: '90d',   // aligned
    ephemeral: /* why */ "30m",
  },
  long: [
    'group:engineering',
    'group:operations',
    'group:contractors',
    'group:management',
    'group:support',
    'tag:server',
  ],
  empty: {},
  // last
}
// tail
`,
  );
});

test('format: what is on one line and fits stays there', () => {
  assert.equal(format('{a:1,b:[ {c:2,} ], }'), '{ a: 1, b: [{ c: 2 }] }\n');
  assert.equal(format('[ /* one */ 1, /* two */ 2 /* end */ ]'), '[/* one */ 1, /* two */ 2 /* end */]\n');
});

test('format: line ends of the file are kept', () => assert.equal(format('{\r\na:1}\r\n'), '{\r\n  a: 1,\r\n}\r\n'));

test('format: a file that cannot be read is refused', () => assert.equal(formatDocument('{ a: ', 'json5').ok, false));

test('format: tailnet.example is in the one form', () => {
  const folder = path.join(import.meta.dirname, '../../tailnet.example');
  for (const name of fs.readdirSync(folder).filter((name) => name.endsWith('.json5'))) {
    const text = fs.readFileSync(path.join(folder, name), 'utf8');
    assert.equal(format(text), text, name);
  }
});

const read = (text: string, dialect: Dialect) => {
  const { root, comments, diagnostics } = parseDocument('f', Buffer.from(text), { dialect });
  assert.deepEqual(diagnostics, []);
  return { value: canonicalJson(plainOf(root as LocatedNode)), comments: comments.map(({ text }) => text) };
};

test('law: formatting keeps the meaning and every comment in its order, and is done after once', () => {
  fc.assert(
    fc.property(anyObject, anyNoise, fc.constantFrom<Dialect>('json5', 'hujson'), (document, noise, dialect) => {
      const text = write(document, noise, dialect);
      const once = format(text, dialect);
      assert.deepEqual(read(once, dialect), read(text, dialect));
      assert.equal(format(once, dialect), once);
      assert.doesNotMatch(once, /[ \t]$/m);
    }),
    { numRuns: 1500 },
  );
});

// The reader: values and places of what is right; no throw, no long wait and no deep recursion for anything else.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import JSON5 from 'json5';
import { canonicalJson, type Json } from '../../src/base/canonical.ts';
import { maskSecrets } from '../../src/config/secrets.ts';
import { parseDocument } from '../../src/config/document.ts';
import type { Dialect } from '../../src/config/scan.ts';
import { memberOf, plainOf, type LocatedNode } from '../../src/config/located.ts';

const read = (text: string | Uint8Array, dialect: Dialect = 'json5') =>
  parseDocument('f.json5', typeof text === 'string' ? Buffer.from(text) : text, { dialect });

const sliceOf = (text: string, node: { readonly span: LocatedNode['span'] }): string =>
  text.slice(node.span.start.offset, node.span.end.offset);

test('places are lines and columns from 1 in UTF-16, offsets from 0', () => {
  const text = "{\r\n  // 🎉 comment\r\n  name: '🎉', // here\n  'list': [1, -0x10, .5]\r}";
  const { root, comments, diagnostics } = read(text);
  assert.deepEqual(diagnostics, []);
  const name = memberOf(root, 'name');
  assert.deepEqual(name?.keySpan, {
    file: 'f.json5',
    start: { line: 3, column: 3, offset: text.indexOf('name') },
    end: { line: 3, column: 7, offset: text.indexOf('name') + 4 },
  });
  assert.equal(name && sliceOf(text, name.value), "'🎉'");
  assert.equal(name?.value.span.end.column, 13);
  const list = memberOf(root, 'list')?.value as LocatedNode;
  assert.deepEqual(list.kind === 'array' && list.items.map((item) => sliceOf(text, item)), ['1', '-0x10', '.5']);
  assert.deepEqual(list.span.start.line, 4);
  assert.deepEqual(root?.span.end, { line: 5, column: 2, offset: text.length });
  assert.deepEqual(
    comments.map(({ text, span }) => [text, span.start.line]),
    [
      ['🎉 comment', 2],
      ['here', 3],
    ],
  );
});

test('json5 gives the values, escapes in keys and strings included', () => {
  const text = `{ "\\u0061b": 'x\\\n y', $c_1: "\\x41\\'", d: +1.5e1, e: null, }`;
  assert.deepEqual(JSON.parse(canonicalJson(plainOf(read(text).root as LocatedNode))), JSON5.parse(text));
});

test('of two equal keys the tree keeps the last, as json5 does, whatever the shapes', () => {
  const { root, diagnostics } = read('{ a: { b: [1] }, a: 2, c: [{ d: 1, d: [2] }] }');
  assert.equal(canonicalJson(plainOf(root as LocatedNode)), '{"a":2,"c":[{"d":[2]}]}');
  assert.deepEqual(
    diagnostics.map(({ code, related }) => [code, related?.length]),
    [
      ['config/duplicate-key', 1],
      ['config/duplicate-key', 1],
    ],
  );
});

test('HuJSON is JSON with comments and trailing commas, and nothing more', () => {
  assert.deepEqual(read('// a\n{ "a": [1, 2,], /* b */ }', 'hujson').diagnostics, []);
  for (const text of [
    '{a:1}',
    "['a']",
    '[0x1]',
    '[+1]',
    '[.5]',
    '[NaN]',
    '["\\x41"]',
    '["a\\\nb"]',
    '[01]',
    '\u00a0[]',
  ]) {
    assert.equal(read(text, 'hujson').diagnostics[0]?.code, 'config/syntax', text);
  }
});

test('law: every value is read back, each node at its own text', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 4 }), fc.constantFrom(undefined, 1, '\t'), (value, indent) => {
      const text = JSON.stringify(value, null, indent).replaceAll(/[\u200b\u2028-\u202e\u2060-\u2069\ufeff]/g, '_');
      fc.pre(!/"(?:__proto__|constructor|prototype)":/.test(text));
      const { root, diagnostics } = read(text);
      fc.pre(diagnostics.every(({ code }) => code !== 'config/number'));
      assert.ok(root);
      assert.equal(canonicalJson(plainOf(root)), canonicalJson(JSON.parse(text) as Json));
      const check = (node: LocatedNode): void => {
        assert.equal(canonicalJson(plainOf(node)), canonicalJson(JSON.parse(sliceOf(text, node)) as Json));
        if (node.kind === 'array') node.items.forEach(check);
        if (node.kind === 'object') for (const member of node.members) check(member.value);
      };
      check(root);
    }),
    { numRuns: 300 },
  );
});

test('law: no bytes make the reader throw, and every refusal has a place within the file', () => {
  const noise = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc.string({
      unit: fc.constantFrom(
        ...'{ } [ ] : , \' " \\ / * \n \r u a 1 . - + 0 x e'.split(' '),
        ' ',
        'true',
        'null',
        '\u2028',
        '\ufeff',
        '\u0000',
        'é',
        '🎉',
      ),
      maxLength: 60,
    }),
  );
  fc.assert(
    fc.property(noise, fc.constantFrom<Dialect>('json5', 'hujson'), (input, dialect) => {
      const { root, diagnostics } = read(input, dialect);
      assert.ok(root !== undefined || diagnostics.length > 0);
      const length =
        typeof input === 'string' ? input.length : new TextDecoder('utf-8', { ignoreBOM: true }).decode(input).length;
      for (const { span } of diagnostics) {
        assert.ok(span && span.start.offset <= span.end.offset && span.end.offset <= length + 1);
        assert.ok(span.start.line >= 1 && span.start.column >= 1);
      }
    }),
    { numRuns: 4000 },
  );
});

test('hostile files of 4 MiB cost little', () => {
  const limitBytes = 4 * 1024 * 1024;
  const fill = (part: string, before = '', after = ''): string =>
    before + part.repeat(Math.floor((limitBytes - before.length - after.length) / part.length)) + after;
  const files: Record<string, string> = {
    brackets: fill('['),
    numbers: fill('1,', '[', ']'),
    strings: fill("'',", '[', ']'),
    'one string': fill('x', "'", "'"),
    escapes: fill('\\u0041', "'", "'"),
    'open string': fill('x', "'"),
    backslashes: fill('\\', "'", "'"),
    comments: fill('/**/', '', '1'),
    blanks: fill(' ', '{a:1', 'b:1}'),
    identifier: fill('a', '{', ':1}'),
    'hidden characters': fill('\u200b'),
    'replacement characters': fill('\ufffd'),
    secrets: fill('tskey-', "'", "'"),
  };
  for (const [what, text] of Object.entries(files)) {
    const start = process.cpuUsage();
    read(Buffer.from(text).subarray(0, limitBytes));
    const { user, system } = process.cpuUsage(start);
    const tookMs = (user + system) / 1000;
    // Time of the processor, so that a busy machine changes nothing; 0.6 s at most were measured.
    assert.ok(tookMs < 3_000, `${what}: ${Math.round(tookMs)} ms`);
  }
});

test('a secret where a sealed one belongs is masked to its end, whatever it holds', () => {
  const long = 'z'.repeat(300);
  for (const written of [`"it's ${long}"`, `'a"b c'`, String.raw`"a\"b"`, `"cut off`]) {
    const masked = maskSecrets(`{ url: "https://x", secret: ${written}`);
    assert.match(masked, /^\{ url: "https:\/\/x", secret: ["']•+["']?$/);
  }
  assert.equal(maskSecrets(`secret: 'sealed:abc'`), `secret: 'sealed:abc'`);
});

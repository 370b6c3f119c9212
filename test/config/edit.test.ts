// Edits of files that people write by hand. First what they look like, then the law: an edited file means what was asked,
// and everything that was not asked for is still there, to the character.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { canonicalJson, type Json } from '../../src/base/canonical.ts';
import { parseDocument } from '../../src/config/document.ts';
import type { Dialect } from '../../src/config/scan.ts';
import { editDocument, type Edit } from '../../src/config/edit.ts';
import { nodeAt, plainOf, type LocatedNode, type Path } from '../../src/config/located.ts';
import { anyJson, anyNoise, anyObject, write } from './writer.ts';

const edited = (text: string, ...edits: Edit[]): string => {
  const outcome = editDocument(text, 'json5', edits);
  assert.ok(outcome.ok, outcome.ok ? '' : outcome.reason);
  return outcome.value;
};

const looks: readonly {
  readonly what: string;
  readonly before: string;
  readonly edit: Edit;
  readonly after: string;
}[] = [
  {
    what: 'an entry at the end of a list keeps comments and the trailing comma',
    before: `{
  // approved by hand
  routes: [
    { node: { id: 'n1TP' }, exitNode: true }, // the attic
    // more to come
  ],
}
`,
    edit: { kind: 'insert', path: ['routes'], value: { node: { id: 'n2TP' }, subnets: ['10.0.0.0/8'] } },
    after: `{
  // approved by hand
  routes: [
    { node: { id: 'n1TP' }, exitNode: true }, // the attic
    { node: { id: 'n2TP' }, subnets: ['10.0.0.0/8'] },
    // more to come
  ],
}
`,
  },
  {
    what: 'a list without a trailing comma stays without one',
    before: '{\n  a: [\n    1,\n    2 // two\n  ]\n}',
    edit: { kind: 'insert', path: ['a'], value: 3 },
    after: '{\n  a: [\n    1,\n    2, // two\n    3\n  ]\n}',
  },
  {
    what: 'an entry at the front',
    before: '{\n  a: [ // numbers\n    2,\n  ],\n}',
    edit: { kind: 'insert', path: ['a'], index: 0, value: 1 },
    after: '{\n  a: [ // numbers\n    1,\n    2,\n  ],\n}',
  },
  {
    what: 'a list on one line',
    before: "{ a: ['x', 'y'], b: 1 }",
    edit: { kind: 'insert', path: ['a'], index: 1, value: 'n' },
    after: "{ a: ['x', 'n', 'y'], b: 1 }",
  },
  { what: 'an empty list', before: '{ a: [] }', edit: { kind: 'insert', path: ['a'], value: 1 }, after: '{ a: [1] }' },
  {
    what: 'a list that holds only a comment',
    before: '{\n  a: [\n    // none yet\n  ],\n}',
    edit: { kind: 'insert', path: ['a'], value: 1 },
    after: '{\n  a: [\n    // none yet\n    1,\n  ],\n}',
  },
  {
    what: 'a value is replaced where it stands',
    before: "{ name: 'a', /* why */ role: 'member', // x\n}",
    edit: { kind: 'set', path: ['role'], value: 'admin' },
    after: "{ name: 'a', /* why */ role: 'admin', // x\n}",
  },
  {
    what: 'the same value changes nothing',
    before: '{ a: 0x10 }',
    edit: { kind: 'set', path: ['a'], value: 16 },
    after: '{ a: 0x10 }',
  },
  {
    what: 'a new member, in the quotes of the file',
    before: '{\n\t"users": [\n\t\t{ "login": "a@b" }\n\t]\n}\n',
    edit: { kind: 'set', path: ['users', 0, 'disabled'], value: true },
    after: '{\n\t"users": [\n\t\t{ "login": "a@b", "disabled": true }\n\t]\n}\n',
  },
  {
    what: 'objects that are missing on the way are made',
    before: "{\n  name: 'x',\n}\n",
    edit: { kind: 'set', path: ['nodes', 'keyExpiry'], value: '90d' },
    after: "{\n  name: 'x',\n  nodes: { keyExpiry: '90d' },\n}\n",
  },
  {
    what: 'an entry goes with the comment on its line, not with the one above',
    before: '{\n  a: [\n    1,\n    // about two\n    2, // two\n    3,\n  ],\n}',
    edit: { kind: 'remove', path: ['a', 1] },
    after: '{\n  a: [\n    1,\n    // about two\n    3,\n  ],\n}',
  },
  {
    what: 'the last entry of a list without a trailing comma',
    before: '{\n  a: [\n    1,\n    2\n  ]\n}',
    edit: { kind: 'remove', path: ['a', 1] },
    after: '{\n  a: [\n    1\n  ]\n}',
  },
  {
    what: 'a member on a shared line',
    before: '{ a: 1, b: 2, c: 3 }',
    edit: { kind: 'remove', path: ['b'] },
    after: '{ a: 1, c: 3 }',
  },
  {
    what: 'the last member of a line',
    before: '{ a: 1, b: 2 }',
    edit: { kind: 'remove', path: ['b'] },
    after: '{ a: 1 }',
  },
  { what: 'the only member', before: '{ a: 1 }', edit: { kind: 'remove', path: ['a'] }, after: '{}' },
];

for (const { what, before, edit, after } of looks) {
  test(`edit: ${what}`, () => assert.equal(edited(before, edit), after));
}

test('edit: line ends of the file are kept', () => {
  const text = edited('{\r\n  a: [\r\n    1,\r\n  ],\r\n}\r\n', { kind: 'insert', path: ['a'], value: 2 });
  assert.equal(text, '{\r\n  a: [\r\n    1,\r\n    2,\r\n  ],\r\n}\r\n');
});

test('edit: HuJSON gets double quotes and quoted keys', () => {
  const outcome = editDocument('{}', 'hujson', [
    { kind: 'set', path: ['groups', 'group:a'], value: ["o'neil@example.com"] },
  ]);
  assert.deepEqual(outcome, { ok: true, value: `{ "groups": { "group:a": ["o'neil@example.com"] } }` });
});

test('edit: what has no place is refused with config/cannot-edit', () => {
  const refused: Edit[] = [
    { kind: 'remove', path: ['nobody'] },
    { kind: 'remove', path: [] },
    { kind: 'insert', path: ['a'], value: 1 },
    { kind: 'set', path: ['list', 7], value: 1 },
    { kind: 'set', path: ['__proto__'], value: 1 },
  ];
  for (const edit of refused) {
    const outcome = editDocument('{ a: 1, list: [] }', 'json5', [edit]);
    assert.equal(outcome.ok ? undefined : outcome.code, 'config/cannot-edit', JSON.stringify(edit));
  }
  assert.equal(editDocument('{ a: ', 'json5', []).ok, false);
});

/** Every path of a value, with whether it is a list. */
const pathsOf = (value: Json, path: Path = []): Path[] => {
  if (value === null || typeof value !== 'object') return [path];
  const inner: [string | number, Json][] = Array.isArray(value)
    ? [...(value as Json[]).entries()]
    : Object.entries(value as Record<string, Json>);
  return [path, ...inner.flatMap(([step, item]) => pathsOf(item, [...path, step]))];
};

const at = (value: Json, path: Path): Json =>
  path.reduce<Json>((inner, step) => (inner as Record<string | number, Json>)[step] as Json, value);

/** The edit on the plain value. */
const expected = (value: Json, edit: Edit): Json => {
  const copy = structuredClone(value) as Json;
  if (edit.kind === 'insert') {
    const list = at(copy, edit.path) as Json[];
    list.splice(edit.index ?? list.length, 0, edit.value);
    return copy;
  }
  const last = edit.path.at(-1);
  if (last === undefined) return edit.kind === 'set' ? edit.value : copy;
  const parent = at(copy, edit.path.slice(0, -1)) as Record<string | number, Json>;
  if (edit.kind === 'set') parent[last] = edit.value;
  else if (Array.isArray(parent)) parent.splice(Number(last), 1);
  else delete parent[last];
  return copy;
};

const editOf = (document: Json, kind: number, pick: number, value: Json): Edit => {
  const paths = pathsOf(document);
  const path = paths[pick % paths.length] as Path;
  const here = at(document, path);
  if (kind === 0 && Array.isArray(here)) return { kind: 'insert', path, index: pick % (here.length + 1), value };
  if (kind === 1 && path.length > 0) return { kind: 'remove', path };
  if (kind === 2 && here !== null && typeof here === 'object' && !Array.isArray(here))
    return { kind: 'set', path: [...path, 'added'], value };
  return { kind: 'set', path, value };
};

const commentsOf = (text: string, dialect: Dialect, from = 0, to = text.length): string[] =>
  parseDocument('f', Buffer.from(text), { dialect })
    .comments.filter(({ span }) => span.start.offset >= from && span.end.offset <= to)
    .map(({ text }) => text);

test('law: an edited file means what was asked, and the rest of the text is untouched', () => {
  fc.assert(
    fc.property(
      anyObject,
      anyNoise,
      fc.nat(3),
      fc.nat(1000),
      anyJson,
      fc.constantFrom<Dialect>('json5', 'hujson'),
      (document, noise, kind, pick, value, dialect) => {
        const text = write(document, noise, dialect);
        const { root } = parseDocument('f', Buffer.from(text), { dialect });
        assert.ok(root);
        const edit = editOf(document, kind, pick, value);
        const outcome = editDocument(text, dialect, [edit]);
        assert.ok(outcome.ok, outcome.ok ? '' : outcome.reason);
        const after = parseDocument('f', Buffer.from(outcome.value), { dialect }).root as LocatedNode;
        assert.equal(canonicalJson(plainOf(after)), canonicalJson(expected(document, edit)));

        // Outside of the container that was edited nothing moved.
        const inside = edit.kind === 'insert' ? edit.path : edit.path.slice(0, -1);
        const span = (nodeAt(root, inside) as LocatedNode).span;
        assert.equal(outcome.value.slice(0, span.start.offset), text.slice(0, span.start.offset));
        assert.ok(outcome.value.endsWith(text.slice(span.end.offset)));

        // Every comment is still there, except inside of what was replaced or removed and on its line.
        if (edit.kind === 'insert') assert.deepEqual(commentsOf(outcome.value, dialect), commentsOf(text, dialect));
        if (edit.kind === 'set') {
          const old = nodeAt(root, edit.path)?.span;
          const kept = old
            ? [...commentsOf(text, dialect, 0, old.start.offset), ...commentsOf(text, dialect, old.end.offset)]
            : commentsOf(text, dialect);
          const unchanged = outcome.value === text;
          assert.deepEqual(commentsOf(outcome.value, dialect), unchanged ? commentsOf(text, dialect) : kept);
        }
        if (edit.kind === 'remove') {
          const parent = nodeAt(root, inside) as LocatedNode;
          const member =
            parent.kind === 'object' ? parent.members.find((one) => one.key === edit.path.at(-1)) : undefined;
          const old = (nodeAt(root, edit.path) as LocatedNode).span;
          const lineEnd = /[\r\n]|$/.exec(text.slice(old.end.offset))?.index as number;
          const left = commentsOf(outcome.value, dialect);
          const above = commentsOf(text, dialect, 0, (member?.keySpan ?? old).start.offset);
          const below = commentsOf(text, dialect, old.end.offset + lineEnd);
          assert.deepEqual(left.slice(0, above.length), above);
          assert.deepEqual(left.slice(left.length - below.length), below);
        }
      },
    ),
    { numRuns: 1500 },
  );
});

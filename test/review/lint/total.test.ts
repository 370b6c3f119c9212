// Whatever people do to a working folder: the compiler and the rules answer, and never throw.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { runs } from '../../policy/runs.ts';
import type { Json } from '../../../src/base/canonical.ts';
import { parseDocument } from '../../../src/config/document.ts';
import { editDocument, type Edit } from '../../../src/config/edit.ts';
import type { LocatedNode, Path } from '../../../src/config/located.ts';
import { applyFixes, lint } from '../../../src/review/lint/lint.ts';
import { compileSnapshot } from '../../../src/snapshot/compile.ts';
import { REVISION } from '../../config/golden.ts';

const folder = path.join(import.meta.dirname, '../../../tailnet.example');
const example = new Map(
  fs
    .readdirSync(folder)
    .filter((name) => name.endsWith('.json5'))
    .map((name) => [name, fs.readFileSync(path.join(folder, name), 'utf8')] as const),
);

const pathsOf = (node: LocatedNode, at: Path = []): Path[] => {
  if (node.kind === 'array') return [at, ...node.items.flatMap((item, i) => pathsOf(item, [...at, i]))];
  if (node.kind === 'object') return [at, ...node.members.flatMap(({ key, value }) => pathsOf(value, [...at, key]))];
  return [at];
};

const places = [...example].flatMap(([name, text]) => {
  const { root } = parseDocument(name, Buffer.from(text), { dialect: 'json5' });
  assert.ok(root);
  return pathsOf(root).map((at) => ({ name, at }));
});

const words = [
  '',
  '*',
  'tag:server',
  'group:ops',
  'autogroup:self',
  'autogroup:internet',
  'alice@example.com',
  '10.0.0.0/8',
  '0.0.0.0/0',
  'fd7a:115c:a1e0::1',
  'never',
  'office',
  'posture:current',
  'x',
];
const value: fc.Arbitrary<Json> = fc.oneof(
  fc.constantFrom<Json>(...words, null, true, 0, -1, 65_536, [], {}),
  fc.array(fc.constantFrom<Json>(...words), { maxLength: 3 }),
  fc.dictionary(
    fc.constantFrom('id', 'name', 'tag', 'owner', 'src', 'dst', 'ip', 'tag:server', 'group:x'),
    fc.constantFrom<Json>(...words),
    { maxKeys: 3, noNullPrototype: true },
  ),
);

test('law: three random changes to tailnet.example give findings within the files, and fixes that can be applied', () => {
  const change = fc.record({ place: fc.constantFrom(...places), value: fc.option(value, { nil: undefined }) });
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 3 }), (changes) => {
      const files = new Map(example);
      for (const { place, value } of changes) {
        const edit: Edit =
          value === undefined ? { kind: 'remove', path: place.at } : { kind: 'set', path: place.at, value };
        const outcome = editDocument(files.get(place.name) as string, 'json5', [edit]);
        // An earlier change may have taken the place away.
        if (outcome.ok) files.set(place.name, outcome.value);
      }
      const compiled = compileSnapshot({
        revision: REVISION,
        files: new Map([...files].map(([name, text]) => [name, Buffer.from(text)])),
      });
      const { diagnostics, fixes } = lint(compiled, Date.parse('2026-11-24T00:00:00Z'));
      for (const { span, message } of diagnostics) {
        const text = files.get(span?.file ?? '') ?? '';
        assert.ok(span && span.start.offset <= span.end.offset && span.end.offset <= text.length, message);
      }
      const fixed = applyFixes(fixes, compiled.folder.files);
      for (const [name, text] of fixed.files) {
        assert.ok(parseDocument(name, Buffer.from(text), { dialect: 'json5' }).root, name);
      }
    }),
    runs(150),
  );
});

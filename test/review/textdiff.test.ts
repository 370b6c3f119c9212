// Unified differences: the form by example, and by property that they lead from one text to the other.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { runs } from '../policy/runs.ts';
import { unifiedDiff } from '../../src/review/textdiff.ts';

test('the form that git and patch read', () => {
  const before = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', ''].join('\n');
  const after = ['a', 'B', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'k', 'l', ''].join('\n');
  assert.equal(
    unifiedDiff('x.json5', before, after),
    '--- a/x.json5\n+++ b/x.json5\n@@ -1,5 +1,5 @@\n a\n-b\n+B\n c\n d\n e\n@@ -7,5 +7,5 @@\n g\n h\n i\n-j\n k\n+l\n',
  );
  assert.equal(unifiedDiff('x', undefined, 'a\n'), '--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+a\n');
  assert.equal(unifiedDiff('x', 'a\n', undefined), '--- a/x\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n');
  assert.equal(unifiedDiff('x', 'a\n', 'a\n'), '');
});

/** Applies a difference as patch would, strictly. */
const apply = (before: readonly string[], diff: string): string[] => {
  const out: string[] = [];
  let at = 0;
  for (const line of diff.split('\n').slice(2, -1)) {
    const hunk = /^@@ -(\d+)(?:,(\d+))? /.exec(line);
    if (hunk) {
      const start = Number(hunk[1]) - (hunk[2] === '0' ? 0 : 1);
      while (at < start) out.push(before[at++] as string);
      continue;
    }
    if (line[0] !== '+') assert.equal(before[at++], line.slice(1));
    if (line[0] !== '-') out.push(line.slice(1));
  }
  return [...out, ...before.slice(at)];
};

test('a difference leads from the one text to the other', () => {
  const text = fc.array(fc.constantFrom('a', 'b', 'c', 'd'), { maxLength: 30 });
  fc.assert(
    fc.property(text, text, (a, b) => {
      const join = (lines: readonly string[]): string => lines.map((line) => `${line}\n`).join('');
      assert.deepEqual(apply(a, unifiedDiff('x', join(a), join(b)) || '\n\n'), b);
    }),
    runs(500),
  );
});

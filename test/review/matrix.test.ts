// Who reaches what, at a glance: those that reach or are reached alike share a row or a column.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { utf8 } from '../../src/base/bytes.ts';
import type { Revision } from '../../src/base/ids.ts';
import { createMatrix, renderMatrixHtml } from '../../src/review/matrix.ts';
import { imagineNodes, reviewTailnet } from '../../src/review/tailnet.ts';
import { compileSnapshot } from '../../src/snapshot/compile.ts';

const matrixOf = (policy: object | undefined) => {
  const files = new Map([
    ['tailnet.json5', utf8(`{ name: 'example.com' }`)],
    ['users.json5', utf8(`{ users: [{ login: 'alice@example.com', role: 'owner' }, { login: 'bob@example.com' }] }`)],
    ...(policy ? [['policy.json5', utf8(JSON.stringify(policy))] as const] : []),
  ]);
  const { snapshot, diagnostics } = compileSnapshot({ revision: 'dir-0000000000000000' as Revision, files });
  assert.ok(snapshot, JSON.stringify(diagnostics));
  return createMatrix(reviewTailnet(snapshot, imagineNodes(snapshot)));
};

test('rows reach columns by the traffic in the cell', () => {
  const matrix = matrixOf({
    tagOwners: { 'tag:web': [], 'tag:db': [], 'tag:exit': [] },
    autoApprovers: { exitNode: ['tag:exit'] },
    grants: [
      { src: ['autogroup:member'], dst: ['tag:web'], ip: ['tcp:80', 'tcp:443'] },
      { src: ['tag:web'], dst: ['tag:db'], ip: ['tcp:5432'] },
      { src: ['alice@example.com'], dst: ['autogroup:internet'], ip: ['*'] },
    ],
  });
  assert.deepEqual(matrix, {
    rows: ['alice@example.com', 'bob@example.com', 'tag:web'],
    columns: ['tag:db', 'tag:web', 'the internet'],
    cells: [
      ['', 'tcp 80 (HTTP), 443 (HTTPS)', 'every port'],
      ['', 'tcp 80 (HTTP), 443 (HTTPS)', ''],
      ['tcp 5432 (PostgreSQL)', '', ''],
    ],
  });
});

test('without a policy everybody reaches everybody; with an empty one nobody anybody', () => {
  const open = matrixOf(undefined);
  assert.deepEqual(open.rows, ['alice@example.com', 'bob@example.com']);
  assert.deepEqual(open.columns, ['their own devices', 'alice@example.com', 'bob@example.com']);
  assert.deepEqual(open.cells, [
    ['every port', '', 'every port'],
    ['every port', 'every port', ''],
  ]);
  assert.deepEqual(matrixOf({ grants: [] }), { rows: [], columns: [], cells: [] });
});

test('what people do among their own devices is one column, and makes nobody a row by themselves', () => {
  const matrix = matrixOf({
    tagOwners: { 'tag:web': [] },
    grants: [
      { src: ['autogroup:member'], dst: ['autogroup:self'], ip: ['*'] },
      { src: ['autogroup:member'], dst: ['tag:web'], ip: ['tcp:443'] },
    ],
  });
  assert.deepEqual(matrix, {
    rows: ['autogroup:member'],
    columns: ['their own devices', 'tag:web'],
    cells: [['every port', 'tcp 443 (HTTPS)']],
  });
});

test('names on the page are text', () => {
  const html = renderMatrixHtml({ rows: ['<script>'], columns: ['"x"'], cells: [['a&b']] }, '<b>');
  assert.doesNotMatch(html, /<script>|<b>/);
  assert.match(html, /&#60;script&#62;/);
});

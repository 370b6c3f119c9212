// Decisions at run time as edits of files: what is written, and that nothing else moves.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Prefix } from '../../src/base/address.ts';
import { utf8 } from '../../src/base/bytes.ts';
import type { Outcome } from '../../src/base/outcome.ts';
import type { ResolvedNode } from '../../src/netmap/resolve.ts';
import { approveRoutes, declareCredential, declareNode } from '../../src/server/edits.ts';
import { withdrawCredential, withdrawRoutes } from '../../src/server/edits.ts';
import type { FileEdit } from '../../src/server/edits.ts';

const node = (more: object = {}): ResolvedNode =>
  ({
    record: { stableId: 'n4TP', name: 'office-router' },
    label: 'office-router',
    owner: 'bob@example.com',
    tags: [],
    approvedRoutes: ['10.9.0.0/16'],
    ...more,
  }) as unknown as ResolvedNode;

const files = (texts: Readonly<Record<string, string>>): ReadonlyMap<string, Uint8Array> =>
  new Map(Object.entries(texts).map(([name, text]) => [name, utf8(text)]));

const after = (edit: Outcome<FileEdit>): string => (edit.ok ? edit.value.after : edit.code);

const LAN = '10.1.0.0/16' as Prefix;
const EXIT = ['0.0.0.0/0', '::/0'] as Prefix[];

test('routes are approved for a name with the owner who vouches for it', () => {
  const text = `// Approved by the network team.\n{\n  routes: [\n    { node: { tag: 'tag:router' }, subnets: ['192.168.0.0/24'] }, // two of them\n  ],\n}\n`;
  const edit = approveRoutes(files({ 'routes.json5': text }), node(), [LAN, '10.9.0.0/16' as Prefix, ...EXIT]);
  assert.ok(edit.ok);
  assert.equal(edit.value.subject, 'Approve 10.1.0.0/16, exit node of office-router');
  assert.match(edit.value.after, /^\/\/ Approved by the network team\.\n/);
  assert.match(edit.value.after, /two of them\n/);
  assert.match(edit.value.after, /name: 'office-router',\s*owner: 'bob@example\.com'/);
  assert.match(edit.value.after, /'10\.1\.0\.0\/16'/);
  assert.match(edit.value.after, /exitNode: true/);
  assert.doesNotMatch(edit.value.after, /10\.9\.0\.0/, 'what is approved already is left alone');

  // The same node again: its entry grows.
  const again = approveRoutes(files({ 'routes.json5': edit.value.after }), node(), ['10.2.0.0/16' as Prefix]);
  assert.equal(after(again).match(/office-router/g)?.length, 1);
  assert.match(after(again), /'10\.1\.0\.0\/16', '10\.2\.0\.0\/16'/);
  assert.equal(after(approveRoutes(files({}), node(), ['10.9.0.0/16' as Prefix])), 'server/nothing-to-change');
});

test('a file that is missing is made, and a tagged node is named by its tag', () => {
  const tagged = node({ owner: null, tags: ['tag:router'] });
  const edit = approveRoutes(files({}), tagged, [LAN]);
  assert.ok(edit.ok);
  assert.equal(edit.value.before, undefined);
  assert.match(edit.value.after, /name: 'office-router',\s*tag: 'tag:router'/);
});

test('routes are withdrawn from what is said about the node alone; comments and the rest stay', () => {
  const text = `{
  routes: [
    // All routers.
    { node: { tag: 'tag:router' }, subnets: ['10.1.0.0/16'], exitNode: true },
    {
      node: { name: 'office-router', owner: 'bob@example.com' },
      // Second floor.
      subnets: ['10.1.0.0/16', '10.2.0.0/16'],
      exitNode: true,
    },
    { node: { id: 'n4TP' }, subnets: ['10.3.0.0/16'] }, // by its id
    { node: { name: 'office-router', owner: 'alice@example.com' }, subnets: ['10.1.0.0/16'] },
  ],
}
`;
  const withdraw = (...routes: string[]) =>
    withdrawRoutes(files({ 'routes.json5': text }), node(), routes.length > 0 ? (routes as Prefix[]) : undefined);
  const lines = (edit: Outcome<FileEdit>): string[] =>
    text.split('\n').filter((line) => !after(edit).split('\n').includes(line)).map((line) => line.trim()); // prettier-ignore
  assert.deepEqual(lines(withdraw('10.1.0.0/16')), ["subnets: ['10.1.0.0/16', '10.2.0.0/16'],"]);
  assert.match(after(withdraw('10.1.0.0/16')), /subnets: \['10\.2\.0\.0\/16'\],\n {6}exitNode: true/);
  assert.deepEqual(lines(withdraw('10.1.0.0/16', '10.2.0.0/16')), ["subnets: ['10.1.0.0/16', '10.2.0.0/16'],"]);
  assert.deepEqual(lines(withdraw('10.3.0.0/16')), [
    "{ node: { id: 'n4TP' }, subnets: ['10.3.0.0/16'] }, // by its id",
  ]);
  assert.equal(after(withdraw(...EXIT)).match(/exitNode: true/g)?.length, 1, "the tag's own stays");
  const all = withdraw();
  assert.ok(all.ok);
  assert.equal(all.value.subject, 'Withdraw 10.1.0.0/16, 10.2.0.0/16, 10.3.0.0/16, exit node of office-router');
  assert.doesNotMatch(all.value.after, /bob@example|n4TP/);
  assert.match(all.value.after, /alice@example\.com[\s\S]*10\.1\.0\.0/, 'another of that name');

  const elsewhere = withdraw('10.1.0.0/16', '10.9.0.0/16');
  assert.equal(after(elsewhere), 'server/approved-elsewhere');
  assert.match(elsewhere.ok ? '' : elsewhere.reason, /approves 10\.9\.0\.0\/16 for office-router alone/);
  assert.equal(after(withdrawRoutes(files({}), node(), undefined)), 'server/nothing-to-change');
  assert.equal(after(approveRoutes(files({}), node(), [])), 'server/nothing-to-change');
});

test('a declaration names the node by its id and updates the entry that is there', () => {
  const first = declareNode(files({}), node(), { approved: true });
  assert.match(after(first), /node: \{ id: 'n4TP' \},?\s*approved: true/);
  const second = declareNode(files({ 'nodes.json5': after(first) }), node(), { name: 'edge', tags: ['tag:router'] });
  assert.equal(after(second).match(/n4TP/g)?.length, 1);
  assert.match(after(second), /name: 'edge'/);
  const known = `{ nodes: [{ node: { name: 'office-router', owner: 'bob@example.com' }, keyExpiry: '7d' }] }`;
  assert.match(
    after(declareNode(files({ 'nodes.json5': known }), node(), { disabled: true })),
    /keyExpiry: '7d', disabled: true/,
  );
  assert.equal(after(declareNode(files({}), node(), {})), 'server/nothing-to-change');
  assert.match(after(declareNode(files({ 'nodes.json5': '{}' }), node(), { approved: true })), /nodes: \[\{.*n4TP/);
});

test('a credential is declared by its hash beside what is there, and withdrawn again', () => {
  const entry = { id: 'a1', hash: `sha256:${'0'.repeat(64)}`, owner: 'alice@example.com', scopes: ['logins'] };
  const fresh = declareCredential(files({}), entry);
  assert.match(after(fresh), /apiCredentials: \[\s*\{\s*id: 'a1'/);
  const keys = `{\n  // Ours.\n  authKeys: [],\n}\n`;
  const first = after(declareCredential(files({ 'keys.json5': keys }), entry));
  assert.match(first, /\/\/ Ours\.\n {2}authKeys: \[\],\n/);
  const second = after(declareCredential(files({ 'keys.json5': first }), { ...entry, id: 'a2' }));
  assert.match(second, /'a1'[^]*'a2'/);
  assert.equal(after(withdrawCredential(files({ 'keys.json5': second }), 'a2')), first);
  assert.equal(after(withdrawCredential(files({ 'keys.json5': first }), 'a2')), 'server/nothing-to-change');
});

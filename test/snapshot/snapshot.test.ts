// One revision, one frozen value: the same files give the same digest in any order and spelling, nothing can be changed
// afterwards, and nodes are matched by what can't be taken over.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Login, StableId, Tag } from '../../src/base/ids.ts';
import { TAILNET_FILES } from '../../src/config/folder.ts';
import { compileSnapshot } from '../../src/snapshot/compile.ts';
import { approvedRoutesOf, declarationOf } from '../../src/snapshot/lookup.ts';
import { findPerson } from '../../src/snapshot/person.ts';
import type { SelectableNode, Snapshot } from '../../src/snapshot/snapshot.ts';
import { userIdOf } from '../../src/snapshot/user.ts';
import { REVISION } from '../config/golden.ts';

const compile = (files: Readonly<Record<string, string>>): Snapshot => {
  const bytes = new Map(
    Object.entries({ 'tailnet.json5': "{ name: 'example.com' }", ...files }).map(([name, text]) => [
      name,
      Buffer.from(text),
    ]),
  );
  const { snapshot, diagnostics } = compileSnapshot({ revision: REVISION, files: bytes });
  assert.ok(snapshot, diagnostics.map(({ message }) => message).join('\n'));
  return snapshot;
};

const node = (id: string, label: string, owner: string | null, ...tags: string[]): SelectableNode => ({
  stableId: id as StableId,
  label,
  owner: owner as Login | null,
  tags: tags as Tag[],
});

test('the smallest tailnet has every default', () => {
  const { tailnet, users, dns, derp, policyFile, policy } = compile({});
  assert.deepEqual(tailnet, {
    name: 'example.com',
    displayName: 'example.com',
    baseDomain: 'tailnet.internal',
    domains: ['example.com'],
    addresses: { ipv4: '100.64.0.0/10', ipv6: 'fd7a:115c:a1e0::/48' },
    nodes: { keyExpiryMs: 180 * 86_400_000, ephemeralTimeoutMs: 1_800_000, approval: 'automatic', autoUpdate: false },
    clients: { latest: null, secureFrom: null },
    features: { taildrop: true, ssh: true, https: false, tailnetLock: false },
    guard: { pairsPercent: 30, pairsAtLeast: 20, administrators: true, routers: true, userNodes: true },
    invariants: [],
    signers: [],
    notify: [],
  });
  assert.deepEqual([users, policyFile, policy.document], [[], null, null]);
  assert.equal(dns.magicDns, true);
  assert.deepEqual(derp, { embedded: true, regions: [], omit: [], scores: [], hide: [] });
});

test('tailnet.example compiles, and says what it shows', () => {
  const folder = path.join(import.meta.dirname, '../../tailnet.example');
  const files = new Map(
    TAILNET_FILES.filter((name) => fs.existsSync(path.join(folder, name))).map((name) => [
      name as string,
      fs.readFileSync(path.join(folder, name)),
    ]),
  );
  const { snapshot, diagnostics } = compileSnapshot({ revision: REVISION, files });
  assert.deepEqual(diagnostics, []);
  assert.ok(snapshot);
  assert.equal(snapshot.userByLogin.get('alice@example.com')?.role, 'owner');
  assert.equal(snapshot.userById.get(userIdOf('Erin@example.com' as Login))?.disabled, true);
  assert.deepEqual([...snapshot.authKeys.keys()], ['servers1', 'ci1']);
  assert.deepEqual(snapshot.authKeys.get('ci1')?.tags, ['tag:ci']);
  assert.equal(snapshot.policyFile?.file, 'policy.json5');
  assert.equal(
    declarationOf(snapshot, node('n9TP', 'carols-laptop', 'carol@example.com'))?.keyExpiryMs,
    7 * 86_400_000,
  );
  assert.deepEqual(approvedRoutesOf(snapshot, node('n8TP', 'bobs-attic', 'bob@example.com')), [
    '10.77.0.0/24',
    '0.0.0.0/0',
    '::/0',
  ]);
  assert.deepEqual(approvedRoutesOf(snapshot, node('n8TP', 'bobs-attic', 'dave@example.com')), []);
});

test('law: the digest depends on what the files mean, not on how they are written', () => {
  const files: [string, string][] = [
    ['tailnet.json5', "{ name: 'example.com', features: { ssh: true, https: false } }"],
    ['users.json5', "{ users: [{ login: 'alice@example.com', role: 'owner' }] }"],
    ['policy.json5', '{ "groups": {}, "acls": [] }'],
    ['dns.json5', '{}'],
  ];
  const rewritten: [string, string][] = [
    ['tailnet.json5', "// why\n{ $schema: 'x', features: { 'https': false, }, name: \"example.com\" }\n"],
    ['users.json5', "{ users: [{ role: 'owner', disabled: false, login: 'alice@example.com' }], domains: [] }"],
    ['policy.json5', '{ acls: [], groups: {} /* none */ }'],
    ['dns.json5', '{ magicDNS: true }'],
  ];
  const { digest } = compile(Object.fromEntries(files));
  assert.match(digest, /^sha256:[0-9a-f]{64}$/);
  fc.assert(
    fc.property(fc.shuffledSubarray(rewritten, { minLength: 4 }), (order) => {
      assert.equal(compile(Object.fromEntries(order)).digest, digest);
    }),
    { numRuns: 24 },
  );
  assert.notEqual(compile({ ...Object.fromEntries(files), 'dns.json5': '{ magicDNS: false }' }).digest, digest);
  assert.notEqual(compile({ ...Object.fromEntries(files), 'policy.json5': '{ "groups": {} }' }).digest, digest);
});

test('a snapshot never changes, maps included', () => {
  const snapshot = compile({ 'users.json5': "{ users: [{ login: 'alice@example.com', role: 'owner' }] }" });
  const open: unknown[] = [snapshot];
  const seen = new Set<unknown>();
  for (let value = open.pop(); value !== undefined; value = open.pop()) {
    if (value === null || typeof value !== 'object' || seen.has(value) || ArrayBuffer.isView(value)) continue;
    seen.add(value);
    assert.ok(Object.isFrozen(value));
    if (value instanceof Map) open.push(...value.keys(), ...value.values());
    open.push(...Object.values(value));
  }
  assert.ok(seen.size > 20);
  assert.throws(() => (snapshot.userById as Map<unknown, unknown>).clear(), TypeError);
  assert.throws(() => (snapshot.userByLogin as Map<unknown, unknown>).set('x', 1), TypeError);
});

test('a number of a person is the first 6 bytes of SHA-256 of the lower-cased login', () => {
  // printf alice@example.com | sha256sum
  assert.equal(userIdOf('alice@example.com' as Login), 0xff8d9819fc0e);
  assert.equal(userIdOf('Alice@Example.COM' as Login), userIdOf('alice@example.com' as Login));
});

test('of several entries for a node the most exact one counts; routes add up', () => {
  const snapshot = compile({
    'users.json5': "{ users: [{ login: 'alice@example.com', role: 'owner' }] }",
    'nodes.json5': `{ nodes: [
      { node: { tag: 'tag:web' }, keyExpiry: 'never' },
      { node: { name: 'web-1', tag: 'tag:web' }, name: 'www' },
      { node: { id: 'n1TP' }, approved: true },
      { node: { name: 'pi', owner: 'Alice@example.com' }, disabled: true },
    ] }`,
    'routes.json5': `{ routes: [
      { node: { tag: 'tag:web' }, subnets: ['10.0.0.0/8'] },
      { node: { id: 'n1TP' }, subnets: ['10.0.0.0/8', '10.1.0.0/16'], exitNode: true },
    ] }`,
  });
  assert.deepEqual(declarationOf(snapshot, node('n1TP', 'web-1', null, 'tag:web'))?.approved, true);
  assert.deepEqual(declarationOf(snapshot, node('n2TP', 'web-1', null, 'tag:web'))?.name, 'www');
  assert.deepEqual(declarationOf(snapshot, node('n2TP', 'web-2', null, 'tag:a', 'tag:web'))?.keyExpiryMs, null);
  assert.deepEqual(declarationOf(snapshot, node('n3TP', 'pi', 'alice@example.com'))?.disabled, true);
  assert.equal(declarationOf(snapshot, node('n3TP', 'pi', 'mallory@example.com')), undefined);
  assert.equal(declarationOf(snapshot, node('n3TP', 'pi', null, 'tag:pi')), undefined);
  assert.deepEqual(approvedRoutesOf(snapshot, node('n1TP', 'x', null, 'tag:web')), [
    '10.0.0.0/8',
    '10.1.0.0/16',
    '0.0.0.0/0',
    '::/0',
  ]);
});

test('whoever has another login keeps their number, and what was registered under a former one', () => {
  const usersOf = (text: string): Snapshot => {
    const files = new Map([
      ['tailnet.json5', Buffer.from("{ name: 'example.com' }")],
      ['users.json5', Buffer.from(`{ users: [${text}], domains: [{ domain: 'example.org' }] }`)],
    ]);
    const { snapshot, diagnostics } = compileSnapshot({ revision: REVISION, files });
    assert.ok(snapshot, JSON.stringify(diagnostics));
    return snapshot;
  };
  const before = usersOf("{ login: 'bob@example.org', role: 'owner' }");
  const after = usersOf(
    "{ login: 'robert@example.com', role: 'owner', formerly: ['bob@example.org', 'rob@example.org'] }",
  );
  const id = before.users[0]?.id;
  for (const login of ['robert@example.com', 'BOB@example.org', 'rob@example.org'] as Login[]) {
    assert.deepEqual(
      [findPerson(after, login)?.login, findPerson(after, login)?.id],
      ['robert@example.com', id],
      login,
    );
  }
  assert.equal(findPerson(after, 'eve@example.org' as Login)?.role, 'member', 'the rule for the domain');
  assert.equal(findPerson(after, 'eve@example.net' as Login), undefined);
});

test('of very many findings in one file the rest is counted, and still refuses', () => {
  const users = Array.from({ length: 300 }, () => "{ login: 'alice@example.com' }");
  const files = new Map([
    ['tailnet.json5', Buffer.from("{ name: 'example.com' }")],
    ['users.json5', Buffer.from(`{ users: [${users.join(',\n')}] }`)],
  ]);
  const { snapshot, diagnostics } = compileSnapshot({ revision: REVISION, files });
  assert.equal(snapshot, undefined);
  assert.equal(diagnostics.length, 201);
  const last = diagnostics.at(-1);
  assert.deepEqual(
    [last?.code, last?.severity, last?.message],
    ['config/more-problems', 'error', 'There are 99 further findings in this file.'],
  );
});

test('law: no content of any file makes the compiler throw, and an error means no snapshot', () => {
  const snippets = [
    "{ name: 'example.com' }",
    '{ users: [] }',
    '{',
    '[]',
    '{ "acls": [] }',
    '{ nodes: [{ node: {} }] }',
    '\u0000',
    '',
  ];
  const content = fc.oneof(fc.constantFrom(...snippets), fc.json());
  fc.assert(
    fc.property(fc.dictionary(fc.constantFrom(...TAILNET_FILES, 'other.json5', 'a/b.json5'), content), (files) => {
      const bytes = new Map(Object.entries(files).map(([name, text]) => [name, Buffer.from(text)]));
      const { snapshot, diagnostics } = compileSnapshot({ revision: REVISION, files: bytes });
      assert.equal(
        snapshot === undefined,
        diagnostics.some(({ severity }) => severity === 'error'),
      );
    }),
    { numRuns: 500 },
  );
});

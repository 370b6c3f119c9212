// Policies that are made to hurt. Each must end soon, in bounded memory, and say clearly what is wrong; or be taken and
// mean what it says. The time limits are loose, for slow machines: what they rule out is growth that never ends.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseDocument } from '../../src/config/document.ts';
import { setHasAddress } from '../../src/base/ipset.ts';
import { compilePolicy } from '../../src/policy/compile.ts';
import { populate } from '../../src/policy/population.ts';
import { readPolicy } from '../../src/policy/read.ts';
import { runTests } from '../../src/policy/tests.ts';
import { refusedTags } from '../../src/policy/approve.ts';
import { address, compileText, FACTS, nodeOf, readText, userOf, USERS } from './world.ts';

const within = <T>(limitMs: number, work: () => T): T => {
  const start = performance.now();
  const value = work();
  const tookMs = performance.now() - start;
  assert.ok(tookMs < limitMs, `took ${Math.round(tookMs)} ms; ${limitMs} are allowed`);
  return value;
};

const first = (text: string): string => readText(text).diagnostics[0]?.message ?? 'accepted';
const list = <T>(count: number, make: (i: number) => T): T[] => Array.from({ length: count }, (_, i) => make(i));

test('nesting without end is refused by the reader, deep values of a capability are not followed', () => {
  for (const text of ['['.repeat(100_000), `{"acls":${'['.repeat(100_000)}`, '{"grants":[{"app":'.repeat(20_000)]) {
    const { diagnostics } = within(2000, () => readText(text));
    assert.equal(
      diagnostics.some(({ severity }) => severity === 'error'),
      true,
    );
  }
});

test('a group of 100,000 people and a tag owned by it', () => {
  const people = list(100_000, (i) => `user${i}@example.com`);
  const text = JSON.stringify({
    groups: { 'group:all': [...people, 'bob@example.com'] },
    tagOwners: { 'tag:x': ['group:all'] },
    acls: [{ action: 'accept', src: ['group:all'], dst: ['tag:x:22'] }],
  });
  within(4000, () => {
    const { policy, diagnostics } = compileText(text);
    assert.ok(policy);
    assert.ok(diagnostics.length <= 200, 'warnings are cut off');
    const nodes = [nodeOf({ id: 1, of: 1 }), nodeOf({ id: 2, of: ['tag:x'] }), nodeOf({ id: 3, of: 2 })];
    const population = populate(policy, nodes, userOf);
    assert.deepEqual(population.filterFor(nodes[1]?.id ?? nodes[0]!.id)[0]?.SrcIPs, [
      '100.64.0.1',
      'fd7a:115c:a1e0::1',
    ]);
  });
});

test('groups in a circle are refused; tags in a circle are taken and end', () => {
  assert.equal(
    first('{ "groups": { "group:a": ["group:b"], "group:b": ["group:a"] } }'),
    'groups["group:b"]: "group:a": group members cannot be recursive',
  );
  const count = 20_000;
  const ring = Object.fromEntries(list(count, (i) => [`tag:t${i}`, [`tag:t${(i + 1) % count}`]]));
  const { policy } = compileText(JSON.stringify({ tagOwners: ring }));
  assert.ok(policy);
  const carol = USERS[2];
  assert.ok(carol);
  assert.deepEqual(
    within(2000, () => refusedTags(policy, carol, ['tag:t0'])),
    ['tag:t0'],
  );
});

test('names of the language’s own objects are names like any other, or refused', () => {
  const text = `{
    "groups": { "group:constructor": ["alice@example.com"], "group:toString": [] },
    "hosts": { "hasOwnProperty": "10.0.0.1", "valueOf": "10.0.0.2" },
    "grants": [{ "src": ["group:constructor"], "dst": ["valueOf"], "ip": ["*"], "app": { "example.com/__proto__": [{ "toString": 1 }] } }],
    "nodeAttrs": [{ "target": ["*"], "attr": ["constructor", "hasOwnProperty"] }],
  }`;
  const { policy } = compileText(text);
  assert.ok(policy);
  const node = nodeOf({ id: 1, of: 0 });
  assert.equal(populate(policy, [node], userOf).capsFor(node.id)['constructor'], null);
  assert.equal(Object.getPrototypeOf({}), Object.prototype);
  assert.equal(compileText('{ "__proto__": { "acls": [] } }').policy, undefined);
  assert.match(
    first('{ "acls": [{ "action": "accept", "src": ["group:__proto__"], "dst": ["*:*"] }] }'),
    /group not found/,
  );
  assert.match(first('{ "acls": [{ "action": "accept", "src": ["toString"], "dst": ["*:*"] }] }'), /invalid address/);
});

test('enormous lists of ports are counted before they are multiplied', () => {
  const ports = list(30_000, (i) => i + 1).join(',');
  const many = JSON.stringify({
    grants: [{ src: ['*'], dst: list(1000, (i) => `10.0.${i >> 8}.${i & 255}`), ip: [ports] }],
  });
  assert.match(
    within(2000, () => first(many)),
    /^The rule comes to 30000000 destinations with ports/,
  );
  const square = list(300, (i) => i + 1).join(',');
  const rules = list(20, (i) => ({ src: ['*'], dst: list(200, (n) => `10.${i}.${n}.0/24`), ip: [square] }));
  assert.match(first(JSON.stringify({ grants: rules })), /^The rules come to more destinations with ports/);
  const one = compileText(JSON.stringify({ acls: [{ action: 'accept', src: ['*'], dst: [`*:${ports}`] }] }));
  assert.ok(one.policy, 'one long list alone is taken');
});

test('ip sets that include sets end in a budget, and entries that undo each other in one sweep', () => {
  const sets = list(60, (i) => [
    `ipset:s${i}`,
    i === 0 ? list(50, (n) => `10.0.${n}.1`) : [`add ipset:s${i - 1}`, `add ipset:s${i - 1}`, `10.1.${i}.1`],
  ]);
  assert.equal(readText(JSON.stringify({ ipsets: Object.fromEntries(sets) })).diagnostics.length, 0);
  const wide = list(400, (i) => [
    `ipset:w${i}`,
    [...list(20, (n) => `add 10.${n}.${i & 255}.${i >> 8}`), ...(i === 0 ? [] : list(20, () => `add ipset:w${i - 1}`))],
  ]);
  assert.match(
    within(5000, () => first(JSON.stringify({ ipsets: Object.fromEntries(wide) }))),
    /^The ipsets have more than/,
  );
  const toggles = list(40_000, (i) => `${i % 2 === 0 ? 'add' : 'remove'} 10.0.0.0/${8 + (i % 20)}`);
  const { document } = within(4000, () => readText(JSON.stringify({ ipsets: { 'ipset:t': toggles } })));
  // The last entry that holds an address decides: 39,999 removes 10.0.0.0/27, 39,998 adds the /26 around it.
  const set = document?.ipsets.get('ipset:t')?.set;
  assert.ok(set);
  assert.equal(setHasAddress(set, address('10.0.0.1')), false);
  assert.equal(setHasAddress(set, address('10.0.0.33')), true);
});

test('a problem on every line is reported up to a bound', () => {
  const text = JSON.stringify({
    acls: list(20_000, () => ({ action: 'deny', src: ['tag:none'], dst: ['nowhere:x'] })),
  });
  const { diagnostics } = within(4000, () => readText(text));
  assert.ok(diagnostics.length <= 600);
  assert.equal(diagnostics[0]?.message, 'action="deny" is not supported');
});

test('long texts go through every expression in linear time', () => {
  const long = 'a'.repeat(200_000);
  const digits = '1'.repeat(200_000);
  const text = JSON.stringify({
    groups: { [`group:${long}`]: [`${long}@${long}`], [`group:x ${long}`]: [` ${' \t'.repeat(50_000)}x`] },
    hosts: { [long]: digits, b: `${digits}.1.1.1/8`, c: ':'.repeat(100_000) },
    postures: {
      'posture:p': [
        `node:os == '${long}`,
        `node:${long} IN [${"'a',".repeat(30_000)}]`,
        `node:a ${' '.repeat(50_000)}`,
      ],
    },
    acls: [
      {
        action: 'accept',
        src: [long, `${long}:`, `svc:${long}-`],
        dst: [`${':'.repeat(50_000)}1`, `[${long}`, `x:${'-'.repeat(50_000)}`],
      },
    ],
    ssh: [{ action: 'check', src: [], dst: [], users: [`localpart:*@${long}`], checkPeriod: '1h'.repeat(50_000) }],
    ipsets: { 'ipset:a': [`add ${' '.repeat(50_000)}x y`, 'add '.repeat(20_000)] },
  });
  within(3000, () => readText(text));
});

test('tests of everybody against everything end', () => {
  const rules = list(300, (i) => ({
    action: 'accept',
    src: [`tag:t${i}`, 'autogroup:member'],
    dst: [`tag:t${(i + 1) % 300}:22`],
  }));
  const text = JSON.stringify({
    tagOwners: Object.fromEntries(list(300, (i) => [`tag:t${i}`, []])),
    acls: rules,
    tests: list(50, (i) => ({ src: 'autogroup:member', accept: [`tag:t${i}:22`], deny: [`tag:t${i}:23`] })),
  });
  const { policy } = compileText(text);
  assert.ok(policy);
  const nodes = list(250, (i) => nodeOf({ id: i + 1, of: i % 2 === 0 ? 0 : [`tag:t${i}`] }));
  assert.deepEqual(
    within(6000, () => runTests(policy, nodes, userOf)),
    [],
  );
});

test('the same file read twice is the same, and nothing of one reading is left for the next', () => {
  const bytes = Buffer.from('{ "acls": [{ "action": "accept", "src": ["*"], "dst": ["*:*"] }] }');
  const { root } = parseDocument('policy.json5', bytes, { dialect: 'hujson' });
  assert.ok(root);
  const [one, other] = [readPolicy(root, FACTS), readPolicy(root, FACTS)];
  assert.ok(one.document && other.document);
  assert.deepEqual(one.document, other.document);
  assert.deepEqual(compilePolicy(one.document, FACTS), compilePolicy(other.document, FACTS));
});

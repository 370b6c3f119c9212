// What one change may take away: each rule of the guard on small tailnets, and the count of lost pairs against a count that
// loops over all of them.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { runs } from '../policy/runs.ts';
import type { Address, Prefix } from '../../src/base/address.ts';
import { utf8 } from '../../src/base/bytes.ts';
import { parseNodeId, stableIdOf, type NodeId, type Revision, type Tag } from '../../src/base/ids.ts';
import type { PolicyNode } from '../../src/policy/facts.ts';
import { populate } from '../../src/policy/population.ts';
import type { Code } from '../../src/base/catalogue.ts';
import {
  countLostAccess,
  guardChange,
  isAllowed,
  readAllowances,
  type GuardFinding,
  type GuardRule,
  type GuardSide,
} from '../../src/review/guard.ts';
import { obstacleOfFinding } from '../../src/server/judge.ts';
import { reachOf } from '../../src/review/reach.ts';
import { compileSnapshot } from '../../src/snapshot/compile.ts';
import { userIdOf } from '../../src/snapshot/user.ts';

interface Tailnet {
  readonly tailnet?: object;
  readonly users?: readonly object[];
  readonly policy?: object;
}

const USERS = [
  { login: 'alice@example.com', role: 'owner' },
  { login: 'bob@example.com', role: 'member' },
  { login: 'carol@example.com', role: 'member' },
];

const ALLOW_ALL = { acls: [{ action: 'accept', src: ['*'], dst: ['*:*'] }] };

interface NodeSpec {
  readonly id: number;
  readonly owner?: string;
  readonly tags?: readonly string[];
  readonly routes?: readonly string[];
}

const nodeOf = ({ id, owner, tags = [], routes = [] }: NodeSpec): PolicyNode => ({
  id: parseNodeId(id),
  stableId: stableIdOf(parseNodeId(id)),
  name: `n${id}.tail.internal`,
  user: owner === undefined ? null : userIdOf(owner as Parameters<typeof userIdOf>[0]),
  tags: tags as readonly Tag[],
  addresses: [`100.64.${id >> 8}.${id & 255}` as Address],
  routableIPs: routes as readonly Prefix[],
  approvedRoutes: routes as readonly Prefix[],
  createdMs: id,
});

const side = (files: Tailnet, nodes: readonly NodeSpec[]): GuardSide => {
  const policy = { tagOwners: { 'tag:web': [], 'tag:db': [] }, ...(files.policy ?? ALLOW_ALL) };
  const { snapshot, diagnostics } = compileSnapshot({
    revision: 'dir-0000000000000000' as Revision,
    files: new Map([
      ['tailnet.json5', utf8(JSON.stringify({ name: 'example.com', ...files.tailnet }))],
      ['users.json5', utf8(JSON.stringify({ users: files.users ?? USERS }))],
      ['policy.json5', utf8(JSON.stringify(policy))],
    ]),
  });
  assert.ok(snapshot, diagnostics.map(({ message }) => message).join('\n'));
  return { snapshot, nodes: nodes.map(nodeOf), userOf: (id) => snapshot.userById.get(id) };
};

const people = (owner: string, from: number, count: number): NodeSpec[] =>
  Array.from({ length: count }, (_, i) => ({ id: from + i, owner }));

const tagged = (tag: string, from: number, count: number): NodeSpec[] =>
  Array.from({ length: count }, (_, i) => ({ id: from + i, tags: [tag] }));

const rules = (before: GuardSide, after: GuardSide): string[] => guardChange(before, after).map(({ rule }) => rule);

const acl = (src: string, ...dst: readonly string[]): object => ({ action: 'accept', src: [src], dst });

test('access: both the share and the number must be over their limits', () => {
  const nodes = [...people('alice@example.com', 1, 2), ...tagged('tag:web', 10, 10), ...tagged('tag:db', 30, 10)];
  // alice reaches 20 nodes with 2 devices: 40 pairs; and her own devices each other: 2 more.
  const all = {
    acls: [acl('alice@example.com', 'tag:web:*', 'tag:db:*'), acl('autogroup:member', 'autogroup:self:*')],
  };
  const before = (guard: object = {}): GuardSide => side({ policy: all, tailnet: { guard } }, nodes);
  const without = side({ policy: { acls: [acl('alice@example.com', 'tag:web:*')] } }, nodes);
  assert.deepEqual(rules(before(), without), ['access'], '22 of 42');
  assert.deepEqual(rules(before({ pairsPercent: 53 }), without), []);
  assert.deepEqual(rules(before({ pairsAtLeast: 23 }), without), []);
  assert.deepEqual(rules(before({ pairsAtLeast: 22 }), without), ['access']);
  assert.deepEqual(rules(before(), before()), []);
  const [finding] = guardChange(before(), without);
  assert.match(finding?.message ?? '', /^22 of 42 reachable pairs of nodes would be cut off, over 30 %\.$/);
  const guard = { pairsPercent: 100, administrators: false };
  const loosened = side({ policy: { acls: [] }, tailnet: { guard } }, nodes);
  assert.ok(rules(before(), loosened).includes('access'), 'a change does not loosen the guard that looks at it');
});

test('administrators: some device of theirs still reaches something', () => {
  const nodes = [...people('alice@example.com', 1, 1), ...people('bob@example.com', 5, 1), ...tagged('tag:web', 10, 1)];
  const bobs = acl('bob@example.com', 'tag:web:80');
  const before = side({ policy: { acls: [acl('alice@example.com', 'tag:web:22'), bobs] } }, nodes);
  assert.deepEqual(rules(before, side({ policy: { acls: [bobs] } }, nodes)), ['administrators']);
  const users = [
    { login: 'alice@example.com', role: 'member' },
    { login: 'bob@example.com', role: 'member' },
    { login: 'carol@example.com', role: 'owner' },
  ];
  assert.deepEqual(rules(before, side({ users }, nodes)), ['administrators'], 'carol has no device');
  assert.deepEqual(rules(before, side({}, nodes.slice(1))), ['administrators', 'user-nodes']);
});

test('routers: some exit node and some subnet router stay in use', () => {
  const exit = ['0.0.0.0/0', '::/0'];
  const policy = { acls: [acl('autogroup:member', '*:*', 'autogroup:internet:*')] };
  const base = people('alice@example.com', 1, 2);
  const plain = [
    { id: 10, tags: ['tag:web'] },
    { id: 11, tags: ['tag:web'] },
    { id: 12, tags: ['tag:db'] },
  ] as const;
  const tailnet = (...routers: readonly NodeSpec[]): GuardSide => side({ policy }, [...base, ...routers]);
  const routed = { id: 10, tags: ['tag:web'], routes: ['10.1.0.0/16'] };
  const exiting = { id: 12, tags: ['tag:db'], routes: exit };
  const before = tailnet(routed, { id: 11, tags: ['tag:web'], routes: ['10.2.0.0/16'] }, exiting);
  assert.deepEqual(rules(before, tailnet(routed, plain[1], exiting)), []);
  const [finding, ...more] = guardChange(before, tailnet(...plain));
  assert.deepEqual(more, []);
  assert.match(finding?.message ?? '', /Every exit node and every subnet router in use/);
  const noExit = side({ policy: { acls: [acl('autogroup:member', '*:*')] } }, [...base, routed, plain[1], plain[2]]);
  assert.match(guardChange(before, noExit)[0]?.message ?? '', /Every exit node in use/);
  assert.deepEqual(rules(tailnet(...plain), tailnet(...plain)), [], 'what nobody had cannot be lost');
});

test('user nodes: nobody loses all of theirs', () => {
  const nodes = [...people('alice@example.com', 1, 1), ...people('bob@example.com', 5, 2)];
  const before = side({}, nodes);
  assert.deepEqual(rules(before, side({}, nodes.slice(0, 2))), []);
  const [finding] = guardChange(before, side({}, nodes.slice(0, 1)));
  assert.equal(finding?.message, 'All nodes of bob@example.com would be cut off.');
});

test('a held change passes with its own line, and with no other', () => {
  const nodes = [...people('alice@example.com', 1, 1), ...people('bob@example.com', 5, 2)];
  const before = side({}, nodes);
  const [finding] = guardChange(before, side({}, nodes.slice(0, 1)));
  const line = finding?.allowedBy;
  assert.ok(finding && line);
  assert.match(line, /^Tailnet-Allow: user-nodes [0-9a-f]{8}$/);
  const allows = (...messages: readonly string[]): boolean => isAllowed(finding, readAllowances(messages));
  assert.ok(allows('Something else', `Remove bob\n\nHe left.\n\n${line}\nSigned-off-by: Alice <alice@example.com>`));
  assert.ok(allows(`x\r\n\r\n${line}\r\n`));
  assert.ok(!allows('Remove bob'));
  assert.ok(!allows(`see ${line}`), 'not in the middle of a sentence');
  assert.ok(!allows(line.replace('user-nodes', 'access')));
  const other = guardChange(before, side({ policy: { acls: [acl('*', '*:22')] } }, nodes.slice(0, 1)))[0];
  assert.notEqual(other?.allowedBy, line, 'another change has another digest');
});

test('an invariant holds whatever a commit says, and also in the commit that removes it', () => {
  const nodes = [...people('alice@example.com', 1, 1), ...tagged('tag:web', 10, 1)];
  const invariants = [{ src: 'alice@example.com', accept: ['tag:web:22'], why: 'the way in' }];
  const policy = { acls: [acl('alice@example.com', 'tag:web:22')] };
  const before = side({ policy, tailnet: { invariants } }, nodes);
  const findings = guardChange(before, side({ policy: { acls: [acl('alice@example.com', 'tag:web:80')] } }, nodes));
  assert.deepEqual(
    findings.map(({ rule, allowedBy }) => [rule, allowedBy]),
    [['invariant', undefined]],
  );
  assert.match(findings[0]?.message ?? '', /alice@example\.com can reach tag:web:22.*the way in/);
  assert.deepEqual(rules(before, side({ policy }, nodes)), [], 'removing one is fine while it holds');
});

/** Whether the filter of `to` names an address of `from` as a source of some port of its own. */
const connects = ({ snapshot, nodes, userOf }: GuardSide): ((from: NodeId, to: NodeId) => boolean) => {
  const population = populate(snapshot.policy, nodes, userOf);
  const present = new Map(nodes.map((node) => [node.id, node]));
  return (from, to) => {
    const [source, target] = [present.get(from)?.addresses[0], present.get(to)?.addresses[0]];
    if (source === undefined || target === undefined) return false;
    return population.filterFor(to).some(({ SrcIPs, DstPorts }) => {
      const isTarget = DstPorts?.some(({ IP }) => IP === '*' || IP === target) ?? false;
      return isTarget && SrcIPs.some((ip) => ip === '*' || ip === source || ip.startsWith('100.64.0.0-'));
    });
  };
};

test('the count by classes is the count over all pairs', () => {
  const selector = fc.constantFrom(
    '*',
    'autogroup:member',
    'autogroup:tagged',
    'alice@example.com',
    'bob@example.com',
    'tag:web',
    'tag:db',
    '100.64.0.3',
  );
  const rule = fc.oneof(
    fc.tuple(selector, selector).map(([src, dst]) => acl(src, `${dst}:*`)),
    fc.constantFrom('autogroup:member', 'alice@example.com').map((src) => acl(src, 'autogroup:self:*')),
  );
  const policy = fc.array(rule, { maxLength: 4 }).map((acls) => ({ acls }));
  const owned = fc.constantFrom('alice@example.com', 'bob@example.com').map((owner) => ({ owner }));
  const tags = fc.constantFrom('tag:web', 'tag:db').map((tag) => ({ tags: [tag] }));
  const plan = fc.array(fc.tuple(fc.oneof(owned, tags), fc.option(tags, { nil: undefined }), fc.boolean()), {
    maxLength: 8,
  });
  fc.assert(
    fc.property(policy, policy, plan, (first, second, nodes) => {
      const now = nodes.map(([spec], i) => ({ id: i + 1, ...spec }));
      const later = nodes.flatMap(([spec, other, stays], i) => (stays ? [{ id: i + 1, ...(other ?? spec) }] : []));
      const [a, b] = [side({ policy: first }, now), side({ policy: second }, later)];
      const [was, is] = [connects(a), connects(b)];
      let pairsBefore = 0;
      let pairsLost = 0;
      for (const { id: from } of a.nodes) {
        for (const { id: to } of a.nodes) {
          if (from === to || !was(from, to)) continue;
          pairsBefore++;
          if (!is(from, to)) pairsLost++;
        }
      }
      const reach = (each: GuardSide) => reachOf(each.snapshot.policy, each.nodes, each.userOf);
      assert.deepEqual(countLostAccess(a, reach(a), reach(b)), { pairsBefore, pairsLost });
    }),
    runs(150),
  );
});

test('each rule of the guard has its page', () => {
  const pages: Record<GuardRule, Code> = {
    access: 'review/guard-access',
    administrators: 'review/guard-administrators',
    routers: 'review/guard-routers',
    'user-nodes': 'review/guard-user-nodes',
    invariant: 'review/guard-invariant',
  };
  for (const [rule, code] of Object.entries(pages)) {
    const finding: GuardFinding = { rule: rule as GuardRule, message: 'lost' };
    assert.equal(obstacleOfFinding(finding).code, code);
  }
});

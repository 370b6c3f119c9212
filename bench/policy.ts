// The policy engine at size: compiling, every node's filter, one node's change, memory, in milliseconds of processor time.
//
//   node --expose-gc bench/policy.ts [--quick]

import { parseAddress, type Address } from '../src/base/address.ts';
import type { Login, NodeId, StableId, Tag, UserId } from '../src/base/ids.ts';
import { parseDocument } from '../src/config/document.ts';
import { compilePolicy } from '../src/policy/compile.ts';
import type { PolicyNode, PolicyUser, TailnetFacts } from '../src/policy/facts.ts';
import { populate } from '../src/policy/population.ts';
import { readPolicy } from '../src/policy/read.ts';

type Shape = 'tags and groups' | 'autogroup:self' | 'one rule a user';

interface Scale {
  readonly nodes: number;
  readonly rules: number;
  readonly shape: Shape;
}

interface Result {
  readonly readMs: number;
  readonly compileMs: number;
  readonly classes: number;
  readonly filtersMs: number;
  readonly sshMs: number;
  readonly peersMs: number;
  readonly changeMs: number;
  readonly newClassMs: number;
  readonly heapMb: number;
}

// Deterministic, so that two runs measure the same thing.
const randomFrom = (seed: number): ((below: number) => number) => {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
};

const TAGS = 100;
const GROUPS = 100;

const usersOf = (count: number): PolicyUser[] =>
  Array.from({ length: count }, (_, i) => ({
    id: (i + 1) as UserId,
    login: `user${i}@example.com` as Login,
    role: i === 0 ? 'owner' : 'member',
  }));

const addressesOf = (i: number): Address[] => [
  parseAddress(`100.${64 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}`) as Address,
  parseAddress(`fd7a:115c:a1e0::${(i >> 16).toString(16)}:${(i & 0xffff).toString(16)}`) as Address,
];

/** Two of three nodes are people's, three to a person; the others carry one or two tags. One in 200 routes a subnet. */
const nodeOf = (i: number, users: number): PolicyNode => {
  const random = randomFrom(i + 1);
  const tagged = i % 3 === 0;
  const tags = tagged
    ? [...new Set([random(TAGS), ...(i % 2 === 0 ? [random(TAGS)] : [])])].map((t) => `tag:t${t}` as Tag)
    : [];
  const routes = i % 200 === 0 ? [`10.${(i / 200) & 255}.0.0/16`] : [];
  return {
    id: (i + 1) as NodeId,
    stableId: `n${i}` as StableId,
    name: `node${i}.example.ts.net`,
    user: tagged ? null : (((i % users) + 1) as UserId),
    tags,
    addresses: addressesOf(i + 1),
    routableIPs: routes as unknown as PolicyNode['routableIPs'],
    approvedRoutes: routes as unknown as PolicyNode['approvedRoutes'],
    createdMs: i,
  };
};

const policyOf = ({ rules, shape }: Scale, users: number): string => {
  const random = randomFrom(rules);
  const groups = Object.fromEntries(
    Array.from({ length: GROUPS }, (_, i) => [
      `group:g${i}`,
      Array.from({ length: 20 }, () => `user${random(users)}@example.com`),
    ]),
  );
  const tagOwners = Object.fromEntries(Array.from({ length: TAGS }, (_, i) => [`tag:t${i}`, []]));
  const source = (i: number): string =>
    i % 3 === 0 ? `tag:t${random(TAGS)}` : i % 7 === 0 ? 'autogroup:member' : `group:g${random(GROUPS)}`;
  const destination = (i: number): string =>
    i % 11 === 0
      ? `10.${random(50)}.0.0/16:443`
      : i % 13 === 0
        ? `100.64.${random(40)}.${random(256)}:22`
        : `tag:t${random(TAGS)}:22,443`;
  const acls = Array.from({ length: rules }, (_, i) => {
    if (shape === 'one rule a user') {
      return {
        action: 'accept',
        src: [`user${i % users}@example.com`],
        dst: [`tag:t${random(TAGS)}:22`, `user${(i + 1) % users}@example.com:443`],
      };
    }
    if (shape === 'autogroup:self' && i % 10 === 0) {
      return {
        action: 'accept',
        src: [i % 20 === 0 ? 'autogroup:member' : `group:g${random(GROUPS)}`],
        dst: [`autogroup:self:${1000 + i}`],
      };
    }
    return { action: 'accept', src: [source(i), source(i + 1)], dst: [destination(i), destination(i + 1)] };
  });
  const ssh = Array.from({ length: rules / 10 }, (_, i) => ({
    action: i % 2 === 0 ? 'accept' : 'check',
    src: [`group:g${random(GROUPS)}`],
    dst: [`tag:t${random(TAGS)}`],
    users: ['autogroup:nonroot'],
  }));
  return JSON.stringify({ groups, tagOwners, acls, ssh });
};

/** Milliseconds of processor time, so that other work on the machine doesn't count. */
const cpuMs = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};

const since = (start: number): number => cpuMs() - start;

const measure = (scale: Scale): Result => {
  const users = Math.max(10, Math.floor((scale.nodes * 2) / 9));
  const people = usersOf(users);
  const facts: TailnetFacts = { name: 'example.com', domains: ['example.com'], users: people };
  const userOf = (id: UserId): PolicyUser | undefined => people[id - 1];
  const bytes = Buffer.from(policyOf(scale, users));
  const { root } = parseDocument('policy.hujson', bytes, { dialect: 'hujson' });
  if (!root) throw new Error('the policy does not parse');
  const nodes = Array.from({ length: scale.nodes }, (_, i) => nodeOf(i, users));
  globalThis.gc?.();
  const heapBefore = process.memoryUsage().heapUsed;

  let start = cpuMs();
  const { document } = readPolicy(root, facts);
  if (!document) throw new Error('the policy is refused');
  const readMs = since(start);

  start = cpuMs();
  const population = populate(compilePolicy(document, facts), nodes, userOf);
  const compileMs = since(start);

  start = cpuMs();
  for (const { id } of nodes) population.compactFilterFor(id);
  const filtersMs = since(start);
  start = cpuMs();
  for (const { id } of nodes) population.sshFor(id);
  const sshMs = since(start);
  globalThis.gc?.();
  const heapMb = (process.memoryUsage().heapUsed - heapBefore) / 2 ** 20;

  start = cpuMs();
  for (const { id } of nodes) void population.visiblePeers(id).size;
  const peersMs = since(start);

  // A node joins and leaves a class that exists; its own filter is made anew each time.
  const rounds = 200;
  const joined = { ...nodeOf(1, users), id: (scale.nodes + 1) as NodeId, addresses: addressesOf(scale.nodes + 1) };
  start = cpuMs();
  for (let i = 0; i < rounds; i++) {
    population.apply({ upserts: [joined] });
    population.compactFilterFor(joined.id);
    population.apply({ removals: [joined.id] });
  }
  const changeMs = since(start) / (rounds * 2);

  // The same with a subnet of its own, so that a class comes and goes.
  const routes = ['172.20.0.0/16'] as unknown as PolicyNode['routableIPs'];
  const router = { ...joined, routableIPs: routes, approvedRoutes: routes };
  start = cpuMs();
  for (let i = 0; i < rounds; i++) {
    population.apply({ upserts: [router] });
    population.compactFilterFor(joined.id);
    population.apply({ removals: [joined.id] });
  }
  const newClassMs = since(start) / (rounds * 2);
  return { readMs, compileMs, classes: population.classCount, filtersMs, sshMs, peersMs, changeMs, newClassMs, heapMb };
};

const quick = process.argv.includes('--quick');
const SIZES = quick ? [100, 1000] : [100, 1000, 10_000];
const round = (value: number): number => Number(value.toPrecision(3));

for (const shape of ['tags and groups', 'autogroup:self', 'one rule a user'] as const) {
  for (const rules of [50, 1000]) {
    measure({ nodes: 100, rules, shape });
    const rows = SIZES.map((nodes) => ({ nodes, ...measure({ nodes, rules, shape }) }));
    console.log(`\n${shape}, ${rules} rules`);
    console.table(
      Object.fromEntries(
        rows.map(({ nodes, ...row }) => [
          `${nodes} nodes`,
          Object.fromEntries(Object.entries(row).map(([name, value]) => [name, round(value)])),
        ]),
      ),
    );
    const [first, last] = rows.slice(-2);
    if (!first || !last) continue;
    const exponent = (of: (row: Result) => number): string =>
      (Math.log(of(last) / of(first)) / Math.log(last.nodes / first.nodes)).toFixed(2);
    const compile = exponent(({ compileMs }) => compileMs);
    const filters = exponent(({ filtersMs }) => filtersMs);
    const memory = exponent(({ heapMb }) => heapMb);
    console.log(
      `from ${first.nodes} to ${last.nodes} nodes, as exponents: compile ${compile}, filters ${filters}, memory ${memory}`,
    );
  }
}

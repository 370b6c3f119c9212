// A small tailnet to try policies on, written out or drawn at random: a handful of people, tags and subnets in which
// everything overlaps with everything.

import fc from 'fast-check';
import { parseAddress, parsePrefix, type Address, type Prefix } from '../../src/base/address.ts';
import { hasErrors, type Diagnostic } from '../../src/base/diagnostic.ts';
import type { Login, NodeId, StableId, Tag, UserId } from '../../src/base/ids.ts';
import { parseDocument } from '../../src/config/document.ts';
import { compilePolicy, type CompiledPolicy } from '../../src/policy/compile.ts';
import type { PolicyNode, PolicyUser, Role, TailnetFacts } from '../../src/policy/facts.ts';
import { readPolicy } from '../../src/policy/read.ts';

export const address = (text: string): Address => {
  const parsed = parseAddress(text);
  if (parsed === undefined) throw new RangeError(text);
  return parsed;
};

export const prefix = (text: string): Prefix => {
  const parsed = parsePrefix(text);
  if (parsed === undefined) throw new RangeError(text);
  return parsed;
};

const user = (id: number, login: string, role: Role): PolicyUser => ({ id: id as UserId, login: login as Login, role });

export const USERS: readonly PolicyUser[] = [
  user(1, 'alice@example.com', 'owner'),
  user(2, 'bob@example.com', 'admin'),
  user(3, 'carol@example.org', 'member'),
];

export const userOf = (id: UserId): PolicyUser | undefined => USERS.find((one) => one.id === id);

export const FACTS: TailnetFacts = { name: 'example.com', domains: ['example.com'], users: USERS };

export interface NodeSketch {
  readonly id: number;
  /** The index of a user, or tags. */
  readonly of: number | readonly string[];
  readonly advertises?: readonly string[];
  readonly approved?: readonly string[];
  readonly createdMs?: number;
  readonly alive?: boolean;
  readonly os?: string;
  /** An app connector. */
  readonly connector?: boolean;
}

/** A node by its number: 100.64.0.id and fd7a:115c:a1e0::id. */
export const nodeOf = ({ id, of, advertises, approved, createdMs, alive, os, connector }: NodeSketch): PolicyNode => ({
  id: id as NodeId,
  stableId: `n${id}` as StableId,
  name: `node${id}.example.ts.net`,
  user: typeof of === 'number' ? (USERS[of] as PolicyUser).id : null,
  tags: (typeof of === 'number' ? [] : of) as readonly string[] as readonly Tag[],
  addresses: [address(`100.64.0.${id}`), address(`fd7a:115c:a1e0::${id.toString(16)}`)],
  routableIPs: (advertises ?? approved ?? []).map(prefix),
  approvedRoutes: (approved ?? []).map(prefix),
  createdMs: createdMs ?? id,
  ...(alive === undefined ? {} : { alive }),
  ...(connector === true && { connector }),
  ...(os === undefined ? {} : { posture: new Map([['node:os', os]]) }),
});

export const readText = (text: string, facts = FACTS): ReturnType<typeof readPolicy> => {
  const { root, diagnostics } = parseDocument('policy.json5', Buffer.from(text), { dialect: 'hujson' });
  return root && !hasErrors(diagnostics) ? readPolicy(root, facts) : { diagnostics };
};

/** The compiled policy, or what is wrong with it. */
export const compileText = (
  text: string,
  facts = FACTS,
): { readonly policy?: CompiledPolicy; readonly diagnostics: readonly Diagnostic[] } => {
  const { document, diagnostics } = readText(text, facts);
  return document ? { policy: compilePolicy(document, facts), diagnostics } : { diagnostics };
};

// At random.

const SUBNETS = ['10.0.0.0/8', '10.1.0.0/16', '192.168.1.0/24', 'fd00:1::/64'];
const EXIT = ['0.0.0.0/0', '::/0'];
const TAGS = ['tag:a', 'tag:b', 'tag:c'];

const some = <T>(items: readonly T[], maxLength: number): fc.Arbitrary<T[]> =>
  fc.array(fc.constantFrom(...items), { minLength: 1, maxLength });

export const arbitraryNode = (id: number): fc.Arbitrary<NodeSketch> =>
  fc.record({
    id: fc.constant(id),
    of: fc.oneof(fc.constantFrom(0, 1, 2), fc.uniqueArray(fc.constantFrom(...TAGS), { minLength: 1, maxLength: 2 })),
    approved: fc.oneof(
      { weight: 3, arbitrary: fc.constant([]) },
      { weight: 1, arbitrary: fc.uniqueArray(fc.constantFrom(...SUBNETS), { maxLength: 2 }) },
      { weight: 1, arbitrary: fc.constant(EXIT) },
    ),
    createdMs: fc.integer({ min: 1, max: 3 }),
    alive: fc.boolean(),
    os: fc.constantFrom('linux', 'macOS'),
    connector: fc.nat(3).map((n) => n === 0),
  });

export const arbitraryNodes: fc.Arbitrary<readonly NodeSketch[]> = fc
  .integer({ min: 2, max: 7 })
  .chain((count) => fc.tuple(...Array.from({ length: count }, (_, i) => arbitraryNode(i + 1))));

const PEOPLE = ['alice@example.com', 'bob@example.com', 'group:x', 'group:y', 'user:*@example.com', 'autogroup:member'];
const IDENTITIES = [...PEOPLE, ...TAGS, 'autogroup:tagged', 'autogroup:admin'];
const ADDRESSES = [
  '100.64.0.1',
  '100.64.0.2',
  'fd7a:115c:a1e0::1',
  '100.64.0.0/29',
  '10.1.0.0/24',
  '10.0.0.0/8',
  '10.1.2.7/32',
  'fd00:1::/80',
  'lan',
  'box',
  'ipset:s',
];
const SOURCES = ['*', ...IDENTITIES, ...ADDRESSES, 'autogroup:danger-all'];
const DESTINATIONS = ['*', ...IDENTITIES, ...ADDRESSES, 'autogroup:internet'];
const PORTS = ['*', '22', '80-90', '22,443'];

const posture = fc.option(fc.constantFrom(['posture:linux'], ['posture:linux', 'posture:mac']), {
  nil: undefined,
  freq: 5,
});

const withPosture = <T extends object>(rule: fc.Arbitrary<T>): fc.Arbitrary<T> =>
  fc.tuple(rule, posture).map(([one, srcPosture]) => (srcPosture ? { ...one, srcPosture } : one));

const acl = withPosture(
  fc.oneof(
    fc.record({
      action: fc.constant('accept'),
      src: some(SOURCES, 3),
      dst: fc.array(
        fc
          .tuple(fc.constantFrom(...DESTINATIONS), fc.constantFrom(...PORTS))
          .map(([to, ports]) => (to.includes('::') ? `[${to}]:${ports}` : `${to}:${ports}`)),
        { minLength: 1, maxLength: 3 },
      ),
      proto: fc.constantFrom('', 'tcp', 'udp'),
    }),
    fc.record({
      action: fc.constant('accept'),
      src: some(['*', ...PEOPLE], 2),
      dst: some(['autogroup:self:22', 'autogroup:self:*', 'tag:a:22', 'autogroup:member:80'], 3),
    }),
  ),
);

const grant = withPosture(
  fc.oneof(
    fc.record({
      src: some(SOURCES, 3),
      dst: some(DESTINATIONS, 3),
      ip: some(['*', '22', 'tcp:80', 'udp:53', 'icmp:*'], 3),
    }),
    fc.record({
      src: some(PEOPLE, 2),
      dst: some(['autogroup:self', 'tag:a', 'autogroup:member'], 2),
      ip: some(['*', 'tcp:22'], 2),
    }),
    fc.record({
      src: some(SOURCES, 2),
      dst: some(['10.1.0.0/16', '10.0.0.0/8', 'lan', 'autogroup:internet'], 2),
      ip: some(['*', 'tcp:80'], 2),
      via: some(TAGS, 2),
    }),
    fc.record({
      src: some([...IDENTITIES, '*', '100.64.0.1'], 2),
      dst: some([...IDENTITIES.filter((one) => one !== 'autogroup:admin'), '*', '100.64.0.2'], 2),
      app: fc.constantFrom(
        { 'example.com/cap/x': [{ n: 1 }] },
        { 'tailscale.com/cap/drive': [{ access: 'rw' }], 'example.com/cap/y': [] },
        { 'tailscale.com/cap/relay': [] },
      ),
    }),
    fc.record({
      src: some(PEOPLE, 2),
      dst: fc.constant(['autogroup:self']),
      app: fc.constant({ 'tailscale.com/cap/drive': [{ access: 'ro' }] }),
    }),
  ),
);

const ssh = withPosture(
  fc.record(
    {
      action: fc.constantFrom('accept', 'check'),
      src: some([...PEOPLE, 'tag:a', 'autogroup:tagged'], 2),
      dst: some(['tag:a', 'tag:b', 'autogroup:self'], 2),
      users: some(['root', 'deploy', 'autogroup:nonroot', 'localpart:*@example.com'], 2),
      recorder: fc.constant(['tag:c']),
      enforceRecorder: fc.boolean(),
    },
    { requiredKeys: ['action', 'src', 'dst', 'users'] },
  ),
);

const TABLES = {
  groups: { 'group:x': ['alice@example.com', 'carol@example.org'], 'group:y': ['bob@example.com'] },
  tagOwners: { 'tag:a': [], 'tag:b': [], 'tag:c': [] },
  hosts: { lan: '192.168.1.0/24', box: '100.64.0.3' },
  ipsets: { 'ipset:s': ['10.1.0.0/16', 'remove 10.1.0.0/24', 'add 100.64.0.3'] },
  postures: { 'posture:linux': ["node:os == 'linux'"], 'posture:mac': ["node:os == 'macOS'"] },
};

/** A policy as JSON text, with its tables last so that a shrunk one begins with what matters. */
export const arbitraryPolicy: fc.Arbitrary<string> = fc
  .record(
    {
      acls: fc.array(acl, { maxLength: 4 }),
      grants: fc.array(grant, { maxLength: 4 }),
      ssh: fc.array(ssh, { maxLength: 3 }),
    },
    { requiredKeys: [] },
  )
  .map((sections) => JSON.stringify({ ...sections, ...TABLES }));

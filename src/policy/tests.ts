// The `tests` and `sshTests` of a policy, run against its rules: not against routers or filters, so a test may name an
// address behind no node. Where no node is known that a selector means, the person or the tag itself is asked about; so a
// pull request can be checked where nobody knows the nodes. A test that says nonsense is a failed test.

import type { Address } from '../base/address.ts';
import type { Json } from '../base/canonical.ts';
import type { Diagnostic, Span } from '../base/diagnostic.ts';
import type { UserId } from '../base/ids.ts';
import { setHasAddress } from '../base/ipset.ts';
import type { CompiledPolicy } from './compile.ts';
import type { AccessRule, AccessTest, PolicyDocument, SshTest, TestTarget } from './document.ts';
import { accessRulesOf } from './evaluate.ts';
import { mayBe } from './lacks.ts';
import type { PolicyNode, PolicyUser } from './facts.ts';
import { createMatching, letsIn, subnetsOf, type Matching, type Subject } from './matching.ts';
import { parseProtocol, splitDestination, TCP } from './ports.ts';
import { quote } from './problems.ts';
import { INTERNET_SET } from './ranges.ts';
import { parseSelector, type Names, type SelectorKind } from './selector.ts';

/** What the service says about every kind of failure. */
const FAILED = 'test(s) failed';

/** One side of a test: a device with the addresses that are meant, an address that no node has, or a Service. */
interface Party {
  readonly subject: Subject & { readonly service?: string };
  /** Undefined for devices that nobody has seen yet. */
  readonly addresses: readonly (Address | undefined)[];
}

interface World {
  readonly document: PolicyDocument;
  readonly policy: CompiledPolicy;
  readonly nodes: readonly PolicyNode[];
  readonly byAddress: ReadonlyMap<Address, PolicyNode>;
  readonly users: readonly PolicyUser[];
  readonly names: Names;
  readonly matching: Matching;
  readonly subjectOf: (node: PolicyNode) => Subject;
}

/** One diagnostic for each assertion that doesn't hold; its message begins with the service's `test(s) failed`. */
export const runTests = (
  policy: CompiledPolicy,
  nodes: Iterable<PolicyNode>,
  userOf: (id: UserId) => PolicyUser | undefined,
): readonly Diagnostic[] => {
  const { document, tailnet } = policy;
  if (!document || document.tests.length + document.sshTests.length === 0) return [];
  const list = [...nodes];
  const owners = new Map(tailnet.users.map((user) => [user.id, user]));
  for (const { user } of list) {
    const owner = user === null ? undefined : userOf(user);
    if (owner) owners.set(owner.id, owner);
  }
  const world: World = {
    document,
    policy,
    nodes: list,
    byAddress: new Map(list.flatMap((node) => node.addresses.map((address) => [address, node] as const))),
    users: [...owners.values()],
    names: {
      tags: document.tagOwners as ReadonlyMap<string, unknown>,
      groups: document.groups,
      ipsets: document.ipsets,
      domains: tailnet.domains,
      hosts: new Map(
        [...document.hosts].flatMap(([name, { literal }]) => {
          const parsed = parseSelector(literal, NO_NAMES);
          return parsed.ok && parsed.value.kind === 'address' ? [[name, parsed.value] as const] : [];
        }),
      ),
    },
    matching: createMatching(document, subnetsOf(list.flatMap(({ approvedRoutes }) => approvedRoutes))),
    subjectOf: (node) => {
      const untagged = node.tags.length === 0 && node.user !== null;
      const owner = (untagged && node.user !== null ? owners.get(node.user) : undefined) ?? null;
      return { isNode: true, owner, untagged, tags: node.tags, addresses: node.addresses, posture: undefined };
    },
  };
  return [
    ...document.tests.flatMap((test) => runAccessTest(world, test)),
    ...document.sshTests.flatMap((test) => runSshTest(world, test)),
  ];
};

const NO_NAMES: Names = {
  tags: new Set(),
  groups: new Set(),
  ipsets: new Set(),
  domains: [],
  hosts: new Map(),
};

const device = (owner: PolicyUser | null, tags: readonly string[]): Subject => ({
  isNode: true,
  owner,
  untagged: tags.length === 0,
  tags,
  addresses: [],
  posture: undefined,
});

/** Devices that differ in nothing that a rule asks about are asked once. */
const distinct = (subjects: readonly Subject[], addressesMatter: boolean): readonly Party[] => {
  const seen = new Map<string, Party>();
  for (const subject of subjects) {
    const { owner, tags, addresses } = subject;
    const key = `${owner?.id ?? ''} ${tags.join(' ')} ${addressesMatter ? addresses.join(' ') : ''}`;
    if (!seen.has(key)) seen.set(key, { subject, addresses: addresses.length > 0 ? addresses : [undefined] });
  }
  return [...seen.values()];
};

const usesAddresses = (document: PolicyDocument): boolean =>
  [...(document.grants ?? []), ...(document.acls ?? [])].some(({ sources, destinations }) =>
    [...sources, ...destinations.map(({ selector }) => selector)].some(
      ({ kind }) => kind === 'address' || kind === 'ipset',
    ),
  );

/** Whom a text means, or undefined where it means nobody. Networks and lists of everything are no parties. */
const partiesOf = (world: World, text: string, side: 'source' | 'destination'): readonly Party[] | undefined => {
  const parsed = parseSelector(text, world.names);
  if (!parsed.ok) return undefined;
  const selector = parsed.value;
  const addressesMatter = usesAddresses(world.document);
  const nothing = { isNode: false, owner: null, untagged: false, tags: [], addresses: [], posture: undefined };
  switch (selector.kind) {
    case 'service':
      // Like an address that no node has: what the rules say about it can be asked all the same.
      return side === 'source'
        ? undefined
        : [{ subject: { ...nothing, service: selector.name }, addresses: [undefined] }];
    case 'address': {
      if (selector.literal.includes('/') || text.includes('/')) return undefined;
      const address = selector.literal as Address;
      const node = world.byAddress.get(address);
      return [{ subject: node ? world.subjectOf(node) : { ...nothing, addresses: [address] }, addresses: [address] }];
    }
    case 'user':
    case 'group':
    case 'tag':
      break;
    case 'member':
    case 'tagged':
    case 'domain':
    case 'role':
      if (side === 'source') break;
      return undefined;
    default:
      return undefined;
  }
  const subjects = [...devicesOf(world, selector), ...standIns(world, selector)];
  return subjects.length > 0 ? distinct(subjects, addressesMatter) : undefined;
};

const devicesOf = (world: World, selector: SelectorKind): Subject[] =>
  world.nodes.map(world.subjectOf).filter((subject) => world.matching.identifies(selector, subject));

/** People and tags that have no device yet are asked about as if they had one. */
const standIns = (world: World, selector: SelectorKind): Subject[] => {
  if (selector.kind === 'tag') {
    return world.nodes.some(({ tags }) => tags.includes(selector.tag)) ? [] : [device(null, [selector.tag])];
  }
  const withDevices = new Set(world.nodes.flatMap((node) => (node.tags.length === 0 ? [node.user] : [])));
  return world.users
    .filter(({ id }) => !withDevices.has(id))
    .map((user) => device(user, []))
    .filter((subject) => world.matching.identifies(selector, subject));
};

const fail = (
  code: 'policy/test-failed' | 'policy/ssh-test-failed',
  at: Span,
  detail: string,
  help?: string,
): Diagnostic => ({
  code,
  severity: 'error',
  message: `${FAILED}\n${detail}`,
  span: at,
  ...(help === undefined ? {} : { help }),
});

const withPosture = (parties: readonly Party[], posture: ReadonlyMap<string, Json>): readonly Party[] =>
  parties.map(({ subject, addresses }) => ({ subject: { ...subject, posture }, addresses }));

const runAccessTest = (world: World, test: AccessTest): Diagnostic[] => {
  const code = 'policy/test-failed';
  if (test.accept.length + test.deny.length === 0) {
    return [fail(code, test.at, 'The test has neither accept nor deny.')];
  }
  const found = partiesOf(world, test.source, 'source');
  if (!found) {
    return [
      fail(code, test.at, `The source ${quote(test.source)} means nobody.`, 'Use a user, group, tag, host or address.'),
    ];
  }
  const sources = withPosture(found, test.postureAttributes);
  const protocol = parseProtocol(test.protocol);
  if (!protocol.ok) return [fail(code, test.at, `${protocol.problem}.`)];
  const number = protocol.value ?? TCP;
  const named = test.protocol === '' ? 'tcp' : test.protocol;
  const check = (target: TestTarget, want: 'Accept' | 'Drop'): Diagnostic[] => {
    const { text, at } = target;
    const parts = splitDestination(text);
    const port =
      parts && /^\d{1,5}$/.test(parts.ports) && Number(parts.ports) <= 65535 ? Number(parts.ports) : undefined;
    if (!parts || port === undefined) return [fail(code, at, `${quote(text)} must be one destination and one port.`)];
    const destinations = partiesOf(world, parts.selector, 'destination');
    if (!destinations) {
      return [
        fail(code, at, `${quote(text)} is no device.`, 'Use a tag, user, group, host of one address, or an address.'),
      ];
    }
    const reached = countReached(world, sources, destinations, { protocol: number, port });
    const holds = want === 'Accept' ? reached.all : !reached.some;
    if (holds) return [];
    const got = want === 'Accept' ? 'Drop' : 'Accept';
    const detail = `address ${quote(text)} (protocol ${quote(named)}): want: ${want}, got: ${got}`;
    return [
      fail(
        code,
        at,
        `${quote(test.source)}: ${detail}`,
        reached.rule && `Rule ${reached.rule.index + 1} of ${reached.rule.section} accepts it.`,
      ),
    ];
  };
  return [
    ...test.accept.flatMap((target) => check(target, 'Accept')),
    ...test.deny.flatMap((target) => check(target, 'Drop')),
  ];
};

/** Whether every source reaches every destination, and whether some source reaches some. */
const countReached = (
  world: World,
  sources: readonly Party[],
  destinations: readonly Party[],
  packet: { readonly protocol: number; readonly port: number },
): { readonly all: boolean; readonly some: boolean; readonly rule?: AccessRule } => {
  const rules = accessRulesOf(world.policy);
  if (rules === null) return { all: true, some: true };
  const { matching } = world;
  const from = alike(rules, sources, (rule, subject, address) => {
    const isSource = matching.comesFrom(rule.sources, subject, address);
    return isSource && (!subject.isNode || matching.hasPosture(rule.srcPosture, subject));
  });
  const to = alike(rules, destinations, (rule, subject, address) =>
    opens(world, rule, { subject, address }, packet, undefined),
  );
  let all = true;
  let witness: AccessRule | undefined;
  for (const source of from) {
    for (const destination of to) {
      const rule = decidingRule(world, source, destination, packet);
      if (rule) witness ??= rule;
      else all = false;
    }
  }
  return { all, some: witness !== undefined, ...(witness ? { rule: witness } : {}) };
};

/** A party, and the rules that apply to it by address. */
interface Placed {
  readonly subject: Party['subject'];
  readonly ways: readonly { readonly address: Address | undefined; readonly rules: readonly AccessRule[] }[];
}

/** Parties with the rules that apply to them; one for all to which the same do. */
const alike = (
  rules: readonly AccessRule[],
  parties: readonly Party[],
  applies: (rule: AccessRule, subject: Party['subject'], address: Address | undefined) => boolean,
): readonly Placed[] => {
  const ownMatters = rules.some(({ destinations }) => destinations.some(({ selector }) => selector.kind === 'self'));
  const found = new Map<string, Placed>();
  for (const { subject, addresses } of parties) {
    const ways = addresses.map((address) => ({
      address,
      rules: rules.filter((rule) => applies(rule, subject, address)),
    }));
    const texts = ways.map(({ address, rules: matched }) =>
      [familyTag(address), ...matched.map(({ section, index }) => `${section}${index}`)].join(' '),
    );
    const owner = ownMatters ? `${subject.untagged} ${subject.owner?.id ?? ''}` : '';
    found.set(`${owner}|${texts.join('|')}`, { subject, ways });
  }
  return [...found.values()];
};

/** A device reaches another if one of its addresses reaches one of the other's, within one family. */
const decidingRule = (
  world: World,
  source: Placed,
  destination: Placed,
  packet: { readonly protocol: number; readonly port: number },
): AccessRule | undefined => {
  for (const { address: from, rules } of source.ways) {
    for (const { address } of destination.ways) {
      if (from !== undefined && address !== undefined && familyTag(from) !== familyTag(address)) continue;
      const { subject } = destination;
      const rule = rules.find((candidate) => opens(world, candidate, { subject, address }, packet, source.subject));
      if (rule) return rule;
    }
  }
  return undefined;
};

const familyTag = (address: Address | undefined): string =>
  address === undefined ? '' : address.includes(':') ? '6' : '4';

/** Whether the rule opens the port at the destination; with `source`, a rule for a user's own devices counts for theirs. */
const opens = (
  { matching }: World,
  rule: AccessRule,
  { subject, address }: { readonly subject: Party['subject']; readonly address: Address | undefined },
  packet: { readonly protocol: number; readonly port: number },
  source: Subject | undefined,
): boolean =>
  rule.destinations.some(({ selector, ports }) => {
    const open = rule.traffic.some((traffic) => {
      const opening = letsIn(traffic.protocol, ports ?? traffic.ports, packet);
      return opening.protocol && opening.port;
    });
    if (!open) return false;
    if (selector.kind === 'any') return true;
    if (selector.kind === 'self') {
      return source !== undefined && source.untagged && subject.untagged && source.owner?.id === subject.owner?.id;
    }
    if (selector.kind === 'service') return subject.service === selector.name;
    if (selector.kind === 'internet') return address !== undefined && setHasAddress(INTERNET_SET, address);
    const set = matching.addressesOf(selector);
    return set ? address !== undefined && setHasAddress(set, address) : matching.identifies(selector, subject);
  });

const runSshTest = (world: World, test: SshTest): Diagnostic[] => {
  const code = 'policy/ssh-test-failed';
  if (test.accept.length + test.check.length + test.deny.length === 0) {
    return [fail(code, test.at, 'The test has neither accept nor check nor deny.')];
  }
  const found = partiesOf(world, test.source, 'source');
  if (!found) return [fail(code, test.at, `The source ${quote(test.source)} means nobody.`)];
  if (test.destinations.length === 0) return [fail(code, test.at, 'The test has no destination.')];
  const sources = withPosture(found, test.postureAttributes);
  return test.destinations.flatMap(({ text, at }): Diagnostic[] => {
    // The service takes IPv4 literals only.
    const destinations =
      text.includes(':') && !/^(?:tag|svc):/.test(text) && !text.includes('@')
        ? undefined
        : partiesOf(world, text, 'destination');
    if (!destinations) return [fail(code, at, `${quote(text)} is no device.`)];
    const check = (login: TestTarget, want: 'accept' | 'check' | 'deny'): Diagnostic[] => {
      if (login.text === '') return [fail(code, login.at, 'A login cannot be empty.')];
      const pairs = sources.flatMap((source) =>
        destinations.map((destination) => actionsOf(world, source.subject, destination.subject, login.text)),
      );
      const holds = pairs.every((actions) => (want === 'deny' ? actions.size === 0 : actions.has(want)));
      if (holds) return [];
      const got = [...new Set(pairs.flatMap((actions) => (actions.size === 0 ? ['deny'] : [...actions])))].join(' or ');
      return [
        fail(
          code,
          login.at,
          `${quote(test.source)} as ${quote(login.text)} on ${quote(text)}: want: ${want}, got: ${got}`,
        ),
      ];
    };
    return [
      ...test.accept.flatMap((login) => check(login, 'accept')),
      ...test.check.flatMap((login) => check(login, 'check')),
      ...test.deny.flatMap((login) => check(login, 'deny')),
    ];
  });
};

/** The actions of the SSH rules that let the source in. */
const actionsOf = (
  { document, matching }: World,
  from: Subject,
  to: Subject,
  login: string,
): ReadonlySet<'accept' | 'check'> => {
  const actions = new Set<'accept' | 'check'>();
  const sameUser = from.untagged && to.untagged && from.owner !== null && from.owner.id === to.owner?.id;
  for (const rule of document.ssh) {
    if (actions.has(rule.action) || !mayBe(rule, from.owner, login)) continue;
    const isSource =
      rule.sources.some((source) => matching.identifies(source, from)) && matching.hasPosture(rule.srcPosture, from);
    const isDestination = rule.destinations.some((selector) =>
      selector.kind === 'self' ? sameUser : matching.identifies(selector, to),
    );
    if (isSource && isDestination) actions.add(rule.action);
  }
  return actions;
};

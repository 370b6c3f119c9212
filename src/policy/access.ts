// `acls` and `grants` as access rules. The two differ in spelling only: an ACL writes ports at its destinations and one
// protocol for all, a grant writes protocols with ports once for all destinations.

import type { Json } from '../base/canonical.ts';
import type { Tag } from '../base/ids.ts';
import type { LocatedMember, LocatedNode } from '../config/located.ts';
import { plainOf } from '../config/located.ts';
import type { PortRange } from '../wire/filter.ts';
import type { AccessRule, Destination, Traffic } from './document.ts';
import {
  readFields,
  readList,
  readTable,
  readText,
  readTexts,
  wrongType,
  type Fields,
  type LocatedText,
} from './fields.ts';
import { PLACES, readSelector } from './places.ts';
import { parseIpEntry, parsePorts, parseProtocol, portsProblem, splitDestination } from './ports.ts';
import { quote, type Problems } from './problems.ts';
import { choosesPeople, type Selector } from './selector.ts';
import { readPostureNames, type Tables } from './tables.ts';

/** Destinations times ports that one rule may come to; a node's filter would carry each of them. */
const EXPANSION_LIMIT = 65_536;
const TOTAL_LIMIT = 262_144;

interface Reading {
  readonly problems: Problems;
  readonly tables: Tables;
  readonly defaultSrcPosture: readonly string[];
  /** Destinations times ports of the rules so far. */
  readonly expansion: { size: number };
}

const SELF_PROBLEM = 'autogroup:self can only be used with users, groups, or supported autogroups';

export const readAcls = (reading: Reading, member: LocatedMember): readonly AccessRule[] =>
  readList(reading.problems, member, 'acls').flatMap((node, index) => readAcl(reading, node, index) ?? []);

export const readGrants = (reading: Reading, member: LocatedMember): readonly AccessRule[] =>
  readList(reading.problems, member, 'grants').flatMap((node, index) => readGrant(reading, node, index) ?? []);

/** The field under its name of today, or under its old one; messages name the one that was used. */
const either = (
  fields: Fields,
  name: string,
  old: string,
): { readonly name: string; readonly member?: LocatedMember } => {
  const member = fields.get(name);
  if (member) return { name, member };
  const legacy = fields.get(old);
  return legacy ? { name: old, member: legacy } : { name };
};

const readSources = ({ problems, tables }: Reading, texts: readonly LocatedText[], field: string): Selector[] =>
  texts.flatMap((text) => readSelector(problems, text, PLACES.source, `${field}=`, tables.names) ?? []);

const readRulePosture = ({ problems, tables, defaultSrcPosture }: Reading, fields: Fields): readonly string[] => {
  const own = readPostureNames(problems, readTexts(problems, fields.get('srcPosture'), 'srcPosture'), tables.postures);
  return own.length > 0 ? own : defaultSrcPosture;
};

/** The devices of the source's own user: sources must be people then. ACLs take `*` for all of them. */
const checkSelf = (
  problems: Problems,
  sources: readonly Selector[],
  destinations: readonly Destination[],
  anyIsFine: boolean,
): void => {
  const self = destinations.find(({ selector }) => selector.kind === 'self');
  if (!self) return;
  const stranger = sources.find((source) => !choosesPeople(source) && !(anyIsFine && source.kind === 'any'));
  if (!stranger) return;
  problems.error(
    'policy/self-without-user',
    stranger.at,
    SELF_PROBLEM,
    `${quote(stranger.text)} has no devices of its own. Give it a rule without autogroup:self.`,
  );
};

const checkExpansion = (reading: Reading, rule: Pick<AccessRule, 'at' | 'destinations' | 'traffic'>): void => {
  const shared = rule.traffic.reduce((sum, { ports }) => sum + ports.length, 0);
  const size = rule.destinations.reduce((sum, { ports }) => sum + (ports?.length ?? shared), 0);
  const before = reading.expansion.size;
  reading.expansion.size += size;
  const refuse = (what: string, limit: number): void =>
    reading.problems.error(
      'policy/too-large',
      rule.at,
      `${what} destinations with ports; at most ${limit} are taken.`,
      'Use port ranges and prefixes.',
    );
  if (size > EXPANSION_LIMIT) refuse(`The rule comes to ${size}`, EXPANSION_LIMIT);
  else if (before <= TOTAL_LIMIT && before + size > TOTAL_LIMIT) refuse('The rules come to more', TOTAL_LIMIT);
};

const readAcl = (reading: Reading, node: LocatedNode, index: number): AccessRule | undefined => {
  const { problems, tables } = reading;
  const fields = readFields(problems, node, 'A rule of acls', [
    'action',
    'src',
    'dst',
    'proto',
    'srcPosture',
    'users',
    'ports',
  ]);
  if (!fields) return undefined;
  const action = readText(problems, fields.get('action'), 'action');
  if (action?.text !== 'accept') {
    problems.error(
      'policy/bad-action',
      action?.at ?? fields.at,
      `action=${quote(action?.text ?? '')} is not supported`,
      'The only action is "accept"; what no rule accepts is denied.',
    );
  }
  const protocolText = readText(problems, fields.get('proto'), 'proto');
  const protocol = parseProtocol(protocolText?.text ?? '');
  if (!protocol.ok) {
    problems.error('policy/bad-protocol', protocolText?.at ?? fields.at, protocol.problem, PROTOCOL_HELP);
  }
  const src = either(fields, 'src', 'users');
  const dst = either(fields, 'dst', 'ports');
  const sources = readSources(reading, readTexts(problems, src.member, src.name), src.name);
  const destinations: Destination[] = [];
  for (const { text, at } of readTexts(problems, dst.member, dst.name)) {
    const parts = splitDestination(text);
    const whole = `${dst.name}=${quote(text)}: `;
    if (!parts) {
      problems.error(
        'policy/bad-ports',
        at,
        `${whole}missing port`,
        'Write selector:ports, for example tag:web:443 or *:*.',
      );
      continue;
    }
    const ports = parsePorts(parts.ports);
    if (!ports.ok) {
      problems.error('policy/bad-ports', at, `${whole}${ports.problem}`, PORTS_HELP);
      continue;
    }
    const selectorText = { text: parts.selector.trim(), at };
    const prefix = `${dst.name}=${quote(selectorText.text)}: `;
    const selector = readSelector(problems, selectorText, PLACES.aclDestination, prefix, tables.names);
    const unfit = protocol.ok ? portsProblem(protocol.value, ports.value) : undefined;
    if (unfit !== undefined) problems.error('policy/bad-ports', at, `${whole}${unfit}`);
    if (selector) destinations.push({ selector, ports: ports.value });
  }
  checkSelf(problems, sources, destinations, true);
  const rule: AccessRule = {
    section: 'acls',
    index,
    at: fields.at,
    sources,
    srcPosture: readRulePosture(reading, fields),
    destinations,
    traffic: [{ protocol: protocol.ok ? protocol.value : null, ports: [] }],
    app: [],
    via: [],
  };
  checkExpansion(reading, rule);
  return rule;
};

const PROTOCOL_HELP = 'A protocol is a name such as tcp, udp or icmp, or a number from 1 to 255.';
const PORTS_HELP = 'Ports are *, a number, a range such as 8000-8100, or several of these with commas.';

const readGrant = (reading: Reading, node: LocatedNode, index: number): AccessRule | undefined => {
  const { problems, tables } = reading;
  const fields = readFields(problems, node, 'A rule of grants', ['src', 'dst', 'ip', 'app', 'via', 'srcPosture']);
  if (!fields) return undefined;
  const sources = readSources(reading, readTexts(problems, fields.get('src'), 'src'), 'src');
  const destinations: Destination[] = [];
  for (const text of readTexts(problems, fields.get('dst'), 'dst')) {
    const selector = readSelector(problems, text, PLACES.grantDestination, 'dst=', tables.names);
    if (!selector) continue;
    if (selector.kind === 'address' && selector.literal.endsWith('/0')) {
      problems.error(
        'policy/all-addresses',
        text.at,
        `dst ${quote(text.text)}: to allow all IP addresses, use "*" or "autogroup:internet"`,
      );
      continue;
    }
    destinations.push({ selector });
  }
  checkSelf(problems, sources, destinations, false);
  const ipTexts = readTexts(problems, fields.get('ip'), 'ip');
  const appMembers = readTable(problems, fields.get('app'), 'app');
  if (ipTexts.length === 0 && appMembers.length === 0) {
    problems.error(
      'policy/empty-grant',
      fields.at,
      'ip and app can not both be empty',
      'Say which traffic (ip: ["*"]) or which capabilities (app) the grant gives.',
    );
  }
  const rule: AccessRule = {
    section: 'grants',
    index,
    at: fields.at,
    sources,
    srcPosture: readRulePosture(reading, fields),
    destinations,
    traffic: readTraffic(problems, ipTexts),
    app: readApp(problems, appMembers),
    via: readVia(problems, readTexts(problems, fields.get('via'), 'via'), tables),
  };
  if (appMembers.length > 0) checkAppDestinations(problems, destinations);
  checkExpansion(reading, rule);
  return rule;
};

/** One entry a protocol, in the order in which they first appear. */
const readTraffic = (problems: Problems, texts: readonly LocatedText[]): readonly Traffic[] => {
  const byProtocol = new Map<number | null, PortRange[]>();
  for (const { text, at } of texts) {
    const entry = parseIpEntry(text);
    if (!entry.ok) {
      const isProtocol = entry.problem.startsWith('unknown protocol');
      problems.error(
        isProtocol ? 'policy/bad-protocol' : 'policy/bad-ports',
        at,
        entry.problem,
        isProtocol ? PROTOCOL_HELP : 'Write *, a port, a range, or protocol:ports such as tcp:443, udp:*, icmp:*.',
      );
      continue;
    }
    const { protocol, ports } = entry.value;
    const list = byProtocol.get(protocol);
    if (list) for (const range of ports) list.push(range);
    else byProtocol.set(protocol, [...ports]);
  }
  return Array.from(byProtocol, ([protocol, ports]) => ({ protocol, ports }));
};

/** Capabilities of the reserved domain that a policy may give. */
const OPEN_CAPABILITIES: ReadonlySet<string> = new Set(
  ['drive', 'relay', 'webui', 'kubernetes', 'tsidp', 'secrets', 'tailsql', 'golink'].map(
    (name) => `tailscale.com/cap/${name}`,
  ),
);

const capabilityProblem = (
  name: string,
): { readonly code: 'policy/bad-capability' | 'policy/reserved-capability'; readonly message: string } | undefined => {
  if (name.includes('://') || !/^[^/\s]+\/\S+$/.test(name)) {
    return { code: 'policy/bad-capability', message: 'capability name must have the form {domain}/{path}' };
  }
  const domain = name.slice(0, name.indexOf('/')).toLowerCase();
  const reserved = ['tailscale.com', 'tailscale.io'].some((base) => domain === base || domain.endsWith(`.${base}`));
  return reserved && !OPEN_CAPABILITIES.has(name)
    ? { code: 'policy/reserved-capability', message: 'capability name must not be in the tailscale.com domain' }
    : undefined;
};

const readApp = (problems: Problems, members: readonly LocatedMember[]): AccessRule['app'] =>
  members.flatMap(({ key, keySpan, value }) => {
    const problem = capabilityProblem(key);
    if (problem)
      problems.error(
        problem.code,
        keySpan,
        problem.message,
        'Use a domain of your own, for example example.com/cap/admin.',
      );
    const values = readValues(problems, value, key);
    return values ? [{ name: key, values, at: keySpan }] : [];
  });

/** The list of a capability's values: any JSON. */
export const readValues = (problems: Problems, node: LocatedNode, name: string): readonly Json[] | undefined => {
  if (node.kind === 'array') return node.items.map((item) => plainOf(item));
  if (node.kind === 'null') return [];
  wrongType(problems, node, `The value of ${quote(name)}`, 'a list');
  return undefined;
};

const readVia = (problems: Problems, texts: readonly LocatedText[], { names }: Tables): readonly Tag[] =>
  texts.flatMap(({ text, at }) => {
    if (!text.startsWith('tag:')) {
      problems.error(
        'policy/via-not-tag',
        at,
        'via can only be a tag',
        'Tag the routers that shall carry the traffic.',
      );
      return [];
    }
    if (!names.tags.has(text)) {
      problems.error('policy/unknown-tag', at, `tag ${quote(text)} not found`, 'Every tag must be a key of tagOwners.');
      return [];
    }
    return [text as Tag];
  });

/** Capabilities are held against nodes, so destinations must be nodes. */
const checkAppDestinations = (problems: Problems, destinations: readonly Destination[]): void => {
  for (const { selector } of destinations) {
    if (selector.kind === 'internet' || selector.kind === 'role') {
      problems.error(
        'policy/app-destination',
        selector.at,
        `cannot use app grants with ${selector.text}`,
        'Capabilities are given on nodes of the tailnet. Split the rule.',
      );
    }
  }
};

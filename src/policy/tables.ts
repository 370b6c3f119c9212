// The named things of a policy: groups, tags with their owners, hosts, ip sets and postures. Rules refer to them, so they
// are read first.

import { parseTag, type Tag } from '../base/ids.ts';
import type { LocatedMember } from '../config/located.ts';
import type { Group, Host, Ipset, Posture, TagOwners } from './document.ts';
import type { TailnetFacts } from './facts.ts';
import { readTable, readTexts, wrongType, type Fields, type LocatedText } from './fields.ts';
import { readIpsets } from './ipset.ts';
import { parseAssertion, type Assertion } from './posture.ts';
import { quote, type Problems } from './problems.ts';
import { parseLiteral, parseSelector, type AddressLiteral, type Names, type Selector } from './selector.ts';
import { reportSelector, warnHostBits } from './places.ts';

export interface Tables {
  readonly names: Names;
  readonly groups: ReadonlyMap<string, Group>;
  readonly hosts: ReadonlyMap<string, Host>;
  readonly ipsets: ReadonlyMap<string, Ipset>;
  readonly tagOwners: ReadonlyMap<Tag, TagOwners>;
  readonly postures: ReadonlyMap<string, Posture>;
}

export const readTables = (problems: Problems, file: Fields, tailnet: TailnetFacts): Tables => {
  const groupMembers = readTable(problems, file.get('groups'), 'groups');
  const ownerMembers = readTable(problems, file.get('tagOwners'), 'tagOwners');
  const hosts = readHosts(problems, readTable(problems, file.get('hosts'), 'hosts'));
  const ipsets = readIpsets(problems, readTable(problems, file.get('ipsets'), 'ipsets'), hosts);
  const names: Names = {
    groups: new Set(groupMembers.map(({ key }) => key)),
    tags: new Set(ownerMembers.map(({ key }) => key)),
    domains: tailnet.domains,
    hosts,
    ipsets,
  };
  return {
    names,
    hosts,
    ipsets,
    groups: readGroups(problems, groupMembers),
    tagOwners: readTagOwners(problems, ownerMembers, names),
    postures: readPostures(problems, readTable(problems, file.get('postures'), 'postures')),
  };
};

/** From the last name to the first, which is how the service comes to the offender that it reports. */
const lastNameFirst = (members: readonly LocatedMember[]): LocatedMember[] =>
  [...members].sort((a, b) => (a.key < b.key ? 1 : a.key > b.key ? -1 : 0));

const readGroups = (problems: Problems, members: readonly LocatedMember[]): ReadonlyMap<string, Group> => {
  const groups = new Map<string, Group>();
  for (const member of lastNameFirst(members)) {
    const { key: name, keySpan } = member;
    const where = `groups[${quote(name)}]`;
    if (!/^group:\S+$/.test(name)) {
      problems.error('policy/bad-group', keySpan, `${where}: group names must start with 'group:'`);
      continue;
    }
    const selectors: Selector[] = [];
    for (const { text, at } of readTexts(problems, member, where)) {
      if (text.startsWith('group:')) {
        problems.error(
          'policy/nested-group',
          at,
          `${where}: ${quote(text)}: group members cannot be recursive`,
          'List the people themselves; a rule may name several groups.',
        );
      } else if (/^[^\s@:]+@[^\s@:]+$/.test(text)) selectors.push({ kind: 'user', login: text, text, at });
      else {
        problems.error(
          'policy/bad-group',
          at,
          `${where}: ${quote(text)}: group members must be users`,
          'A user is written as the login, for example alice@example.com.',
        );
      }
    }
    groups.set(name, { name, at: keySpan, members: selectors });
  }
  return groups;
};

const OWNER_KINDS: ReadonlySet<Selector['kind']> = new Set(['user', 'group', 'tag', 'role', 'member', 'domain']);

const readTagOwners = (
  problems: Problems,
  members: readonly LocatedMember[],
  names: Names,
): ReadonlyMap<Tag, TagOwners> => {
  const owners = new Map<Tag, TagOwners>();
  for (const member of lastNameFirst(members)) {
    const where = `tagOwners[${quote(member.key)}]`;
    const tag = parseTag(member.key);
    if (!tag) {
      const rest = member.key.slice('tag:'.length);
      const problem = !member.key.startsWith('tag:')
        ? "tags must start with 'tag:'"
        : /^[A-Za-z]/.test(rest)
          ? 'tag names can only contain numbers, letters, or dashes'
          : "tag names must start with a letter, after 'tag:'";
      problems.error('policy/bad-tag', member.keySpan, `${where}: ${problem}`, 'ASCII letters, digits and dashes.');
      continue;
    }
    const selectors: Selector[] = [];
    for (const { text, at } of readTexts(problems, member, where)) {
      const parsed = parseSelector(text, names);
      if (!parsed.ok) reportSelector(problems, parsed, { text, at }, `${where}: `, names);
      else if (OWNER_KINDS.has(parsed.value.kind)) selectors.push({ ...parsed.value, text, at });
      else {
        problems.error(
          'policy/selector-not-allowed',
          at,
          `${where}: ${quote(text)} cannot own a tag`,
          'Owners are users, groups, tags, roles and autogroup:member.',
        );
      }
    }
    owners.set(tag, { tag, at: member.keySpan, owners: selectors });
  }
  return owners;
};

type HostTable = ReadonlyMap<string, Host & AddressLiteral>;

const readHosts = (problems: Problems, members: readonly LocatedMember[]): HostTable => {
  const hosts = new Map<string, Host & AddressLiteral>();
  for (const { key: name, keySpan, value } of members) {
    if (name.includes('@')) {
      problems.error(
        'policy/bad-host',
        keySpan,
        `host names cannot include an @, please change the name for ${quote(name)}`,
      );
      continue;
    }
    if (name === '' || name === '*' || /[\s:]/.test(name) || parseLiteral(name)) {
      const help = 'A name has no blanks and colons, and looks like no address.';
      problems.error('policy/bad-host', keySpan, `hosts[${quote(name)}]: invalid host name`, help);
      continue;
    }
    if (value.kind !== 'string') {
      wrongType(problems, value, `hosts[${quote(name)}]`, 'a string');
      continue;
    }
    const literal = parseLiteral(value.value.trim());
    if (!literal) {
      problems.error(
        'policy/bad-host',
        value.span,
        `hosts[${quote(name)}]: ${quote(value.value)}: invalid address`,
        'A host is one address or one prefix, for example 10.0.0.0/8.',
      );
      continue;
    }
    warnHostBits(problems, value.span, value.value, literal);
    hosts.set(name, { name, at: keySpan, ...literal });
  }
  return hosts;
};

const readPostures = (problems: Problems, members: readonly LocatedMember[]): ReadonlyMap<string, Posture> => {
  const postures = new Map<string, Posture>();
  for (const member of members) {
    const where = `postures[${quote(member.key)}]`;
    if (!/^posture:\S+$/.test(member.key)) {
      problems.error('policy/bad-posture', member.keySpan, `${where}: posture names must start with 'posture:'`);
      continue;
    }
    const texts = readTexts(problems, member, where);
    if (texts.length === 0) {
      problems.error('policy/bad-posture', member.keySpan, `${where}: a posture needs at least one assertion`);
      continue;
    }
    const assertions: Assertion[] = [];
    for (const { text, at } of texts) {
      const assertion = parseAssertion(text, at);
      if (assertion) assertions.push(assertion);
      else {
        problems.error(
          'policy/bad-posture',
          at,
          `${where}: ${quote(text)}: invalid assertion`,
          "Write `attribute operator value`, for example node:tsVersion >= '1.60'.",
        );
      }
    }
    postures.set(member.key, { name: member.key, at: member.keySpan, assertions });
  }
  return postures;
};

/** Posture names of a rule; those of `defaultSrcPosture` where it has none of its own. */
export const readPostureNames = (
  problems: Problems,
  texts: readonly LocatedText[],
  postures: ReadonlyMap<string, Posture>,
): readonly string[] =>
  texts.flatMap(({ text, at }) => {
    if (postures.has(text)) return [text];
    problems.error('policy/unknown-name', at, `posture not found: ${quote(text)}`);
    return [];
  });

// Rules about names: those that nothing uses, those that look like others, and those of people who are gone.

import type { Span } from '../../base/diagnostic.ts';
import type { LocatedNode } from '../../config/located.ts';
import { memberOf } from '../../config/located.ts';
import type { Selector } from '../../policy/selector.ts';
import type { LintRule, LintSubject } from './rule.ts';

interface Name {
  readonly name: string;
  readonly at: Span;
}

/** A section of the policy by its name in any case; the language takes `Groups` for `groups`. */
const sectionOf = (root: LocatedNode | null, section: string): LocatedNode | undefined =>
  root?.kind === 'object'
    ? root.members.find(({ key }) => key.toLowerCase() === section.toLowerCase())?.value
    : undefined;

const namesOf = (root: LocatedNode | null, section: string): Name[] => {
  const table = sectionOf(root, section);
  return table?.kind === 'object' ? table.members.map(({ key, keySpan }) => ({ name: key, at: keySpan })) : [];
};

/** Every word of the policy's values, apart from where names are made: selectors, also with ports or an operation. */
const wordsOf = (root: LocatedNode): Set<string> => {
  const words = new Set<string>();
  const open: LocatedNode[] = [root];
  for (let node = open.pop(); node; node = open.pop()) {
    if (node.kind === 'array') open.push(...node.items);
    if (node.kind === 'object') open.push(...node.members.map(({ value }) => value));
    if (node.kind !== 'string') continue;
    const text = node.value.trim();
    words.add(text);
    // `tag:web:22,80`, `office:*`, `add host:office`, `remove ipset:a`
    const colon = text.lastIndexOf(':');
    if (colon > 0) words.add(text.slice(0, colon));
    const operand = text.replace(/^(?:add|remove) +/, '');
    words.add(operand).add(operand.replace(/^host:/, ''));
  }
  return words;
};

const unused = (
  code: LintRule['code'],
  section: string,
  what: string,
  more: (subject: LintSubject) => Iterable<string> = () => [],
): LintRule => ({
  code,
  severity: 'warning',
  *check(subject) {
    const { policyRoot } = subject;
    if (!subject.policy || !policyRoot) return;
    const words = wordsOf(policyRoot);
    for (const word of more(subject)) words.add(word);
    for (const { name, at } of namesOf(policyRoot, section)) {
      if (words.has(name)) continue;
      yield {
        span: at,
        message: `Nothing uses the ${what} \`${name}\`.`,
        help: 'Remove it.',
        fix: { kind: 'remove', at },
      };
    }
  },
});

function* tagsElsewhere({ folder, policy }: LintSubject): Iterable<string> {
  for (const { tags = [], node } of folder.nodes ?? []) {
    yield* tags;
    if (node.by === 'tag') yield node.tag;
  }
  for (const { node } of [...(folder.routes ?? []), ...(folder.derp?.hide ?? [])])
    if (node.by === 'tag') yield node.tag;
  for (const { tags } of [...(folder.keys?.authKeys ?? []), ...(folder.keys?.apiCredentials ?? [])]) yield* tags;
  for (const { src, accept, deny } of folder.tailnet?.invariants ?? []) {
    for (const text of [src, ...accept, ...deny]) yield text.replace(/:[^:]*$/, '');
  }
  for (const { name } of policy?.autoApprovers.services ?? []) yield name;
}

function* groupsElsewhere({ folder }: LintSubject): Iterable<string> {
  for (const { src, accept, deny } of folder.tailnet?.invariants ?? []) {
    yield src;
    for (const text of [...accept, ...deny]) yield text.replace(/:[^:]*$/, '');
  }
}

// Letters that look like others in usual type, folded onto one of them.
const FOLD: Readonly<Record<string, string>> = {
  а: 'a',
  е: 'e',
  о: 'o',
  р: 'p',
  с: 'c',
  у: 'y',
  х: 'x',
  і: 'i',
  ѕ: 's',
  ј: 'j',
  һ: 'h',
  ԁ: 'd',
  к: 'k',
  м: 'm',
  т: 't',
  в: 'b',
  н: 'h',
  α: 'a',
  ο: 'o',
  ρ: 'p',
  ν: 'v',
  ι: 'i',
  κ: 'k',
  τ: 't',
  υ: 'u',
  ε: 'e',
  '0': 'o',
  '1': 'l',
  '|': 'l',
  ı: 'i',
};

/** Equal for names that a reader can take for each other. */
export const skeletonOf = (name: string): string =>
  Array.from(name.normalize('NFKC').toLowerCase())
    .map((letter) => FOLD[letter] ?? letter)
    .join('')
    .replaceAll('rn', 'm')
    .replaceAll('vv', 'w')
    .replaceAll('i', 'l')
    .replaceAll('_', '-');

const lookAlike: LintRule = {
  code: 'lint/look-alike-names',
  severity: 'warning',
  *check({ policyRoot, users }) {
    const kinds: (readonly Name[])[] = ['groups', 'tagOwners', 'hosts', 'ipsets', 'postures'].map((section) =>
      namesOf(policyRoot, section),
    );
    kinds.push(users.map(({ login, at }) => ({ name: login, at })));
    for (const names of kinds) {
      const seen = new Map<string, Name>();
      for (const one of names) {
        const skeleton = skeletonOf(one.name);
        const first = seen.get(skeleton);
        if (!first) seen.set(skeleton, one);
        else {
          yield {
            span: one.at,
            message: `\`${one.name}\` looks like \`${first.name}\`.`,
            help: 'Readers take one for the other: give it another name.',
            related: [{ span: first.at, message: 'the other one' }],
          };
        }
      }
    }
  },
};

/** Every selector of the policy that names a person, once for each place. */
const namedPeople = function* ({ policy }: LintSubject): Iterable<Selector & { readonly kind: 'user' }> {
  if (!policy) return;
  const lists: (readonly Selector[])[] = [
    ...[...policy.groups.values()].map(({ members }) => members),
    ...[...policy.tagOwners.values()].map(({ owners }) => owners),
    ...[...(policy.grants ?? []), ...(policy.acls ?? [])].flatMap(({ sources, destinations }) => [
      sources,
      destinations.map(({ selector }) => selector),
    ]),
    ...policy.ssh.flatMap(({ sources, destinations }) => [sources, destinations]),
    ...policy.autoApprovers.routes.map(({ approvers }) => approvers),
    policy.autoApprovers.exitNode,
    ...policy.nodeAttrs.map(({ targets }) => targets),
  ];
  for (const selector of lists.flat()) if (selector.kind === 'user') yield selector;
};

const disabledPerson: LintRule = {
  code: 'lint/disabled-person',
  severity: 'warning',
  *check(subject) {
    const disabled = new Set(subject.users.filter((user) => user.disabled).map(({ login }) => login.toLowerCase()));
    for (const { login, at } of namedPeople(subject)) {
      if (!disabled.has(login.toLowerCase())) continue;
      yield {
        span: at,
        message: `\`${login}\` is disabled in users.json5.`,
        help: 'Remove the person here: enabling them again would give all of this back.',
      };
    }
  },
};

const loginCase: LintRule = {
  code: 'lint/login-case',
  severity: 'warning',
  *check(subject) {
    const spelled = new Map(subject.users.map(({ login }) => [login.toLowerCase(), login as string]));
    for (const { login, at } of namedPeople(subject)) {
      const declared = spelled.get(login.toLowerCase());
      if (declared === undefined || declared === login) continue;
      yield {
        span: at,
        message: `users.json5 spells this login \`${declared}\`.`,
        help: 'Use the same spelling everywhere.',
        fix: { kind: 'set', at, value: declared },
      };
    }
  },
};

const SECTIONS = new Set([
  'acls',
  'grants',
  'groups',
  'hosts',
  'tagOwners',
  'autoApprovers',
  'ssh',
  'nodeAttrs',
  'postures',
  'defaultSrcPosture',
  'ipsets',
  'tests',
  'sshTests',
  'derpMap',
  'randomizeClientPort',
  'disableIPv4',
  'OneCGNATRoute',
  '$schema',
]);

const sectionCase: LintRule = {
  code: 'lint/section-case',
  severity: 'info',
  *check({ policyRoot }) {
    if (policyRoot?.kind !== 'object') return;
    for (const { key, keySpan } of policyRoot.members) {
      if (SECTIONS.has(key)) continue;
      const usual = [...SECTIONS].find((name) => name.toLowerCase() === key.toLowerCase());
      if (usual !== undefined)
        yield {
          span: keySpan,
          message: `The usual spelling of \`${key}\` is \`${usual}\`.`,
          help: 'Editors know only the usual one.',
        };
    }
  },
};

const OLD_FIELDS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  acls: { users: 'src', ports: 'dst' },
  tests: { user: 'src', allow: 'accept' },
};

const deprecatedField: LintRule = {
  code: 'lint/deprecated-syntax',
  severity: 'warning',
  *check({ policyRoot, policy }) {
    if (!policy) return;
    for (const [section, fields] of Object.entries(OLD_FIELDS)) {
      const list = sectionOf(policyRoot, section);
      for (const item of list?.kind === 'array' ? list.items : []) {
        for (const [old, today] of Object.entries(fields)) {
          const member = memberOf(item, old);
          if (member)
            yield {
              span: member.keySpan,
              message: `\`${old}\` is the old name of \`${today}\`.`,
              help: `Write \`${today}\`.`,
            };
        }
      }
    }
    for (const rule of [...(policy.grants ?? []), ...(policy.acls ?? [])]) {
      for (const { text, at, kind } of [...rule.sources, ...rule.destinations.map(({ selector }) => selector)]) {
        if (kind === 'member' && text === 'autogroup:members') {
          yield {
            span: at,
            message: '`autogroup:members` is the old name of `autogroup:member`.',
            help: 'Write `autogroup:member`.',
          };
        }
      }
    }
  },
};

const ATTRIBUTES = [
  'node:os',
  'node:osVersion',
  'node:tsVersion',
  'node:tsReleaseTrack',
  'node:tsAutoUpdate',
  'node:tsStateEncrypted',
  'ip:country',
];

const unknownAttribute: LintRule = {
  code: 'lint/unknown-attribute',
  severity: 'warning',
  *check({ policy, folder }) {
    const declared = new Set((folder.nodes ?? []).flatMap(({ attributes = {} }) => Object.keys(attributes)));
    for (const { assertions } of policy?.postures.values() ?? []) {
      for (const { attribute, at } of assertions) {
        if (attribute.startsWith('custom:') && !declared.has(attribute))
          yield {
            span: at,
            message: `No entry of nodes.json5 gives a machine the attribute \`${attribute}\`, so the posture is never met.`,
            help: `Declare it: { node: …, attributes: { '${attribute}': … } }.`,
          };
        if (!/^(?:node|ip):/.test(attribute) || ATTRIBUTES.includes(attribute)) continue;
        yield {
          span: at,
          message: `No client tells its \`${attribute}\`, so the posture is never met.`,
          help: `The attributes are ${ATTRIBUTES.join(', ')} and custom:….`,
        };
      }
    }
  },
};

export const NAME_RULES: readonly LintRule[] = [
  unused('lint/unused-group', 'groups', 'group', groupsElsewhere),
  unused('lint/unused-host', 'hosts', 'host', groupsElsewhere),
  unused('lint/unused-tag', 'tagOwners', 'tag', tagsElsewhere),
  unused('lint/unused-ipset', 'ipsets', 'ipset'),
  unused('lint/unused-posture', 'postures', 'posture'),
  lookAlike,
  disabledPerson,
  loginCase,
  sectionCase,
  deprecatedField,
  unknownAttribute,
];

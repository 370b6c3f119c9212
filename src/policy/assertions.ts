// The texts of `tests` and `sshTests`. A test that says nonsense is a failed test, so little is refused here; only the
// destinations of SSH tests are checked beforehand, as the service does.

import type { Json } from '../base/canonical.ts';
import { plainOf, type LocatedMember } from '../config/located.ts';
import type { AccessTest, SshTest, TestTarget } from './document.ts';
import { readFields, readList, readTable, readText, readTexts } from './fields.ts';
import { quote, type Problems } from './problems.ts';
import { parseLiteral } from './selector.ts';
import type { Tables } from './tables.ts';

const readPostureAttributes = (problems: Problems, member: LocatedMember | undefined): ReadonlyMap<string, Json> =>
  new Map(readTable(problems, member, 'srcPostureAttrs').map(({ key, value }) => [key, plainOf(value)]));

export const readTests = (problems: Problems, member: LocatedMember | undefined): readonly AccessTest[] =>
  readList(problems, member, 'tests').flatMap((node, index): AccessTest[] => {
    const fields = readFields(problems, node, 'An entry of tests', [
      'src',
      'accept',
      'deny',
      'proto',
      'srcPostureAttrs',
      'user',
      'allow',
    ]);
    if (!fields) return [];
    const targets = (name: string): readonly TestTarget[] => readTexts(problems, fields.get(name), name);
    return [
      {
        index,
        at: fields.at,
        source:
          (readText(problems, fields.get('src'), 'src') ?? readText(problems, fields.get('user'), 'user'))?.text ?? '',
        protocol: readText(problems, fields.get('proto'), 'proto')?.text ?? '',
        postureAttributes: readPostureAttributes(problems, fields.get('srcPostureAttrs')),
        accept: [...targets('accept'), ...targets('allow')],
        deny: targets('deny'),
      },
    ];
  });

export const readSshTests = (
  problems: Problems,
  member: LocatedMember | undefined,
  tables: Tables,
): readonly SshTest[] =>
  readList(problems, member, 'sshTests').flatMap((node, index): SshTest[] => {
    const fields = readFields(problems, node, 'An entry of sshTests', [
      'src',
      'dst',
      'accept',
      'check',
      'deny',
      'srcPostureAttrs',
    ]);
    if (!fields) return [];
    const destinations = readTexts(problems, fields.get('dst'), 'dst');
    for (const target of destinations) checkDestination(problems, target, tables);
    return [
      {
        index,
        at: fields.at,
        source: readText(problems, fields.get('src'), 'src')?.text ?? '',
        postureAttributes: readPostureAttributes(problems, fields.get('srcPostureAttrs')),
        destinations,
        accept: readTexts(problems, fields.get('accept'), 'accept'),
        check: readTexts(problems, fields.get('check'), 'check'),
        deny: readTexts(problems, fields.get('deny'), 'deny'),
      },
    ];
  });

/** One device is logged in to, so a destination is a tag, a user or one address. */
const checkDestination = (problems: Problems, { text, at }: TestTarget, { names }: Tables): void => {
  const refuse = (why: string): void =>
    problems.error(
      'policy/bad-ssh-test',
      at,
      `SSH tests dst contains ${why} ${quote(text)}`,
      'Destinations of SSH tests are tags, users, host aliases of one address, and addresses, without ports.',
    );
  if (text.startsWith('tag:')) {
    if (!names.tags.has(text)) refuse('unknown tag');
    return;
  }
  const literal = names.hosts.get(text)?.literal ?? parseLiteral(text)?.literal;
  const isNetwork = literal !== undefined && (literal.includes('/') || text.includes('/'));
  if (isNetwork || text === '*' || /^(?:autogroup|group|ipset|svc):/.test(text)) refuse('disallowed element');
};

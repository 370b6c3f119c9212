// `ssh`: who may log in where, as whom. And the texts in `users`, nearly all of which are plain login names.

import type { LocatedMember, LocatedNode } from '../config/located.ts';
import type { Tag } from '../base/ids.ts';
import type { SshAccessRule, SshLogin } from './document.ts';
import { formatDuration, parseDuration } from './duration.ts';
import { readFields, readFlag, readList, readText, readTexts, type LocatedText } from './fields.ts';
import { PLACES, readSelector } from './places.ts';
import { quote, type Problems } from './problems.ts';
import { foreignDomainProblem, type Selector } from './selector.ts';
import { readPostureNames, type Tables } from './tables.ts';

const HOUR_MS = 3_600_000;
const DEFAULT_CHECK_MS = 12 * HOUR_MS;
const MAX_CHECK_MS = 168 * HOUR_MS;

export const readSsh = (
  problems: Problems,
  member: LocatedMember | undefined,
  tables: Tables,
  defaultSrcPosture: readonly string[],
): readonly SshAccessRule[] =>
  readList(problems, member, 'ssh').flatMap(
    (node, index) => readRule(problems, node, index, tables, defaultSrcPosture) ?? [],
  );

const readRule = (
  problems: Problems,
  node: LocatedNode,
  index: number,
  tables: Tables,
  defaultSrcPosture: readonly string[],
): SshAccessRule | undefined => {
  const { names } = tables;
  const fields = readFields(problems, node, 'A rule of ssh', [
    'action',
    'src',
    'dst',
    'users',
    'checkPeriod',
    'acceptEnv',
    'recorder',
    'enforceRecorder',
    'srcPosture',
  ]);
  if (!fields) return undefined;
  const { at } = fields;
  const action = readText(problems, fields.get('action'), 'action');
  if (!action || action.text === '') {
    problems.error('policy/bad-ssh-action', action?.at ?? at, 'action must be specified', 'It is "accept" or "check".');
  } else if (action.text !== 'accept' && action.text !== 'check') {
    problems.error(
      'policy/bad-ssh-action',
      action.at,
      `${quote(action.text)} is not a valid action`,
      'It is "accept" or "check", in lower case.',
    );
  }
  const sources = readTexts(problems, fields.get('src'), 'src').flatMap((text) => {
    const prefix = text.text.startsWith('user:*@') ? '[ssh] ' : 'src=';
    return readSelector(problems, text, PLACES.sshSource, prefix, names) ?? [];
  });
  const destinations = readDestinations(problems, readTexts(problems, fields.get('dst'), 'dst'), sources, tables);
  const users = readLogins(problems, fields.get('users'), at, names.domains);
  const checkPeriodMs = readCheckPeriod(problems, readText(problems, fields.get('checkPeriod'), 'checkPeriod'));
  const acceptEnv = readTexts(problems, fields.get('acceptEnv'), 'acceptEnv', true).map((pattern) => {
    if (pattern.text === '') problems.error('policy/empty-accept-env', pattern.at, 'acceptEnv values cannot be empty');
    return pattern.text;
  });
  const own = readPostureNames(problems, readTexts(problems, fields.get('srcPosture'), 'srcPosture'), tables.postures);
  return {
    index,
    at,
    action: action?.text === 'check' ? 'check' : 'accept',
    checkPeriodMs,
    sources,
    srcPosture: own.length > 0 ? own : defaultSrcPosture,
    destinations,
    users,
    acceptEnv,
    recorders: readRecorders(problems, readTexts(problems, fields.get('recorder'), 'recorder'), tables),
    enforceRecorder: readFlag(problems, fields.get('enforceRecorder'), 'enforceRecorder'),
  };
};

const readDestinations = (
  problems: Problems,
  texts: readonly LocatedText[],
  sources: readonly Selector[],
  { names }: Tables,
): Selector[] =>
  texts.flatMap((text) => {
    // Host aliases and misspelled names alike get the service's one answer.
    const isName = !/^(?:tag|group|autogroup|user):/.test(text.text) && !text.text.includes('@');
    if (isName) {
      const { code, refusal, help } = PLACES.sshDestination;
      problems.error(code, text.at, refusal(text.text), help);
      return [];
    }
    const selector = readSelector(problems, text, PLACES.sshDestination, '', names);
    if (selector?.kind !== 'user') return selector ?? [];
    const { login } = selector;
    if (sources.every((source) => source.kind === 'user' && source.login === login)) return selector;
    problems.error(
      'policy/bad-ssh-destination',
      text.at,
      'users in dst are only allowed from the same user',
      `Make ${quote(login)} the only source, or use autogroup:self.`,
    );
    return [];
  });

const readLogins = (
  problems: Problems,
  member: LocatedMember | undefined,
  at: SshAccessRule['at'],
  domains: readonly string[],
): SshLogin[] => {
  const texts = readTexts(problems, member, 'users');
  if (texts.length === 0) {
    problems.error(
      'policy/bad-ssh-user',
      member?.value.span ?? at,
      'users must be specified',
      'For example users: ["autogroup:nonroot"].',
    );
  }
  return texts.flatMap((text): SshLogin[] => {
    const name = text.text;
    if (name === '' || name === '*') {
      problems.error(
        'policy/bad-ssh-user',
        text.at,
        `user ${quote(name)} is not valid`,
        'Use autogroup:nonroot for everybody but root.',
      );
      return [];
    }
    if (name === 'autogroup:nonroot') return [{ kind: 'nonroot' }];
    // Without the star, or with nothing after the @, it is a login name like any other.
    const domain = /^localpart:\*@(.+)$/s.exec(name)?.[1];
    if (domain === undefined) return [{ kind: 'login', name }];
    if (domains.includes(domain)) return [{ kind: 'localpart', domain }];
    problems.error(
      'policy/foreign-domain',
      text.at,
      foreignDomainProblem(domain),
      'Only the domains of this tailnet, in their own case.',
    );
    return [];
  });
};

const readCheckPeriod = (problems: Problems, period: LocatedText | undefined): number => {
  if (!period || period.text === '') return DEFAULT_CHECK_MS;
  if (period.text === 'always') return 0;
  const code = 'policy/bad-check-period';
  const ms = parseDuration(period.text);
  if (ms === undefined) {
    problems.error(code, period.at, `time: invalid duration ${quote(period.text)}`, 'For example 12h, 30m or always.');
  } else if (ms < 0) {
    problems.error(code, period.at, `checkPeriod ${formatDuration(ms)} must be a positive duration`);
  } else if (ms > MAX_CHECK_MS) {
    problems.error(code, period.at, `checkPeriod ${formatDuration(ms)} is above the max (168h)`);
  } else return ms;
  return DEFAULT_CHECK_MS;
};

const readRecorders = (problems: Problems, texts: readonly LocatedText[], { names }: Tables): readonly Tag[] =>
  texts.flatMap(({ text, at }) => {
    if (text.startsWith('tag:') && names.tags.has(text)) return [text as Tag];
    problems.error(
      'policy/bad-recorder',
      at,
      text.startsWith('tag:') ? `recorder=tag not found: ${quote(text)}` : 'recorder can only be a tag',
      'Tag the session recorders and list the tag in tagOwners.',
    );
    return [];
  });

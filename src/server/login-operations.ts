// Machines that wait for a person: listed, let in and turned away by an administrator. A code is the beginning of the
// login's name, long enough to be typed safely and told apart.

import { parseLogin, parseTag } from '../base/ids.ts';
import type { Login, Tag } from '../base/ids.ts';
import { accept, refuse } from '../base/outcome.ts';
import type { Outcome } from '../base/outcome.ts';
import type { Control } from '../control/ports.ts';
import type { AdminOperation } from '../http/admin.ts';
import type { LoginAnswer } from '../http/answers.ts';
import type { LoginRecord } from '../registry/record.ts';
import { describeNode } from './node-operations.ts';
import type { Parts } from './parts.ts';

const CODE_LENGTH = 8;

const text = (value: unknown): string => (typeof value === 'string' ? value : '');

export const machineOf = ({ hostinfo }: LoginRecord): { hostname: string; os: string; version: string } => ({
  hostname: text(hostinfo['Hostname']),
  os: text(hostinfo['OS']),
  version: text(hostinfo['IPNVersion']),
});

/** The tags that the machine asks for; with them it belongs to nobody. */
export const wishedTags = ({ hostinfo }: LoginRecord): readonly string[] => {
  const tags = hostinfo['RequestTags'];
  return Array.isArray(tags) ? tags.filter((tag) => typeof tag === 'string') : [];
};

export const codeOf = ({ id }: LoginRecord): string =>
  `${id.slice(0, CODE_LENGTH / 2)}-${id.slice(CODE_LENGTH / 2, CODE_LENGTH)}`.toUpperCase();

const answerOf = (login: LoginRecord): LoginAnswer => ({
  code: codeOf(login),
  ...machineOf(login),
  remote: login.remote,
  created: new Date(login.createdMs).toISOString(),
  expires: new Date(login.expiresMs).toISOString(),
  state: login.state,
});

export const loginOperations = (parts: Parts, control: Control): readonly AdminOperation[] => {
  const waiting = (): LoginRecord[] =>
    [...parts.registry.view.logins.values()].filter(
      ({ state, expiresMs }) => state === 'pending' && expiresMs > parts.now(),
    );

  const find = (code: string): Outcome<LoginRecord> => {
    const wanted = code.replaceAll('-', '').toUpperCase();
    const found = wanted.length < CODE_LENGTH ? [] : waiting().filter(({ id }) => id.toUpperCase().startsWith(wanted));
    if (found.length === 1) return accept(found[0] as LoginRecord);
    return refuse('http/not-found', `No machine waits with the code «${code}»; it may have been too long ago.`);
  };

  const owner = (user: unknown): Outcome<Login> => {
    const people = parts.snapshot().users.filter(({ disabled }) => !disabled);
    const named = parseLogin(text(user));
    if (user === undefined && people.length === 1) return accept((people[0] as { login: Login }).login);
    if (user === undefined) return refuse('http/bad-request', 'Say whose machine it is: --user alice@example.com.');
    const person = named && parts.snapshot().userByLogin.get(named.toLowerCase());
    if (!person || person.disabled)
      return refuse('http/bad-request', `«${text(user)}» is not an active person of users.json5.`);
    return accept(person.login);
  };

  return [
    { method: 'get', path: '/logins', run: () => accept(waiting().map(answerOf)) },
    {
      method: 'post',
      path: '/logins/:code/approve',
      run: async ({ params, body }) => {
        const login = find(params['code'] ?? '');
        if (!login.ok) return login;
        const person = owner(body['user']);
        if (!person.ok) return person;
        const tags = (Array.isArray(body['tags']) ? body['tags'] : []).map((tag) => parseTag(String(tag)));
        if (tags.includes(undefined)) return refuse('http/bad-request', 'A tag looks like tag:server.');
        const outcome = await control.approveLogin(login.value.id, {
          login: person.value,
          ...(tags.length > 0 ? { tags: tags as Tag[] } : {}),
          decidedBy: 'administrator',
          approves: true,
        });
        return outcome.ok ? accept(describeNode(parts, outcome.value)) : outcome;
      },
    },
    {
      method: 'post',
      path: '/logins/:code/deny',
      run: async ({ params }) => {
        const login = find(params['code'] ?? '');
        if (!login.ok) return login;
        const outcome = await control.denyLogin(login.value.id, 'administrator');
        return outcome.ok ? accept(answerOf(outcome.value)) : outcome;
      },
    },
  ];
};

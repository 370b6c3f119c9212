// users.json5: the people of the tailnet, and whom an identity provider may bring along.

import type { Span } from '../base/diagnostic.ts';
import { parseLogin, type Login } from '../base/ids.ts';
import { reportDuplicates, type Reading } from './reading.ts';

export const ROLES = ['owner', 'admin', 'it-admin', 'network-admin', 'billing-admin', 'auditor', 'member'] as const;
export type Role = (typeof ROLES)[number];

export interface DeclaredUser {
  readonly login: Login;
  /** The login where no name is given. */
  readonly displayName: string;
  readonly role: Role;
  /** Ties the person to one subject of the identity provider, so that a reused mail address is not the same person. */
  readonly subject?: string;
  /** Logins that the person had before, the oldest first: what they left on a server is still theirs. */
  readonly formerly: readonly Login[];
  /** A disabled person's nodes are cut off and can't come back. */
  readonly disabled: boolean;
  readonly at: Span;
}

/** Who may join without being listed: anyone whom the identity provider vouches for with a login of the domain. */
export interface DomainRule {
  /** Lower case. */
  readonly domain: string;
  readonly role: Role;
  readonly at: Span;
}

export interface UsersDocument {
  readonly users: readonly DeclaredUser[];
  readonly domainRules: readonly DomainRule[];
}

interface UsersFile {
  readonly users: readonly {
    readonly login: string;
    readonly name?: string;
    readonly role: Role;
    readonly subject?: string;
    readonly formerly?: readonly string[];
    readonly disabled: boolean;
  }[];
  readonly domains: readonly { readonly domain: string; readonly role: Role }[];
}

export const readUsers = (value: unknown, reading: Reading): UsersDocument => {
  const file = value as UsersFile;
  reportDuplicates(
    reading,
    file.users.flatMap(({ login, formerly = [] }, i) => [
      { key: login.toLowerCase(), span: reading.at('users', i, 'login') },
      ...formerly.map((old, j) => ({ key: old.toLowerCase(), span: reading.at('users', i, 'formerly', j) })),
    ]),
    (login) => `The person \`${login}\` is listed twice.`,
  );
  reportDuplicates(
    reading,
    file.users.flatMap(({ subject }, i) =>
      subject === undefined ? [] : [{ key: subject, span: reading.at('users', i, 'subject') }],
    ),
    (subject) => `The subject \`${subject}\` belongs to two people.`,
  );
  reportDuplicates(
    reading,
    file.domains.map(({ domain }, i) => ({ key: domain.toLowerCase(), span: reading.at('domains', i, 'domain') })),
    (domain) => `The domain \`${domain}\` is listed twice.`,
  );
  return {
    users: file.users.map(({ login, name, role, subject, formerly = [], disabled }, i) => ({
      login: parseLogin(login) as Login,
      displayName: name ?? login,
      role,
      ...(subject === undefined ? {} : { subject }),
      formerly: formerly.map((old) => parseLogin(old) as Login),
      disabled,
      at: reading.at('users', i),
    })),
    domainRules: file.domains.map(({ domain, role }, i) => ({
      domain: domain.toLowerCase(),
      role,
      at: reading.at('domains', i),
    })),
  };
};

// Who a login stands for: a person of users.json5, or one of a domain whose people may come in without being listed.

import type { Login, UserId } from '../base/ids.ts';
import type { Role } from '../config/users.ts';
import type { Snapshot } from './snapshot.ts';
import { userIdOf } from './user.ts';

export interface Person {
  readonly id: UserId;
  readonly login: Login;
  readonly displayName: string;
  readonly role: Role;
  readonly disabled: boolean;
}

/** By the login that they have or had. A disabled person too: who asks has to look. */
export const findPerson = (snapshot: Snapshot, login: Login): Person | undefined => {
  const name = login.toLowerCase();
  const declared = snapshot.userByLogin.get(name) ?? snapshot.userByFormerLogin.get(name);
  if (declared) return declared;
  const domain = login.slice(login.lastIndexOf('@') + 1).toLowerCase();
  const rule = snapshot.domainRules.find((rule) => rule.domain === domain);
  return rule && { id: userIdOf(login), login, displayName: login, role: rule.role, disabled: false };
};

/** The login that the person has now; of somebody unknown, the same. */
export const currentLogin = (snapshot: Snapshot, login: Login): Login => findPerson(snapshot, login)?.login ?? login;

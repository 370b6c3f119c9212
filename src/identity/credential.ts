// API credentials: `tpkey-api-<id>-<secret>`, declared in keys.json5 by hash. One acts for a person, within its scopes; what the
// person may decide follows from their role, each time anew from the snapshot that serves then.

import type { Login } from '../base/ids.ts';
import { accept, refuse, type Outcome } from '../base/outcome.ts';
import type { Role } from '../config/users.ts';
import { findPerson } from '../snapshot/person.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { isSecretOf, parseToken } from './token.ts';

/** What a credential can be used for: machines that wait, and shells that want a confirmation. `all` is both, and more. */
export type Scope = 'logins' | 'shells';

/** A person who decides. An identity provider will make them as well: nothing here says how they proved who they are. */
export interface Actor {
  readonly login: Login;
  readonly displayName: string;
  readonly role: Role;
  readonly scopes: readonly string[];
  /** For the log: which credential it was. Not secret. */
  readonly via: string;
}

/** Answers who acts, whenever it is asked: what is withdrawn in between acts for nobody. */
export type Proof = () => Outcome<Actor>;

export interface CredentialPorts {
  readonly now: () => number;
  readonly snapshot: () => Snapshot;
}

/** One sentence for all who don't have the secret, whatever is wrong. */
const UNKNOWN = refuse('identity/credential-unknown', 'This credential is not known here. Copy the whole of it.');

const actorOf = (id: string, sha256: string, { now, snapshot }: CredentialPorts): Outcome<Actor> => {
  const serving = snapshot();
  const declared = serving.apiCredentials.get(id);
  if (declared?.sha256 !== sha256) return UNKNOWN;
  if (declared.expiresMs !== null && declared.expiresMs <= now()) {
    const day = new Date(declared.expiresMs).toISOString().slice(0, 10);
    return refuse('identity/credential-expired', `The credential expired on ${day}.`);
  }
  if (declared.owner === undefined) {
    return refuse('identity/credential-limited', 'The credential acts for tags; only a person can decide here.');
  }
  const person = findPerson(serving, declared.owner);
  if (!person || person.disabled) {
    return refuse('identity/credential-limited', `${declared.owner} is not an active person of this tailnet.`);
  }
  const { login, displayName, role } = person;
  return accept({ login, displayName, role, scopes: declared.scopes, via: `credential ${id}` });
};

/** Takes what somebody pasted. An unknown id costs the same work as a wrong secret, and only who has the secret learns more. */
export const proveByCredential = (text: string, ports: CredentialPorts): Outcome<Proof> => {
  const token = parseToken('api', text.trim());
  if (!token) return UNKNOWN;
  const declared = ports.snapshot().apiCredentials.get(token.id);
  if (!isSecretOf(token, declared?.sha256) || !declared) return UNKNOWN;
  const { id, sha256 } = declared;
  const proof: Proof = () => actorOf(id, sha256, ports);
  const actor = proof();
  return actor.ok ? accept(proof) : actor;
};

/** Whether anybody could decide within the scope by a credential. */
export const isDecidable = (scope: Scope, ports: CredentialPorts): boolean =>
  [...ports.snapshot().apiCredentials.values()].some(({ id, sha256 }) => {
    const actor = actorOf(id, sha256, ports);
    return actor.ok && mayDecide(actor.value, scope, actor.value.login).ok;
  });

/** The roles that may let in any machine and confirm any shell. */
const ADMINISTRATORS: ReadonlySet<Role> = new Set<Role>(['owner', 'admin']);

export const isAdministrator = ({ role }: Pick<Actor, 'role'>): boolean => ADMINISTRATORS.has(role);

/** Whether the actor may decide for this person (null: for what belongs to nobody). */
export const mayDecide = (actor: Actor, scope: Scope, person: Login | null): Outcome<void> => {
  if (!actor.scopes.includes(scope) && !actor.scopes.includes('all')) {
    return refuse('identity/credential-limited', `The credential lacks the scope «${scope}».`);
  }
  if (isAdministrator(actor) || person?.toLowerCase() === actor.login.toLowerCase()) return accept(undefined);
  return refuse('identity/not-yours', 'This is not yours to decide; an administrator can.');
};

// users.json5: the people of the tailnet, and whom an identity provider may bring along.

import type { Span } from '../base/diagnostic.ts';
import type { Login } from '../base/ids.ts';

export const ROLES = ['owner', 'admin', 'it-admin', 'network-admin', 'billing-admin', 'auditor', 'member'] as const;
export type Role = (typeof ROLES)[number];

export interface DeclaredUser {
  readonly login: Login;
  /** The login where no name is given. */
  readonly displayName: string;
  readonly role: Role;
  /** Ties the person to one subject of the identity provider, so that a reused mail address is not the same person. */
  readonly subject?: string;
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
  readonly domains: readonly DomainRule[];
}

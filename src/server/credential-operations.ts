// What an administrator may ask about API credentials, by the socket: which there are. They are declared in keys.json5 alone,
// so making and withdrawing one is an edit (source-operations.ts).

import { accept } from '../base/outcome.ts';
import type { DeclaredApiCredential } from '../config/keys.ts';
import type { AdminOperation } from '../http/admin.ts';
import type { CredentialAnswer } from '../http/answers.ts';
import { findPerson } from '../snapshot/person.ts';
import type { Parts } from './parts.ts';

const stateOf = (parts: Parts, { owner, expiresMs }: DeclaredApiCredential): CredentialAnswer['state'] => {
  if (expiresMs !== null && expiresMs <= parts.now()) return 'expired';
  if (owner === undefined) return 'usable';
  const person = findPerson(parts.snapshot(), owner);
  return person && !person.disabled ? 'usable' : 'without person';
};

export const credentialOperations = (parts: Parts): readonly AdminOperation[] => [
  {
    method: 'get',
    path: '/credentials',
    run: () =>
      accept(
        [...parts.snapshot().apiCredentials.values()].map((credential): CredentialAnswer => ({
          id: credential.id,
          user: credential.owner ?? null,
          tags: credential.tags,
          scopes: credential.scopes,
          expires: credential.expiresMs === null ? null : new Date(credential.expiresMs).toISOString(),
          state: stateOf(parts, credential),
          description: credential.description,
        })),
      ),
  },
];

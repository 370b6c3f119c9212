// Pre-auth keys: `tpkey-auth-<id>-<secret>`, with which machines join. What one grants, and what a person is told when it
// does not work.

import type { Login, Tag } from '../base/ids.ts';
import { accept, refuse, type Outcome } from '../base/outcome.ts';
import type { Secret } from '../base/secret.ts';
import type { DeclaredAuthKey } from '../config/keys.ts';
import type { Random } from '../keys/crypto.ts';
import type { KeyId, KeyRecord } from '../registry/record.ts';
import type { RegistryView } from '../registry/registry.ts';
import { createToken, isSecretOf, parseToken } from './token.ts';

export interface NewKey {
  /** Whose nodes the key makes; null exactly when `tags` is not empty. */
  readonly login: Login | null;
  readonly tags: readonly Tag[];
  readonly reusable: boolean;
  readonly ephemeral: boolean;
  readonly preapproved: boolean;
  readonly expiresMs: number | null;
  readonly description: string;
}

/** What a key gives to the node that shows it. */
export interface KeyGrant {
  readonly key: { readonly id: KeyId; readonly reusable: boolean };
  readonly login: Login | null;
  readonly tags: readonly Tag[];
  readonly ephemeral: boolean;
  readonly preapproved: boolean;
}

/** A new key: its text, to be shown once, and the record to apply as `create-key`. */
export const createAuthKey = (
  wish: NewKey,
  nowMs: number,
  random: Random,
): { readonly text: Secret<string>; readonly record: KeyRecord } => {
  const { text, id, sha256 } = createToken('auth', random);
  return { text, record: { id, sha256, ...wish, createdMs: nowMs, revokedMs: null } };
};

/**
 * Looks up what a key grants. Reads only: the key is spent by the `register` event. An unknown id costs the same work as
 * a wrong secret; only who has the secret learns that a key is used, expired or revoked. A key is still good for the node
 * that is registered by it, and for the machine that joined by it a moment ago: `isOwn` says of a key whether that is so for who
 * asks.
 */
export const checkAuthKey = (
  text: string,
  nowMs: number,
  declared: ReadonlyMap<string, DeclaredAuthKey>,
  view: Pick<RegistryView, 'keys' | 'keyUses'>,
  isOwn: (id: KeyId) => boolean,
): Outcome<KeyGrant> => {
  const token = parseToken('auth', text);
  if (!token) {
    return refuse('identity/key-malformed', 'This is not an auth key of this server: they begin with tpkey-auth-.');
  }
  const { id } = token;
  // A key in git goes over one made at run time: what the tailnet declares is what everybody can read.
  const found = declared.get(id);
  const made = found ? undefined : view.keys.get(id);
  const key = found ?? made;
  const isRight = isSecretOf(token, key?.sha256);
  if (!key) return refuse('identity/key-unknown', 'The server knows no such auth key; it may have been deleted.');
  if (!isRight) return refuse('identity/key-wrong', 'The auth key is not right; copy the whole key again.');
  const grant: KeyGrant = {
    key: { id, reusable: key.reusable },
    login: (found ? found.owner : made?.login) ?? null,
    tags: key.tags,
    ephemeral: key.ephemeral,
    preapproved: key.preapproved,
  };
  if (isOwn(id)) return accept(grant);
  if (made && made.revokedMs !== null) return refuse('identity/key-revoked', 'The auth key was revoked.');
  if (key.expiresMs !== null && key.expiresMs <= nowMs) {
    return refuse(
      'identity/key-expired',
      `The auth key expired on ${new Date(key.expiresMs).toISOString().slice(0, 10)}.`,
    );
  }
  if (!key.reusable && (view.keyUses.get(id)?.count ?? 0) > 0) {
    return refuse('identity/key-used', 'The auth key was made for one use and has been used.');
  }
  return accept(grant);
};

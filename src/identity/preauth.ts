// Pre-auth keys: `tpkey-auth-<id>-<secret>`. The secret is shown once, when the key is made; only its SHA-256 is kept, in
// keys.json5 or in the registry. A secret has 160 random bits, so a fast hash is enough: there is nothing to guess.

import type { Login, Tag } from '../base/ids.ts';
import type { Outcome } from '../base/outcome.ts';
import type { Secret } from '../base/secret.ts';
import type { DeclaredAuthKey } from '../config/keys.ts';
import type { Random } from '../keys/crypto.ts';
import type { KeyId, KeyRecord } from '../registry/record.ts';
import type { RegistryView } from '../registry/registry.ts';

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
export declare const createAuthKey: (
  wish: NewKey,
  nowMs: number,
  random: Random,
) => { readonly text: Secret<string>; readonly record: KeyRecord };

/**
 * Looks up what a key grants. Reads only: the key is spent by the `register` event. An unknown id costs the same work as
 * a wrong secret; only who has the secret learns that a key is used, expired or revoked. A spent key is still accepted
 * for `registeredBy`, the key by which the asking node is already registered.
 */
export declare const checkAuthKey: (
  text: string,
  nowMs: number,
  declared: ReadonlyMap<string, DeclaredAuthKey>,
  view: Pick<RegistryView, 'keys' | 'keyUses'>,
  registeredBy: KeyId | null,
) => Outcome<KeyGrant>;

// Pre-auth keys: `tpkey-auth-<id>-<secret>`. The secret is shown once, when the key is made; only its SHA-256 is kept, in
// keys.json5 or in the registry. A secret has 160 random bits, so a fast hash is enough: there is nothing to guess.

import { createHash, timingSafeEqual } from 'node:crypto';
import { formatBase32, utf8 } from '../base/bytes.ts';
import type { Login, Tag } from '../base/ids.ts';
import { accept, refuse, type Outcome } from '../base/outcome.ts';
import { Secret } from '../base/secret.ts';
import type { DeclaredAuthKey } from '../config/keys.ts';
import type { Random } from '../keys/crypto.ts';
import { parseKeyId, type KeyId, type KeyRecord } from '../registry/record.ts';
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

const PREFIX = 'tpkey-auth-';
const ID_BYTES = 10;
const SECRET_BYTES = 20;
const MAX_TEXT = 256;

/** Lower-case base32 has no dash, so the parts of a key can be told apart, and a double click selects all of it. */
const randomText = (random: Random, sizeBytes: number): string => formatBase32(random(sizeBytes)).toLowerCase();

/** SHA-256 of a secret's text, 64 hex digits: what keys.json5 and the registry keep. */
export const hashSecret = (secret: string): string => createHash('sha256').update(utf8(secret)).digest('hex');

/** A new key: its text, to be shown once, and the record to apply as `create-key`. */
export const createAuthKey = (
  wish: NewKey,
  nowMs: number,
  random: Random,
): { readonly text: Secret<string>; readonly record: KeyRecord } => {
  const id = randomText(random, ID_BYTES) as KeyId;
  const secret = randomText(random, SECRET_BYTES);
  return {
    text: new Secret(`${PREFIX}${id}-${secret}`),
    record: { id, sha256: hashSecret(secret), ...wish, createdMs: nowMs, revokedMs: null },
  };
};

/** The parts of a key's text; undefined for a text of another form. */
export const parseAuthKey = (text: string): { readonly id: KeyId; readonly secret: Secret<string> } | undefined => {
  if (text.length > MAX_TEXT || !text.startsWith(PREFIX)) return undefined;
  const rest = text.slice(PREFIX.length);
  const dash = rest.indexOf('-');
  const id = parseKeyId(rest.slice(0, Math.max(0, dash)));
  const secret = rest.slice(dash + 1);
  return id !== undefined && /^[A-Za-z0-9_-]+$/.test(secret) ? { id, secret: new Secret(secret) } : undefined;
};

/** Stands in for the hash of a key that doesn't exist: no text has it. */
const NO_HASH = '0'.repeat(64);

const isSecretOf = (secret: Secret<string>, sha256: string): boolean => {
  const expected = Buffer.from(sha256, 'hex');
  const actual = Buffer.from(hashSecret(secret.reveal()), 'hex');
  return expected.length === actual.length && timingSafeEqual(expected, actual);
};

/**
 * Looks up what a key grants. Reads only: the key is spent by the `register` event. An unknown id costs the same work as
 * a wrong secret; only who has the secret learns that a key is used, expired or revoked. A key is still good for the node
 * that is registered by it: `registeredBy` is that key of the node that asks, where it is not expired, or else the key by which the
 * same machine joined a moment ago.
 */
export const checkAuthKey = (
  text: string,
  nowMs: number,
  declared: ReadonlyMap<string, DeclaredAuthKey>,
  view: Pick<RegistryView, 'keys' | 'keyUses'>,
  registeredBy: KeyId | null,
): Outcome<KeyGrant> => {
  const parsed = parseAuthKey(text);
  if (!parsed) {
    return refuse('identity/key-malformed', 'This is not an auth key of this server: they begin with tpkey-auth-.');
  }
  const { id, secret } = parsed;
  // A key in git goes over one made at run time: what the tailnet declares is what everybody can read.
  const found = declared.get(id);
  const made = found ? undefined : view.keys.get(id);
  const key = found ?? made;
  const isRight = isSecretOf(secret, key?.sha256 ?? NO_HASH);
  if (!key) return refuse('identity/key-unknown', 'The server knows no such auth key; it may have been deleted.');
  if (!isRight) return refuse('identity/key-wrong', 'The auth key is not right; copy the whole key again.');
  const grant: KeyGrant = {
    key: { id, reusable: key.reusable },
    login: (found ? found.owner : made?.login) ?? null,
    tags: key.tags,
    ephemeral: key.ephemeral,
    preapproved: key.preapproved,
  };
  if (registeredBy === id) return accept(grant);
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

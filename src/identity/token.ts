// Secrets that people and programs carry: `tpkey-<kind>-<id>-<secret>`. A secret is shown once, when it is made; only its
// SHA-256 is kept, in keys.json5 or in the registry. It has 160 random bits, so a fast hash is enough: there is nothing to guess.

import { createHash, timingSafeEqual } from 'node:crypto';
import { formatBase32, utf8 } from '../base/bytes.ts';
import { Secret } from '../base/secret.ts';
import type { Random } from '../keys/crypto.ts';
import { parseKeyId, type KeyId } from '../registry/record.ts';

/** `auth` joins machines; `api` acts for a person. */
export type TokenKind = 'auth' | 'api';

export interface Token {
  readonly id: KeyId;
  readonly secret: Secret<string>;
}

const ID_BYTES = 10;
const SECRET_BYTES = 20;
const MAX_TEXT = 256;

/** Lower-case base32 has no dash, so the parts can be told apart, and a double click selects all of it. */
const randomText = (random: Random, sizeBytes: number): string => formatBase32(random(sizeBytes)).toLowerCase();

/** SHA-256 of a secret's text, 64 hex digits: what keys.json5 and the registry keep. */
export const hashSecret = (secret: string): string => createHash('sha256').update(utf8(secret)).digest('hex');

/** A new one: its text, to be shown once, and what may be kept of it. */
export const createToken = (
  kind: TokenKind,
  random: Random,
): { readonly text: Secret<string>; readonly id: KeyId; readonly sha256: string } => {
  const id = randomText(random, ID_BYTES) as KeyId;
  const secret = randomText(random, SECRET_BYTES);
  return { text: new Secret(`tpkey-${kind}-${id}-${secret}`), id, sha256: hashSecret(secret) };
};

/** Undefined for a text of another form or kind. */
export const parseToken = (kind: TokenKind, text: string): Token | undefined => {
  const prefix = `tpkey-${kind}-`;
  if (text.length > MAX_TEXT || !text.startsWith(prefix)) return undefined;
  const rest = text.slice(prefix.length);
  const dash = rest.indexOf('-');
  const id = parseKeyId(rest.slice(0, Math.max(0, dash)));
  const secret = rest.slice(dash + 1);
  return id !== undefined && /^[A-Za-z0-9_-]+$/.test(secret) ? { id, secret: new Secret(secret) } : undefined;
};

/** Stands in for the hash of what doesn't exist: no text has it. */
const NO_HASH = '0'.repeat(64);

/** Costs the same for a right secret, a wrong one, and where nothing is known under the id (`sha256` is undefined). */
export const isSecretOf = ({ secret }: Token, sha256: string | undefined): boolean => {
  const expected = Buffer.from(sha256 ?? NO_HASH, 'hex');
  const actual = Buffer.from(hashSecret(secret.reveal()), 'hex');
  return expected.length === actual.length && timingSafeEqual(expected, actual);
};

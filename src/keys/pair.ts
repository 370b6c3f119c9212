// X25519 key pairs: made from random bytes that the caller brings, written and read as `privkey:` text, and never shown by
// accident. Private keys are clamped when they are made (RFC 7748 section 5), so that their text equals that of other tools.

import { formatHex, parseHex } from '../base/bytes.ts';
import { Secret } from '../base/secret.ts';
import { KEY_BYTES, type Crypto } from './crypto.ts';

export interface KeyPair {
  readonly privateKey: Secret<Uint8Array>;
  readonly publicKey: Uint8Array;
}

const PREFIX = 'privkey:';

const clamp = (bytes: Uint8Array): Uint8Array => {
  const key = Uint8Array.from(bytes);
  key[0] = (key[0] as number) & 248;
  key[31] = ((key[31] as number) & 127) | 64;
  return key;
};

/** `random` is 32 fresh random bytes; the private key is a clamped copy of them. */
export const makeKeyPair = (crypto: Crypto, random: Uint8Array): KeyPair => {
  if (random.length !== KEY_BYTES) throw new RangeError(`a key takes ${KEY_BYTES} random bytes, not ${random.length}`);
  const privateKey = clamp(random);
  return { privateKey: new Secret(privateKey), publicKey: crypto.publicOf(privateKey) };
};

/** `privkey:` and 64 hex digits, the form of machine and node keys alike; undefined for anything else, zeros included. */
export const parseKeyPair = (crypto: Crypto, text: string): KeyPair | undefined => {
  if (text.length !== PREFIX.length + 2 * KEY_BYTES || !text.startsWith(PREFIX)) return undefined;
  const bytes = parseHex(text.slice(PREFIX.length));
  return bytes?.some((byte) => byte !== 0) ? makeKeyPair(crypto, bytes) : undefined;
};

export const formatPrivateKey = (pair: KeyPair): Secret<string> =>
  new Secret(`${PREFIX}${formatHex(pair.privateKey.reveal())}`);

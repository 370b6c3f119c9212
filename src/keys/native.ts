// The crypto port on OpenSSL through node:crypto: X25519 some twenty times and records some three times faster than in
// JavaScript (docs/decisions/0004-record-path.md). Raw keys become OpenSSL's by their DER frame of RFC 8410; a private key that is
// used again is parsed once.

import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  hkdfSync,
  type KeyObject,
} from 'node:crypto';

import { concatBytes, formatBase64Url, parseBase64Url, parseHex } from '../base/bytes.ts';
import { AEAD_TAG_BYTES, halves, HASH_BYTES, KEY_BYTES, NO_BYTES, type Crypto } from './crypto.ts';

const PKCS8_HEAD = parseHex('302e020100300506032b656e04220420') as Uint8Array;
const CIPHER = 'chacha20-poly1305';
const HASH = 'blake2s256';
const TAG = { authTagLength: AEAD_TAG_BYTES };

/** Held weakly by the array, so that the memory of a short-lived key goes with it. */
const parsedPrivateKeys = new WeakMap<Uint8Array, KeyObject>();

const privateKeyObject = (raw: Uint8Array): KeyObject => {
  const known = parsedPrivateKeys.get(raw);
  if (known) return known;
  const key = createPrivateKey({ key: Buffer.from(concatBytes(PKCS8_HEAD, raw)), format: 'der', type: 'pkcs8' });
  parsedPrivateKeys.set(raw, key);
  return key;
};

/** As a JWK (RFC 8037) it is taken as it is; DER goes through OpenSSL's search for a decoder. */
const publicKeyObject = (raw: Uint8Array): KeyObject =>
  createPublicKey({ key: { kty: 'OKP', crv: 'X25519', x: formatBase64Url(raw) }, format: 'jwk' });

export const nativeCrypto: Crypto = {
  publicOf: (privateKey) => {
    // OpenSSL worked the public half out when it parsed the private one; a JWK (RFC 8037) is the cheapest way to it.
    const { x } = privateKeyObject(privateKey).export({ format: 'jwk' });
    return parseBase64Url(x as string) as Uint8Array;
  },
  sharedSecret: (privateKey, publicKey) => {
    if (publicKey.length !== KEY_BYTES) return undefined;
    try {
      return diffieHellman({ privateKey: privateKeyObject(privateKey), publicKey: publicKeyObject(publicKey) });
    } catch {
      return undefined;
    }
  },
  seal: (key, nonce, plaintext, associated, out) => {
    const cipher = createCipheriv(CIPHER, key, nonce, TAG);
    if (associated.length > 0) cipher.setAAD(associated, { plaintextLength: plaintext.length });
    out.set(cipher.update(plaintext), 0);
    cipher.final();
    out.set(cipher.getAuthTag(), plaintext.length);
  },
  open: (key, nonce, sealed, associated) => {
    if (sealed.length < AEAD_TAG_BYTES) return undefined;
    const at = sealed.length - AEAD_TAG_BYTES;
    const decipher = createDecipheriv(CIPHER, key, nonce, TAG);
    if (associated.length > 0) decipher.setAAD(associated, { plaintextLength: at });
    decipher.setAuthTag(sealed.subarray(at));
    const plaintext = decipher.update(sealed.subarray(0, at));
    try {
      decipher.final();
    } catch {
      return undefined;
    }
    return plaintext;
  },
  hash: (first, second) => createHash(HASH).update(first).update(second).digest(),
  // The same as three HMACs (RFC 2104), in half the time.
  hkdf: (salt, input) => halves(new Uint8Array(hkdfSync(HASH, input, salt, NO_BYTES, 2 * HASH_BYTES))),
};

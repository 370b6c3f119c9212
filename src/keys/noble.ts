// The crypto port on @noble, in plain JavaScript: the reference that native.ts is held against. The server doesn't load it.

import { chacha20poly1305 } from '@noble/ciphers/chacha.js';
import { x25519 } from '@noble/curves/ed25519.js';
import { blake2s } from '@noble/hashes/blake2.js';
import { hkdf } from '@noble/hashes/hkdf.js';
import { AEAD_TAG_BYTES, HASH_BYTES, halves, NO_BYTES, type Crypto } from './crypto.ts';

export const nobleCrypto: Crypto = {
  publicOf: (privateKey) => x25519.getPublicKey(privateKey),
  sharedSecret: (privateKey, publicKey) => {
    try {
      return x25519.getSharedSecret(privateKey, publicKey);
    } catch {
      return undefined;
    }
  },
  seal: (key, nonce, plaintext, associated, out) => {
    chacha20poly1305(key, nonce, associated).encrypt(plaintext, out);
  },
  open: (key, nonce, sealed, associated) => {
    if (sealed.length < AEAD_TAG_BYTES) return undefined;
    try {
      return chacha20poly1305(key, nonce, associated).decrypt(sealed);
    } catch {
      return undefined;
    }
  },
  hash: (first, second) => blake2s.create().update(first).update(second).digest(),
  hkdf: (salt, input) => halves(hkdf(blake2s, input, salt, NO_BYTES, 2 * HASH_BYTES)),
};

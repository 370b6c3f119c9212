// NaCl's crypto_box: X25519, HSalsa20 and XSalsa20-Poly1305, in the form that relays use: a nonce of 24 bytes, then the box,
// whose 16-byte authenticator comes first (https://nacl.cr.yp.to/box.html, golang.org/x/crypto/nacl/box).

import { hsalsa, xsalsa20poly1305 } from '@noble/ciphers/salsa.js';

import { concatBytes } from '../base/bytes.ts';
import type { Brand } from '../base/ids.ts';
import type { Crypto } from './crypto.ts';

export const BOX_NONCE_BYTES = 24;
export const BOX_TAG_BYTES = 16;
/** By how much a box with its nonce is longer than what it holds. */
export const BOX_OVERHEAD_BYTES = BOX_NONCE_BYTES + BOX_TAG_BYTES;

/** What two parties share; it is the same from both sides, so keep it for further boxes. */
export type BoxKey = Brand<Uint8Array, 'BoxKey'>;

const words = (bytes: Uint8Array): Uint32Array => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Uint32Array.from({ length: bytes.length / 4 }, (_, i) => view.getUint32(4 * i, true));
};

const bytesOf = (values: Uint32Array): Uint8Array => {
  const view = new DataView(new ArrayBuffer(values.length * 4));
  for (const [i, value] of values.entries()) view.setUint32(4 * i, value, true);
  return new Uint8Array(view.buffer);
};

const SIGMA = words(new TextEncoder().encode('expand 32-byte k'));

/** Undefined for a public key of low order. */
export const boxKey = (crypto: Crypto, privateKey: Uint8Array, publicKey: Uint8Array): BoxKey | undefined => {
  const shared = crypto.sharedSecret(privateKey, publicKey);
  if (!shared) return undefined;
  const out = new Uint32Array(8);
  hsalsa(SIGMA, words(shared), new Uint32Array(4), out);
  return bytesOf(out) as BoxKey;
};

/** The nonce and the box behind it. A nonce must never be used twice with one key: take 24 random bytes. */
export const sealBox = (key: BoxKey, nonce: Uint8Array, plaintext: Uint8Array): Uint8Array =>
  concatBytes(nonce, xsalsa20poly1305(key, nonce).encrypt(plaintext));

/** What `sealBox` was given; undefined for anything that was not made by it with this key. */
export const openBox = (key: BoxKey, sealed: Uint8Array): Uint8Array | undefined => {
  if (sealed.length < BOX_OVERHEAD_BYTES) return undefined;
  try {
    return xsalsa20poly1305(key, sealed.subarray(0, BOX_NONCE_BYTES)).decrypt(sealed.subarray(BOX_NONCE_BYTES));
  } catch {
    return undefined;
  }
};

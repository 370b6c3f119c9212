// Bytes under a passphrase, for backups that hold private keys: the key comes from scrypt (RFC 7914), the seal is
// XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03). The cost is fixed by the version byte, so that a file from a stranger
// can't ask for more.
//
//   0x01 · 16 bytes of salt · 24 bytes of nonce · ciphertext and tag

import { xchacha20poly1305 } from '@noble/ciphers/chacha.js';
import { scryptAsync } from '@noble/hashes/scrypt.js';
import { concatBytes, utf8 } from '../base/bytes.ts';
import type { Secret } from '../base/secret.ts';
import type { Random } from './crypto.ts';

const VERSION = 1;
const SALT_BYTES = 16;
const NONCE_BYTES = 24;
const TAG_BYTES = 16;
const HEAD_BYTES = 1 + SALT_BYTES + NONCE_BYTES;
/** 128 MiB of memory and about half a second: N · r · 128 bytes. */
const COST = { N: 2 ** 17, r: 8, p: 1, dkLen: 32 } as const;

// The same text typed on two keyboards may differ in form: RFC 8265 section 4.2.2 asks for NFC.
const deriveKey = (passphrase: Secret<string>, salt: Uint8Array): Promise<Uint8Array> =>
  scryptAsync(utf8(passphrase.reveal().normalize('NFC')), salt, COST);

/** `associated` is protected against change but not hidden. */
export const sealUnderPassphrase = async (
  random: Random,
  passphrase: Secret<string>,
  plaintext: Uint8Array,
  associated: Uint8Array,
): Promise<Uint8Array> => {
  const salt = random(SALT_BYTES);
  const nonce = random(NONCE_BYTES);
  const key = await deriveKey(passphrase, salt);
  const sealed = xchacha20poly1305(key, nonce, associated).encrypt(plaintext);
  return concatBytes(Uint8Array.of(VERSION), salt, nonce, sealed);
};

/** Undefined if the passphrase or any bit of the rest is not right. */
export const openWithPassphrase = async (
  passphrase: Secret<string>,
  sealed: Uint8Array,
  associated: Uint8Array,
): Promise<Uint8Array | undefined> => {
  if (sealed.length < HEAD_BYTES + TAG_BYTES || sealed[0] !== VERSION) return undefined;
  const key = await deriveKey(passphrase, sealed.subarray(1, 1 + SALT_BYTES));
  try {
    const nonce = sealed.subarray(1 + SALT_BYTES, HEAD_BYTES);
    return xchacha20poly1305(key, nonce, associated).decrypt(sealed.subarray(HEAD_BYTES));
  } catch {
    return undefined;
  }
};

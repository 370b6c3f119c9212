// The six functions that the control protocol rests on, as a port: X25519 (RFC 7748), ChaCha20-Poly1305 (RFC 8439),
// BLAKE2s-256 (RFC 7693) and HKDF with it (RFC 5869). This file holds the port, native.ts the backend that serves traffic,
// noble.ts the reference; a property test holds the two against each other.

export const KEY_BYTES = 32;
export const AEAD_NONCE_BYTES = 12;
export const AEAD_TAG_BYTES = 16;
export const HASH_BYTES = 32;

export interface Crypto {
  /** X25519 of a private key and the base point. A backend may remember a private key by its array: never change one. */
  readonly publicOf: (privateKey: Uint8Array) => Uint8Array;
  /** X25519 of two keys; undefined where the result is all zeros, which only a public key of low order gives. */
  readonly sharedSecret: (privateKey: Uint8Array, publicKey: Uint8Array) => Uint8Array | undefined;
  /** Writes ciphertext and tag into `out`, which is exactly 16 bytes longer than `plaintext` and shares no memory with it. */
  readonly seal: (
    key: Uint8Array,
    nonce: Uint8Array,
    plaintext: Uint8Array,
    associated: Uint8Array,
    out: Uint8Array,
  ) => void;
  /** The plaintext, in memory of its own; undefined if key, nonce, associated data or any bit of `sealed` is not right. */
  readonly open: (
    key: Uint8Array,
    nonce: Uint8Array,
    sealed: Uint8Array,
    associated: Uint8Array,
  ) => Uint8Array | undefined;
  /** BLAKE2s-256 of the two parts in a row. */
  readonly hash: (first: Uint8Array, second: Uint8Array) => Uint8Array;
  /** HKDF with BLAKE2s-256 and empty info: two keys of 32 bytes, which is HKDF of the Noise framework. */
  readonly hkdf: (salt: Uint8Array, input: Uint8Array) => readonly [Uint8Array, Uint8Array];
}

/** Fills an array of the given size with bytes that nobody can guess. Rooms that need some take this as an argument. */
export type Random = (sizeBytes: number) => Uint8Array;

export const NO_BYTES: Uint8Array = new Uint8Array(0);

/** The two keys that HKDF gives. */
export const halves = (keys: Uint8Array): readonly [Uint8Array, Uint8Array] => [
  keys.slice(0, HASH_BYTES),
  keys.slice(HASH_BYTES),
];

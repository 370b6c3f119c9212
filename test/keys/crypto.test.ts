// The native backend against the reference: two independent implementations that agree on every input.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { formatHex, parseHex } from '../../src/base/bytes.ts';
import { AEAD_TAG_BYTES, type Crypto } from '../../src/keys/crypto.ts';
import { nobleCrypto } from '../../src/keys/noble.ts';
import { nativeCrypto } from '../../src/keys/native.ts';

const hex = (text: string): Uint8Array => parseHex(text)!;
const bytes = (sizeBytes: number) => fc.uint8Array({ minLength: sizeBytes, maxLength: sizeBytes });
const some = (maxLength: number) => fc.uint8Array({ maxLength });

const seal = (crypto: Crypto, key: Uint8Array, nonce: Uint8Array, plaintext: Uint8Array, associated: Uint8Array) => {
  const out = new Uint8Array(plaintext.length + AEAD_TAG_BYTES);
  crypto.seal(key, nonce, plaintext, associated, out);
  return out;
};

test('a clamped private key gives its published public key', () => {
  const privateKey = hex('000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e5f');
  for (const crypto of [nobleCrypto, nativeCrypto])
    assert.equal(
      formatHex(crypto.publicOf(privateKey)),
      '8f40c5adb68f25624ae5b214ea767a6ec94d829d3d7b5e1ad1ba6f3e2138285f',
    );
});

test('law: X25519 agrees, and both sides of an exchange get the same', () => {
  fc.assert(
    fc.property(bytes(32), bytes(32), (a, b) => {
      const publicB = nobleCrypto.publicOf(b);
      assert.deepEqual(new Uint8Array(nativeCrypto.publicOf(b)), publicB);
      const shared = nobleCrypto.sharedSecret(a, publicB)!;
      assert.deepEqual(new Uint8Array(nativeCrypto.sharedSecret(a, publicB)!), shared);
      assert.deepEqual(new Uint8Array(nativeCrypto.sharedSecret(b, nativeCrypto.publicOf(a))!), shared);
    }),
    { numRuns: 50 },
  );
});

test('public keys of low order, and of a wrong size, give no secret', () => {
  const lowOrder = [
    '0000000000000000000000000000000000000000000000000000000000000000',
    '0100000000000000000000000000000000000000000000000000000000000000',
    'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
    '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
    'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    '',
    '8f40c5',
  ];
  const privateKey = new Uint8Array(32).fill(9);
  for (const crypto of [nobleCrypto, nativeCrypto])
    for (const publicKey of lowOrder)
      assert.equal(crypto.sharedSecret(privateKey, hex(publicKey)), undefined, publicKey);
});

test('law: sealed by one, opened by the other; one changed bit opens nothing', () => {
  fc.assert(
    fc.property(bytes(32), bytes(12), some(300), some(40), fc.nat(), (key, nonce, plaintext, associated, at) => {
      const sealed = seal(nobleCrypto, key, nonce, plaintext, associated);
      assert.deepEqual(seal(nativeCrypto, key, nonce, plaintext, associated), sealed);
      const broken = Uint8Array.from(sealed);
      broken[at % broken.length]! ^= 1 << (at % 8);
      for (const crypto of [nobleCrypto, nativeCrypto]) {
        assert.deepEqual(new Uint8Array(crypto.open(key, nonce, sealed, associated)!), plaintext);
        assert.equal(crypto.open(key, nonce, broken, associated), undefined);
        assert.equal(crypto.open(key, nonce, sealed.subarray(0, 15), associated), undefined);
      }
    }),
  );
});

test('law: hashes agree', () => {
  fc.assert(
    fc.property(some(200), some(200), (a, b) => {
      assert.deepEqual(new Uint8Array(nativeCrypto.hash(a, b)), nobleCrypto.hash(a, b));
      assert.deepEqual(nativeCrypto.hkdf(a, b), nobleCrypto.hkdf(a, b));
    }),
  );
});

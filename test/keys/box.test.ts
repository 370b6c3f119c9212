// NaCl boxes against the vectors of a relay's handshake, and sealed secrets.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { inspect } from 'node:util';

import fc from 'fast-check';

import { formatHex, parseHex, utf8 } from '../../src/base/bytes.ts';
import { Secret } from '../../src/base/secret.ts';
import { boxKey, openBox, sealBox } from '../../src/keys/box.ts';
import { nobleCrypto } from '../../src/keys/noble.ts';
import { nativeCrypto } from '../../src/keys/native.ts';
import { formatPrivateKey, makeKeyPair, parseKeyPair } from '../../src/keys/pair.ts';
import { isSealed, openSecret, sealSecret } from '../../src/keys/sealed.ts';
import { formatMachineKey } from '../../src/keys/text.ts';

const hex = (text: string): Uint8Array => parseHex(text)!;

const client = hex('808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e5f');
const server = hex('a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbe7f');
const clientPublic = hex('493e82fc74464a59268817623d2053c5eb8e2cc4a988b4fee179ec6b010d531d');
const serverPublic = hex('605a725d2a4adfeeb1a29e17edd621c1b7593ee8cdbc44ac6c4ab6e2f805d23c');

test('both sides of a box have the same key', () => {
  for (const crypto of [nobleCrypto, nativeCrypto]) {
    const key = boxKey(crypto, server, clientPublic)!;
    assert.equal(formatHex(key), 'cd2b03b727a72fba0941ce779dd895206e4a68a4585532f82c7a5a3aa6b39ff7');
    assert.deepEqual(boxKey(crypto, client, serverPublic), key);
  }
});

test('a box is the nonce, the authenticator and the ciphertext, as clients make it', () => {
  const key = boxKey(nobleCrypto, server, clientPublic)!;
  const nonce = Uint8Array.from({ length: 24 }, (_, i) => i);
  const box = sealBox(key, nonce, utf8('{"version":2,"CanAckPings":true}'));
  assert.equal(
    formatHex(box),
    '000102030405060708090a0b0c0d0e0f101112131415161758c59e4f7a2055f2385511827293872cdef4aebd9df95faaa8cb04073d2e5f792d1b40edc5a6579be735c08720a7c469',
  );
});

test('law: what was boxed comes out again, and nothing else does', () => {
  const key = boxKey(nobleCrypto, server, clientPublic)!;
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(), (plaintext, at) => {
      const box = sealBox(key, randomBytes(24), plaintext);
      assert.deepEqual(openBox(key, box), plaintext);
      box[at % box.length]! ^= 1 << (at % 8);
      assert.equal(openBox(key, box), undefined);
    }),
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (noise) => {
      assert.equal(openBox(key, noise), undefined);
    }),
  );
});

test('a private key is written and read as privkey text, clamped, and never shown', () => {
  const pair = makeKeyPair(
    nativeCrypto,
    Uint8Array.from({ length: 32 }, (_, i) => i),
  );
  const text = formatPrivateKey(pair);
  assert.equal(text.reveal(), 'privkey:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e5f');
  assert.deepEqual(parseKeyPair(nativeCrypto, text.reveal())?.publicKey, pair.publicKey);
  assert.doesNotMatch(inspect(pair, { depth: 5 }) + JSON.stringify(pair), /1b1c1d|27,28,29|27, 28, 29/);
  for (const wrong of ['', `privkey:${'0'.repeat(64)}`, `privkey:${'1'.repeat(63)}`, `nodekey:${'1'.repeat(64)}`])
    assert.equal(parseKeyPair(nativeCrypto, wrong), undefined, wrong);
});

test('a sealed secret opens for its recipient alone', () => {
  const pair = makeKeyPair(nativeCrypto, randomBytes(32));
  const other = makeKeyPair(nativeCrypto, randomBytes(32));
  const text = sealSecret(nativeCrypto, randomBytes, formatMachineKey(pair.publicKey), new Secret('hunter2 ☃'));
  assert.ok(isSealed(text));
  assert.doesNotMatch(text, /hunter2/);
  assert.equal(openSecret(nativeCrypto, pair, text)?.reveal(), 'hunter2 ☃');
  assert.equal(openSecret(nativeCrypto, other, text), undefined);
  for (const wrong of ['', 'sealed:', 'sealed:AAAA', text.slice(0, -4), text.slice(7)])
    assert.equal(openSecret(nativeCrypto, pair, wrong), undefined, wrong);
});

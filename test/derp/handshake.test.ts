// The handshake's boxes against the vectors of section 15.4 of the protocol notes, which upstream's own code made.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { formatHex, parseHex, utf8 } from '../../src/base/bytes.ts';
import { holdsMeshKey, openClientInfo, sealServerInfo } from '../../src/derp/handshake.ts';
import { boxKey, sealBox, type BoxKey } from '../../src/keys/box.ts';
import { nobleCrypto as crypto } from '../../src/keys/noble.ts';

const bytes = (hex: string): Uint8Array => parseHex(hex) as Uint8Array;
const SERVER_PRIVATE = bytes('a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbe7f');
const CLIENT_PRIVATE = bytes('808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e5f');
const CLIENT_PUBLIC = bytes('493e82fc74464a59268817623d2053c5eb8e2cc4a988b4fee179ec6b010d531d');
const CLIENT_INFO = bytes(
  '493e82fc74464a59268817623d2053c5eb8e2cc4a988b4fee179ec6b010d531d' +
    '000102030405060708090a0b0c0d0e0f1011121314151617' +
    '58c59e4f7a2055f2385511827293872cdef4aebd9df95faaa8cb04073d2e5f792d1b40edc5a6579be735c08720a7c469',
);
const nonce = Uint8Array.from({ length: 24 }, (_, i) => 0x40 + i);

test('a client of the official library is understood and answered', () => {
  const proven = openClientInfo(crypto, SERVER_PRIVATE, CLIENT_INFO);
  assert.equal(formatHex(proven?.publicKey as Uint8Array), formatHex(CLIENT_PUBLIC));
  assert.deepEqual(proven?.info, { version: 2, canAckPings: true, isProber: false });
  assert.equal(
    formatHex(sealServerInfo(proven.shared, nonce)),
    '404142434445464748494a4b4c4d4e4f5051525354555657574a7d183ff6798d26dffe345c10780929a6358b1efdd673dc8421bac9',
  );
});

test('the key does not share memory with the chunk it came in', () => {
  const chunk = Buffer.from(CLIENT_INFO);
  const proven = openClientInfo(crypto, SERVER_PRIVATE, chunk);
  chunk.fill(0);
  assert.deepEqual(proven?.publicKey, CLIENT_PUBLIC);
});

test('a box that another key sealed, a changed bit, a key of low order and text that is no object are refused', () => {
  const shared = boxKey(crypto, CLIENT_PRIVATE, crypto.publicOf(SERVER_PRIVATE)) as BoxKey;
  const said = (text: Uint8Array): Uint8Array => Buffer.concat([CLIENT_PUBLIC, sealBox(shared, nonce, text)]);
  assert.ok(openClientInfo(crypto, SERVER_PRIVATE, said(utf8('{}'))));
  const changed = Uint8Array.from(CLIENT_INFO);
  changed[60] = (changed[60] as number) ^ 1;
  const impostor = Uint8Array.from(CLIENT_INFO);
  impostor[0] = (impostor[0] as number) ^ 1;
  const lowOrder = Uint8Array.from(CLIENT_INFO).fill(0, 0, 32);
  const broken = [changed, impostor, lowOrder, said(utf8('null')), said(utf8('{')), said(Uint8Array.of(0xff))];
  for (const payload of broken) assert.equal(openClientInfo(crypto, SERVER_PRIVATE, payload), undefined);
});

test('the rights of the mesh want the whole key', () => {
  const meshKey = new Uint8Array(32).fill(7);
  const info = { version: 2, canAckPings: false, isProber: false };
  assert.equal(holdsMeshKey({ ...info, meshKey }, meshKey), true);
  assert.equal(holdsMeshKey({ ...info, meshKey: new Uint8Array(32) }, meshKey), false);
  assert.equal(holdsMeshKey(info, meshKey), false);
  assert.equal(holdsMeshKey({ ...info, meshKey }, undefined), false);
});

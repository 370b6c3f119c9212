// Messages and signatures as bytes: what comes from outside never makes the reader throw, run on, or believe what is not signed.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Secret } from '../../src/base/secret.ts';
import { decodeResponse, decodeText, encodeRequest, encodeText } from '../../src/dns/message.ts';
import { decodeName, encodeName } from '../../src/dns/name.ts';
import { signMessage, verifyResponse } from '../../src/dns/signature.ts';

const key = { name: 'k', algorithm: 'hmac-sha256', secret: new Secret(Buffer.alloc(32, 1)) } as const;
const NOW_MS = 1_760_000_000_000;

const label = fc.stringMatching(/^[a-z0-9_-]{1,63}$/);
const names = fc.array(label, { maxLength: 3 }).map((labels) => labels.join('.'));

test('names and texts come back as they went', () => {
  fc.assert(
    fc.property(names, fc.stringMatching(/^[ -~]{0,600}$/), (name, text) => {
      assert.equal(decodeName(encodeName(name) as Uint8Array, 0)?.value, name);
      assert.equal(decodeText(encodeText(text)), text);
    }),
  );
});

test('a name may lead to an earlier one; in a circle, forwards or beyond the end it is none', () => {
  const bytes = Uint8Array.from([1, 97, 0, 1, 98, 0xc0, 0, 0xc0, 7, 1, 99, 0xc0, 9, 0xc0, 60, 5, 97]);
  assert.deepEqual(decodeName(bytes, 3), { value: 'b.a', end: 7 });
  for (const start of [7, 9, 13, 15, 99]) assert.equal(decodeName(bytes, start), undefined);
});

test('bytes of any kind are read or refused, and believed only when they are signed', () => {
  const request = encodeRequest({ id: 9, opcode: 5, question: { name: 'example.com', type: 6 } }) as Uint8Array;
  const { message, mac } = signMessage(key, request, NOW_MS);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      decodeResponse(bytes);
      assert.equal(verifyResponse(key, bytes, mac, NOW_MS).ok, false);
    }),
  );
  // The request itself, thrown back, is signed by the key and still no answer to it.
  assert.equal(verifyResponse(key, message, mac, NOW_MS).ok, false);
  assert.equal(verifyResponse(key, message, new Uint8Array(), NOW_MS).ok, false);
});

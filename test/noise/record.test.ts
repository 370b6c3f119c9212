// Records: any bytes in any pieces come out as the same stream, and a stranger's bytes end it without a trace.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { concatBytes, utf8 } from '../../src/base/bytes.ts';
import { nobleCrypto } from '../../src/keys/noble.ts';
import { nativeCrypto } from '../../src/keys/native.ts';
import { formatChallengeKey } from '../../src/keys/text.ts';
import { decodeEarlyPayload, encodeEarlyPayload } from '../../src/noise/early.ts';
import { MAX_FRAME_BYTES, MAX_PLAINTEXT_BYTES, recordDecoder, recordEncoder } from '../../src/noise/record.ts';

const key = new Uint8Array(32).fill(3);
const drop = (): void => {};

/** Sizes of the frames in a row of records, read from their headers. */
const frameSizes = (bytes: Uint8Array): number[] => {
  const sizes: number[] = [];
  for (let at = 0; at < bytes.length;) {
    const sizeBytes = 3 + bytes[at + 1]! * 256 + bytes[at + 2]!;
    sizes.push(sizeBytes);
    at += sizeBytes;
  }
  return sizes;
};

test('law: what goes in comes out, however it is cut', () => {
  const parts = fc.array(fc.uint8Array({ maxLength: 3000, size: 'max' }), { maxLength: 6 });
  const cuts = fc.array(fc.integer({ min: 1, max: 5000 }), { minLength: 1, maxLength: 20 });
  fc.assert(
    fc.property(fc.array(parts, { maxLength: 4 }), cuts, (writes, cuts) => {
      const encode = recordEncoder(nativeCrypto, key);
      const decoder = recordDecoder(nobleCrypto, key);
      const wire = concatBytes(...writes.map((parts) => encode(parts)));
      const out: Uint8Array[] = [];
      for (let at = 0, i = 0; at < wire.length; i++) {
        const end = at + cuts[i % cuts.length]!;
        assert.ok(decoder.push(wire.subarray(at, end), (plaintext) => void out.push(plaintext)));
        assert.ok(decoder.heldBytes() < MAX_FRAME_BYTES);
        at = end;
      }
      assert.deepEqual(concatBytes(...out), concatBytes(...writes.flat()));
      assert.equal(decoder.heldBytes(), 0);
    }),
    { numRuns: 60 },
  );
});

test('one write is the fewest records, none larger than a frame may be', () => {
  const encode = recordEncoder(nativeCrypto, key);
  const small = Array.from({ length: 100 }, () => utf8('x'.repeat(50)));
  assert.deepEqual(frameSizes(encode(small)), [MAX_FRAME_BYTES, 5000 - MAX_PLAINTEXT_BYTES + 19]);
  assert.deepEqual(frameSizes(encode([new Uint8Array(2 * MAX_PLAINTEXT_BYTES)])), [MAX_FRAME_BYTES, MAX_FRAME_BYTES]);
  assert.deepEqual(frameSizes(encode([])), []);
});

test('an empty record is skipped and counted', () => {
  const tag = new Uint8Array(16);
  nativeCrypto.seal(key, new Uint8Array(12), new Uint8Array(), new Uint8Array(), tag);
  const encode = recordEncoder(nativeCrypto, key);
  encode([utf8('the record whose place the empty one takes')]);
  const decoder = recordDecoder(nativeCrypto, key);
  const out: Uint8Array[] = [];
  const take = (plaintext: Uint8Array): void => void out.push(plaintext);
  assert.ok(decoder.push(concatBytes(Uint8Array.of(4, 0, 16), tag), take));
  assert.deepEqual(out, []);
  assert.ok(decoder.push(encode([utf8('next')]), take));
  assert.deepEqual(concatBytes(...out), utf8('next'));
});

test('what is not the next record ends the stream for good', () => {
  const good = recordEncoder(nativeCrypto, key)([utf8('hello')]);
  const cases: Record<string, Uint8Array> = {
    'another type': Uint8Array.of(3, 0, 20),
    'too long': Uint8Array.of(4, 0x0f, 0xfe),
    'too short for its tag': Uint8Array.of(4, 0, 15),
    'a wrong tag': good.with(good.length - 1, good.at(-1)! ^ 1),
    'a record played twice': concatBytes(good, good),
  };
  for (const [name, bytes] of Object.entries(cases)) {
    const decoder = recordDecoder(nativeCrypto, key);
    assert.equal(decoder.push(bytes, drop), false, name);
    assert.equal(decoder.push(good, drop), false, `${name}, then a good one`);
    assert.equal(decoder.heldBytes(), 0, name);
  }
});

test('law: no byte sequence throws, is taken, or is held beyond one frame', () => {
  const head = fc.constantFrom(Uint8Array.of(), Uint8Array.of(4), Uint8Array.of(4, 0), Uint8Array.of(4, 15, 0));
  fc.assert(
    fc.property(head, fc.array(fc.uint8Array({ maxLength: 6000, size: 'max' }), { maxLength: 5 }), (head, writes) => {
      const decoder = recordDecoder(nativeCrypto, key);
      for (const bytes of [head, ...writes]) {
        decoder.push(bytes, () => assert.fail('a forged record was taken'));
        assert.ok(decoder.heldBytes() < MAX_FRAME_BYTES);
      }
    }),
    { numRuns: 200 },
  );
});

test('an early payload is told from HTTP/2 by its first nine bytes', () => {
  const challenge = formatChallengeKey(new Uint8Array(32).fill(5));
  const payload = encodeEarlyPayload(challenge);
  assert.deepEqual(payload.subarray(0, 9), Uint8Array.of(0xff, 0xff, 0xff, 0x54, 0x53, 0, 0, 0, 95));
  const rest = concatBytes(payload, utf8('then HTTP/2'));
  assert.deepEqual(decodeEarlyPayload(rest), { challenge, sizeBytes: payload.length });
  assert.equal(decodeEarlyPayload(payload.subarray(0, 8)), 'more');
  assert.equal(decodeEarlyPayload(payload.subarray(0, 50)), 'more');
  assert.equal(decodeEarlyPayload(Uint8Array.of(0, 0, 18, 4, 0, 0, 0, 0, 0)), 'none');
});

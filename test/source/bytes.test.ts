// Bytes that somebody else made: packs, commits, signatures, locations. Whatever they are, the answer is a value.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { deflateSync } from 'node:zlib';
import fc from 'fast-check';
import { parseCommit } from '../../src/source/commit.ts';
import { parseLocation } from '../../src/source/location.ts';
import { checkPack, type PackLimits } from '../../src/source/pack.ts';
import { verifySshSignature } from '../../src/source/sshsig.ts';

const LIMITS: PackLimits = { objectBytes: 1000, totalBytes: 2500, objects: 5 };

/** Type and size as gitformat-pack(5) writes them. */
const header = (type: number, size: number): Buffer => {
  const out = [(type << 4) | (size & 15)];
  for (let rest = size >> 4; rest > 0; rest >>= 7) {
    out[out.length - 1] = (out.at(-1) as number) | 128;
    out.push(rest & 127);
  }
  return Buffer.from(out);
};

const pack = (...objects: readonly (readonly [type: number, content: Buffer, said?: number])[]): Buffer => {
  const head = Buffer.alloc(12);
  head.write('PACK', 'latin1');
  head.writeUInt32BE(2, 4);
  head.writeUInt32BE(objects.length, 8);
  const parts = objects.flatMap(([type, content, said = content.length]) => [
    header(type, said),
    ...(type === 7 ? [Buffer.alloc(20)] : []),
    ...(type === 6 ? [Buffer.from([1])] : []),
    deflateSync(content),
  ]);
  const body = Buffer.concat([head, ...parts]);
  return Buffer.concat([body, createHash('sha1').update(body).digest()]);
};

const BLOB = 3;

test('a pack is looked through before it is unpacked', () => {
  const codeOf = (bytes: Uint8Array): string => checkPack(bytes, LIMITS)?.code ?? 'fine';
  const small = Buffer.from('x'.repeat(100));
  const cases: Record<string, [expected: string, bytes: Buffer]> = {
    empty: ['fine', pack()],
    'some objects': ['fine', pack([BLOB, small], [1, small], [7, Buffer.from([1, 2, 3])], [6, Buffer.from([1, 2, 3])])],
    'an object of no bytes': ['fine', pack([BLOB, Buffer.alloc(0)])],
    'an object that says that it is large': ['source/fetch-too-large', pack([BLOB, Buffer.alloc(1001)])],
    'an object that is larger than it says': ['source/fetch-too-large', pack([BLOB, Buffer.alloc(100_000), 10])],
    'an object that is smaller than it says': ['source/protocol', pack([BLOB, small, 500])],
    'a delta whose result is large': ['source/fetch-too-large', pack([7, Buffer.from([1, 0xff, 0xff, 0x7f])])],
    'objects that are large together': [
      'source/fetch-too-large',
      pack(...[1, 2, 3].map(() => [BLOB, Buffer.alloc(900)] as const)),
    ],
    'too many objects': ['source/fetch-too-large', pack(...[1, 2, 3, 4, 5, 6].map(() => [BLOB, small] as const))],
    'cut off': ['source/protocol', pack([BLOB, small]).subarray(0, -5)],
    'one bit wrong': [
      'source/protocol',
      Buffer.from(pack([BLOB, small]).map((byte, i) => (i === 20 ? byte ^ 1 : byte))),
    ],
    'something else': ['source/protocol', Buffer.from('<html>'.repeat(20))],
  };
  for (const [name, [expected, bytes]] of Object.entries(cases)) assert.equal(codeOf(bytes), expected, name);
});

test('no bytes make the readers throw', () => {
  const frame = (body: Uint8Array): Buffer => Buffer.concat([body, createHash('sha1').update(body).digest()]);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.string({ maxLength: 120 }), (bytes, text) => {
      checkPack(bytes, LIMITS);
      checkPack(frame(Buffer.concat([Buffer.from('PACK\0\0\0\u0002\0\0\0\u0003'), bytes])), LIMITS);
      parseCommit(bytes);
      parseCommit(Buffer.concat([Buffer.from(`tree ${'0'.repeat(40)}\nparent `), bytes]));
      const armoured = `-----BEGIN SSH SIGNATURE-----\n${Buffer.concat([Buffer.from('SSHSIG\0\0\0\u0001'), bytes]).toString('base64')}\n-----END SSH SIGNATURE-----`;
      assert.equal(verifySshSignature(armoured, bytes).ok, false);
      verifySshSignature(text, bytes);
      parseLocation(text, false);
      parseLocation(`ssh://${text}`, false);
    }),
    { numRuns: 2000 },
  );
});

test('a signed commit gives back the bytes that were signed, whatever stands in its headers', () => {
  const line = fc
    .stringMatching(/^[a-z ]{1,20}$/)
    .filter((text) => !/^(?:gpgsig|tree|parent|author|committer)/.test(text.trim()) && !text.startsWith(' '));
  fc.assert(
    fc.property(
      fc.array(line, { maxLength: 3 }),
      fc.array(line, { minLength: 1, maxLength: 4 }),
      fc.string(),
      (extra, signature, message) => {
        const head = `tree ${'a'.repeat(40)}\nauthor A <a@example.com> 1 +0000\ncommitter A <a@example.com> 2 +0000\n`;
        const rest = `${extra.map((text) => `x-${text}\n`).join('')}\n${message}`;
        const signed = Buffer.from(`${head}gpgsig ${signature.join('\n ')}\n${rest}`);
        const commit = parseCommit(signed);
        assert.deepEqual(commit?.payload, Buffer.from(head + rest));
        assert.deepEqual(commit.signatures, [signature.join('\n')]);
        assert.equal(commit.message, Buffer.from(message).toString());
      },
    ),
  );
});

import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import {
  formatDiscoKey,
  formatMachineKey,
  formatNlKey,
  formatNodeKey,
  formatShortKey,
  isZeroKey,
  keyBytes,
  parseAttestationKey,
  parseChallengeKey,
  parseDiscoKey,
  parseMachineKey,
  parseNlKey,
  parseNodeKey,
} from '../../src/keys/text.ts';

const HEX = '8f40c5adb68f25624ae5b214ea767a6ec94d829d3d7b5e1ad1ba6f3e2138285f';

test('each kind reads its own prefix and no other', () => {
  const kinds = {
    'mkey:': parseMachineKey,
    'nodekey:': parseNodeKey,
    'discokey:': parseDiscoKey,
    'nlpub:': parseNlKey,
    'chalpub:': parseChallengeKey,
  };
  for (const [own, parse] of Object.entries(kinds))
    for (const prefix of Object.keys(kinds))
      assert.equal(parse(prefix + HEX), prefix === own ? prefix + HEX : undefined, `${own} read ${prefix}`);
});

test('digits of either case are read and lower case is kept', () => {
  assert.equal(parseNodeKey(`nodekey:${HEX.toUpperCase()}`), `nodekey:${HEX}`);
  assert.equal(parseNlKey(`tlpub:${HEX}`), `nlpub:${HEX}`);
  assert.equal(parseAttestationKey(`hwattestpub:04${HEX}${HEX}`), `hwattestpub:04${HEX}${HEX}`);
});

test('what is not exactly a key is refused', () => {
  for (const text of [
    '',
    'nodekey:',
    HEX,
    `nodekey:${HEX}0`,
    `nodekey:${HEX.slice(1)}`,
    `nodekey:${HEX.slice(1)}g`,
    `NODEKEY:${HEX}`,
  ])
    assert.equal(parseNodeKey(text), undefined, text);
});

test('a key of zeros is no key', () => {
  const zero = `nodekey:${'0'.repeat(64)}`;
  assert.equal(parseNodeKey(zero), undefined);
  assert.equal(isZeroKey(zero), true);
  assert.equal(isZeroKey(`nodekey:${HEX}`), false);
  assert.equal(isZeroKey('nodekey:'), false);
});

test('short forms are the ones that clients print', () => {
  assert.equal(formatShortKey(parseNodeKey(`nodekey:${HEX}`)!), '[j0DFr]');
  assert.equal(formatShortKey(parseDiscoKey(`discokey:${HEX}`)!), 'd:8f40c5adb68f2562');
});

test('law: bytes to text to bytes is the identity, and no text throws', () => {
  const bytes = fc.uint8Array({ minLength: 32, maxLength: 32 });
  fc.assert(
    fc.property(bytes, (raw) => {
      for (const format of [formatMachineKey, formatNodeKey, formatDiscoKey, formatNlKey])
        assert.deepEqual(keyBytes(format(raw)), raw);
    }),
  );
  fc.assert(
    fc.property(fc.string(), (text) => {
      assert.equal(parseNodeKey(text), undefined);
      assert.equal(parseMachineKey(`mkey:${text}`), undefined);
    }),
  );
});

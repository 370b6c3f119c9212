// Canonical text of addresses and prefixes, and the laws of IP sets.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatAddress, hostPrefix, parseAddress, parsePrefix, prefixContains } from '../../src/base/address.ts';
import type { Address, Family } from '../../src/base/address.ts';
import {
  formatRange,
  intersectSets,
  ipSetOf,
  ipSetOfRanges,
  setHasAddress,
  setsEqual,
  subtractSets,
  unionSets,
} from '../../src/base/ipset.ts';
import type { IpRange, IpSet } from '../../src/base/ipset.ts';

test('addresses print as Go netip does', () => {
  const cases: [string, string | undefined][] = [
    ['100.64.0.1', '100.64.0.1'],
    ['100.064.0.1', undefined],
    ['256.0.0.1', undefined],
    ['FD7A:115C:A1E0:0:0:0:0:1', 'fd7a:115c:a1e0::1'],
    ['fd7a:115c:a1e0:b1a:0:13:ad2:7300', 'fd7a:115c:a1e0:b1a:0:13:ad2:7300'],
    ['0:0:1:0:0:0:1:0', '0:0:1::1:0'],
    ['::', '::'],
    ['1::', '1::'],
    ['::ffff:1.2.3.4', '1.2.3.4'],
    ['1::2::3', undefined],
    ['1:2:3:4:5:6:7:8:9', undefined],
    ['fe80::1%eth0', undefined],
  ];
  for (const [text, want] of cases) assert.equal(parseAddress(text), want, text);
});

test('prefixes refuse host bits', () => {
  assert.equal(parsePrefix('10.0.0.0/8'), '10.0.0.0/8');
  assert.equal(parsePrefix('10.0.0.1/8'), undefined);
  assert.equal(parsePrefix('10.0.0.0/33'), undefined);
  assert.equal(parsePrefix('10.0.0.0/08'), undefined);
  assert.equal(prefixContains(parsePrefix('10.0.0.0/8')!, parseAddress('10.1.2.3')!), true);
  assert.equal(prefixContains(parsePrefix('10.0.0.0/8')!, hostPrefix(parseAddress('11.1.2.3')!)), false);
});

// A space of 64 addresses per family is small enough that every set relation occurs.
const range: fc.Arbitrary<IpRange> = fc
  .tuple(fc.constantFrom<Family>(4, 6), fc.bigInt(0n, 63n), fc.bigInt(0n, 63n))
  .map(([family, a, b]) => ({ family, first: a < b ? a : b, last: a < b ? b : a }));
const set: fc.Arbitrary<IpSet> = fc.array(range, { maxLength: 6 }).map(ipSetOfRanges);
const everything = ([4, 6] as const).flatMap((family) =>
  Array.from({ length: 64 }, (_, i): Address => formatAddress({ family, bits: BigInt(i) })),
);

test('set algebra agrees with membership', () => {
  fc.assert(
    fc.property(set, set, (a, b) => {
      const union = unionSets(a, b);
      const both = intersectSets(a, b);
      const rest = subtractSets(a, b);
      for (const address of everything) {
        const inA = setHasAddress(a, address);
        const inB = setHasAddress(b, address);
        assert.equal(setHasAddress(union, address), inA || inB);
        assert.equal(setHasAddress(both, address), inA && inB);
        assert.equal(setHasAddress(rest, address), inA && !inB);
      }
      assert.ok(setsEqual(unionSets(rest, both), a));
    }),
  );
});

test('ranges print in the shortest form that filters understand', () => {
  const print = (...members: string[]): string[] => {
    const set = ipSetOf(members as Address[]);
    return [...set.v4, ...set.v6].map(formatRange);
  };
  assert.deepEqual(print('100.64.0.1'), ['100.64.0.1']);
  assert.deepEqual(print('100.64.0.0', '100.64.0.1'), ['100.64.0.0/31']);
  assert.deepEqual(print('100.64.0.1', '100.64.0.2'), ['100.64.0.1-100.64.0.2']);
  assert.deepEqual(print('fd7a::/16', '10.0.0.0/9', '10.128.0.0/9'), ['10.0.0.0/8', 'fd7a::/16']);
});

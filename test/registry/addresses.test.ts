// Which addresses new nodes get.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { prefixContains, type Address, type Prefix } from '../../src/base/address.ts';
import { EMPTY_SET, ipSetOf } from '../../src/base/ipset.ts';
import { addressesFit, nextAddresses } from '../../src/registry/addresses.ts';
import type { Assignment } from '../../src/registry/event.ts';

const assignmentOf = (...prefixes: string[]): Assignment => ({
  prefixes: prefixes as Prefix[],
  reservedAddresses: EMPTY_SET,
  reservedNames: new Set(),
});

const CGNAT = assignmentOf('100.64.0.0/10', 'fd7a:115c:a1e0::/48');

const after = (
  cursor: string | null,
  assignment = CGNAT,
  taken: readonly string[] = [],
): readonly string[] | undefined =>
  nextAddresses(assignment, cursor as Address | null, (address) => taken.includes(address));

const CASES: readonly [what: string, got: readonly string[] | undefined, want: readonly string[] | undefined][] = [
  ['the first', after(null), ['100.64.0.1', 'fd7a:115c:a1e0::1']],
  ['the next', after('100.64.0.1'), ['100.64.0.2', 'fd7a:115c:a1e0::2']],
  [
    'past a taken one of either family',
    after('100.64.0.1', CGNAT, ['100.64.0.2', 'fd7a:115c:a1e0::3']),
    ['100.64.0.4', 'fd7a:115c:a1e0::4'],
  ],
  ['past ::53, which is the resolver', after('100.64.0.82'), ['100.64.0.84', 'fd7a:115c:a1e0::54']],
  ['past 100.100.0.0/24', after('100.99.255.255'), ['100.100.1.0', 'fd7a:115c:a1e0::24:100']],
  ['past 100.100.100.100', after('100.100.100.99'), ['100.100.100.101', 'fd7a:115c:a1e0::24:6465']],
  ['past 100.115.92.0/23', after('100.115.91.255'), ['100.115.94.0', 'fd7a:115c:a1e0::33:5e00']],
  ['from the start again after the last', after('100.127.255.254'), ['100.64.0.1', 'fd7a:115c:a1e0::1']],
  ['from the start where the prefix is a new one', after('192.0.2.7'), ['100.64.0.1', 'fd7a:115c:a1e0::1']],
  ['one family alone', after(null, assignmentOf('10.1.0.0/16')), ['10.1.0.1']],
  ['the other alone', after(null, assignmentOf('fd00:1::/64')), ['fd00:1::1']],
  [
    'IPv4 first, whatever the order',
    after(null, assignmentOf('fd00:1::/64', '10.1.0.0/16')),
    ['10.1.0.1', 'fd00:1::1'],
  ],
  ['none without a prefix', after(null, assignmentOf()), []],
  ['none in a prefix without hosts', after(null, assignmentOf('10.0.0.0/31')), undefined],
  ['none when all are taken', after(null, assignmentOf('10.0.0.0/30'), ['10.0.0.1', '10.0.0.2']), undefined],
  [
    'the cursor’s own, given back, at the very last',
    after('10.0.0.2', assignmentOf('10.0.0.0/29'), ['10.0.0.1', '10.0.0.3', '10.0.0.4', '10.0.0.5', '10.0.0.6']),
    ['10.0.0.2'],
  ],
];

for (const [what, got, want] of CASES) test(what, () => assert.deepEqual(got, want));

test('all addresses are handed out once before any is used again', () => {
  fc.assert(
    fc.property(
      fc.constantFrom('10.0.0.0/28', '100.100.0.240/28', '100.115.93.240/28', '10.0.0.0/29'),
      fc.subarray(Array.from({ length: 16 }, (_, i) => i)),
      fc.nat(15),
      (prefix, declared, start) => {
        const base = prefix.slice(0, prefix.lastIndexOf('.'));
        const first = Number(/\.(\d+)\//.exec(prefix)?.[1]);
        const reserved = declared.map((i) => `${base}.${first + i}` as Address);
        const assignment = { ...assignmentOf(prefix), reservedAddresses: ipSetOf(reserved) };
        const seen = new Set<string>();
        let cursor: Address | null = `${base}.${first + start}` as Address;
        for (;;) {
          const [address]: readonly (Address | undefined)[] =
            nextAddresses(assignment, cursor, (candidate) => seen.has(candidate)) ?? [];
          if (address === undefined) break;
          assert.ok(!seen.has(address) && !reserved.includes(address));
          assert.ok(prefixContains(prefix as Prefix, address));
          seen.add(address);
          cursor = address;
        }
        const hosts = prefix.endsWith('/28') ? 14 : 6;
        const usable = Array.from({ length: hosts }, (_, i) => `${base}.${first + i + 1}`).filter(
          (address) =>
            !reserved.includes(address as Address) &&
            !address.startsWith('100.100.0.') &&
            !address.startsWith('100.115.93.'),
        );
        assert.deepEqual([...seen].sort(), usable.sort());
      },
    ),
  );
});

test('a million addresses on, the next costs no search', () => {
  let looks = 0;
  const addresses = nextAddresses(CGNAT, '100.80.0.0' as Address, () => {
    looks++;
    return false;
  });
  assert.deepEqual(addresses, ['100.80.0.1', 'fd7a:115c:a1e0::10:1']);
  assert.equal(looks, 2);
});

test('addresses fit while there is one in each prefix and none is declared for a node', () => {
  const mine = ['100.64.0.9', 'fd7a:115c:a1e0::9'] as Address[];
  assert.ok(addressesFit(mine, CGNAT));
  assert.ok(!addressesFit(mine, assignmentOf('100.64.0.0/10')), 'a family is not handed out any more');
  assert.ok(!addressesFit(mine.slice(0, 1), CGNAT), 'a family is new');
  assert.ok(!addressesFit(mine, assignmentOf('100.65.0.0/16', 'fd7a:115c:a1e0::/48')), 'a prefix moved');
  assert.ok(!addressesFit(mine, { ...CGNAT, reservedAddresses: ipSetOf([mine[0] as Address]) }), 'one was declared');
});

// Small texts of the language with a grammar of their own: durations, ports, postures and versions, address sets.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { runs } from './runs.ts';
import { formatRange, ipSetOfRanges, ipSetRanges, setsEqual, subtractSets, unionSets } from '../../src/base/ipset.ts';
import type { IpRange } from '../../src/base/ipset.ts';
import { formatDuration, parseDuration } from '../../src/policy/duration.ts';
import { combineEntries } from '../../src/policy/ipset.ts';
import { parseIpEntry, parsePorts, parseProtocol, splitDestination } from '../../src/policy/ports.ts';
import { assertionHolds, compareVersions, parseAssertion } from '../../src/policy/posture.ts';

const HOUR_MS = 3_600_000;
const at = { file: 'policy.json5', start: { line: 1, column: 1, offset: 0 }, end: { line: 1, column: 2, offset: 1 } };

test('durations are read and printed as Go does', () => {
  const cases: [string, number | undefined, string?][] = [
    ['12h', 12 * HOUR_MS, '12h0m0s'],
    ['1h30m', 1.5 * HOUR_MS, '1h30m0s'],
    ['168h0m1s', 168 * HOUR_MS + 1000, '168h0m1s'],
    ['-1m', -60_000, '-1m0s'],
    ['1.5s', 1500, '1.5s'],
    ['20ms', 20, '20ms'],
    ['0', 0, '0s'],
    ['+5m', 300_000, '5m0s'],
    ['abc', undefined],
    ['', undefined],
    ['5', undefined],
    ['1h 2m', undefined],
    ['1d', undefined],
  ];
  for (const [text, ms, printed] of cases) {
    assert.equal(parseDuration(text), ms, text);
    if (ms !== undefined) assert.equal(formatDuration(ms), printed, text);
  }
});

test('ports, protocols and entries of ip', () => {
  const problem = (text: string): string => {
    const parsed = parsePorts(text);
    return parsed.ok ? '' : parsed.problem;
  };
  assert.deepEqual(parsePorts('22,8000-8100,*'), {
    ok: true,
    value: [
      { First: 22, Last: 22 },
      { First: 8000, Last: 8100 },
      { First: 0, Last: 65535 },
    ],
  });
  assert.equal(problem('ssh'), 'port range "ssh": invalid first integer');
  assert.equal(problem('-1'), 'port range "-1": invalid first integer');
  assert.equal(problem('80-x'), 'port range "80-x": invalid last integer');
  assert.equal(problem('0'), 'port range "0": first port must be >0, or use \'*\' for wildcard');
  assert.equal(problem('65536'), 'port range "65536": invalid first integer');
  assert.deepEqual(parseProtocol('6'), parseProtocol('tcp'));
  for (const text of ['TCP', '06', '0', '256', '*', 'constructor']) assert.equal(parseProtocol(text).ok, false, text);
  assert.deepEqual(parseIpEntry('47'), { ok: true, value: { protocol: null, ports: [{ First: 47, Last: 47 }] } });
  assert.deepEqual(parseIpEntry('icmp'), { ok: false, problem: 'port range "icmp": invalid first integer' });
  assert.equal(parseIpEntry('icmp:80').ok, false);
});

test('destinations are split at the last colon, and brackets taken off', () => {
  const cases: [string, string, string][] = [
    ['tag:web:22', 'tag:web', '22'],
    ['[fd7a::1]:22', 'fd7a::1', '22'],
    ['[fd7a::]/64:*', 'fd7a::/64', '*'],
    ['fd7a::1:22', 'fd7a::1', '22'],
    ['autogroup:self', 'autogroup', 'self'],
  ];
  for (const [text, selector, ports] of cases) assert.deepEqual(splitDestination(text), { selector, ports }, text);
  assert.equal(splitDestination('*'), undefined);
});

test('versions are compared by their runs of digits', () => {
  const rising = ['', '1', '1.2', '1.2.3', '1.10', '1.10-rc1', '1.60.0', '2', '10.0.1'];
  for (const [i, a] of rising.entries()) {
    for (const [j, b] of rising.entries())
      assert.equal(Math.sign(compareVersions(a, b)), Math.sign(i - j), `${a} ${b}`);
  }
});

test('assertions of postures', () => {
  const attributes = new Map<string, string | number | boolean>([
    ['node:os', 'linux'],
    ['node:tsVersion', '1.66.1'],
    ['custom:score', 7],
    ['node:tsAutoUpdate', true],
  ]);
  const cases: [string, boolean | undefined][] = [
    ["node:os == 'linux'", true],
    ["node:os != 'linux'", false],
    ["node:os IN ['macOS', 'linux']", true],
    ["node:os NOT IN ['macOS', 'linux']", false],
    ["node:tsVersion >= '1.60'", true],
    ["node:tsVersion < '1.100'", true],
    ['custom:score > 6', true],
    ["custom:score > '6'", false],
    ['node:tsAutoUpdate == true', true],
    ['node:tsAutoUpdate IS SET', true],
    ['ip:country NOT SET', true],
    ["ip:country != 'XX'", false],
    ["ip:country NOT IN ['XX']", false],
    ['ip:country IS SET', false],
    ["node:os = 'linux'", undefined],
    ['node:os == linux', undefined],
    ["node:os IN 'linux'", undefined],
    ["node:os IN ['a' 'b']", undefined],
    ["node:os IS SET 'x'", undefined],
    ["os == 'linux'", undefined],
  ];
  for (const [text, holds] of cases) {
    const assertion = parseAssertion(text, at);
    assert.equal(assertion && assertionHolds(assertion, attributes), holds, text);
  }
});

test('entries of an ip set: one sweep gives what adding and removing in order gives', () => {
  const range = fc
    .tuple(fc.constantFrom<4 | 6>(4, 6), fc.bigInt({ min: 0n, max: 40n }), fc.bigInt({ min: 0n, max: 15n }))
    .map(([family, first, size]): IpRange => ({ family, first, last: first + size }));
  const entry = fc.record({ adds: fc.boolean(), ranges: fc.array(range, { maxLength: 3 }) });
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 8 }), (entries) => {
      const inOrder = entries.reduce((set, { adds, ranges }) => {
        const one = ipSetOfRanges(ranges);
        return adds ? unionSets(set, one) : subtractSets(set, one);
      }, ipSetOfRanges([]));
      const swept = combineEntries(entries);
      assert.ok(setsEqual(swept, inOrder), ipSetRanges(swept).map(formatRange).join(' '));
    }),
    runs(300),
  );
});

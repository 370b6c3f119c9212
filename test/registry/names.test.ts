// MagicDNS labels from what machines call themselves.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isLabel, isNumberedForm, labelOf, uniqueName, wishedLabel } from '../../src/registry/names.ts';

const LABELS: readonly [hostname: string, label: string][] = [
  ['web', 'web'],
  ['Web-Server', 'web-server'],
  ["Alice's MacBook Pro", 'alices-macbook-pro'],
  ['MacBook.local', 'macbook'],
  ['box.lan', 'box'],
  ['db.example.com', 'db-example-com'],
  ['db.example.com.', 'db-example-com'],
  ['under_score', 'under-score'],
  ['Zoë’s Téléphone', 'zoes-telephone'],
  ['--edge--', 'edge'],
  ['a  b', 'a-b'],
  ['日本', 'node'],
  ['', 'node'],
  ['.', 'node'],
  ['x'.repeat(80), 'x'.repeat(63)],
  [`${'x'.repeat(62)}-y`, 'x'.repeat(62)],
];

for (const [hostname, label] of LABELS) {
  test(`«${hostname.slice(0, 30)}» becomes ${label.slice(0, 30)}`, () => assert.equal(labelOf(hostname), label));
}

test('a phone that calls itself localhost is named after its model', () => {
  assert.equal(wishedLabel({ Hostname: 'localhost', DeviceModel: 'Pixel 9 Pro' }), 'pixel-9-pro');
  assert.equal(wishedLabel({ Hostname: 'localhost' }), 'localhost');
  assert.equal(wishedLabel({ Hostname: 7 }), 'node');
});

test('every text gives a label, and a label gives itself', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', maxLength: 300 }), (text) => {
      const label = labelOf(text);
      assert.ok(isLabel(label), label);
      assert.equal(labelOf(label), label);
    }),
  );
});

test('names are numbered without gaps, and stay labels', () => {
  const taken = new Set<string>();
  const label = 'x'.repeat(63);
  for (let n = 0; n < 1200; n++) {
    const name = uniqueName(label, (candidate) => taken.has(candidate));
    assert.ok(isLabel(name) && !taken.has(name));
    assert.ok(isNumberedForm(name, label));
    assert.equal(name, n === 0 ? label : `${label.slice(0, 62 - String(n).length)}-${n}`);
    taken.add(name);
  }
});

test('a thousand machines with one name cost some twenty look-ups, not a thousand', () => {
  let looks = 0;
  const name = uniqueName('ubuntu', (candidate) => {
    looks++;
    return Number(candidate.slice('ubuntu-'.length)) <= 1000 || candidate === 'ubuntu';
  });
  assert.equal(name, 'ubuntu-1001');
  assert.ok(looks < 25, `${looks} look-ups`);
});

test('a name that only looks numbered is not a form of the label', () => {
  assert.equal(isNumberedForm('web-01', 'web'), false);
  assert.equal(isNumberedForm('web-server', 'web'), false);
  assert.equal(isNumberedForm('web-2', 'web'), true);
});

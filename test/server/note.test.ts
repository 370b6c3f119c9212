// How much of the log a client or a stranger can fill.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limitNotes } from '../../src/server/note.ts';

const open = () => {
  let nowMs = 0;
  const lines: [event: string, leftOut: unknown][] = [];
  const note = limitNotes(
    (_level, event, fields) => lines.push([event, fields?.['leftOut']]),
    () => nowMs,
  );
  return { note, lines, pass: (ms: number) => (nowMs += ms) };
};

test('one machine that says something a thousand times fills sixty lines, and the next says how many are missing', () => {
  const { note, lines, pass } = open();
  for (let i = 0; i < 1000; i++) note('info', 'client audit log', { node: 'n1TP', details: 'x'.repeat(4096) });
  assert.equal(lines.length, 60);
  note('info', 'client audit log', { node: 'n2TP' });
  assert.deepEqual(lines.at(-1), ['client audit log', 940], 'another machine is heard');
  note('info', 'client health', { node: 'n1TP' });
  assert.deepEqual(lines.at(-1), ['client health', undefined], 'and another matter');
  pass(10_000);
  for (let i = 0; i < 5; i++) note('info', 'client audit log', { node: 'n1TP' });
  assert.equal(lines.length, 63);
});

test('strangers fill so much from one network, and so much from all of them', () => {
  const { note, lines } = open();
  const refuse = (remote: string): void => note('info', 'registration refused', { remote });
  for (let i = 0; i < 1000; i++) refuse(`2001:db8::${i.toString(16)}`);
  assert.equal(lines.length, 60);
  for (let i = 0; i < 10_000; i++) refuse(`2001:db8:${i.toString(16)}::1`);
  assert.equal(lines.length, 600);
});

test('faults, and what the server does by itself, are told each time', () => {
  const { note, lines } = open();
  for (let i = 0; i < 1000; i++) {
    note('error', 'observation failed', { node: 'n1TP' });
    note('info', 'decided on a page');
  }
  assert.equal(lines.length, 2000);
});

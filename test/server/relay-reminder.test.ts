// When clients are made to measure their relays again.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { createRelayReminder, REMIND_AFTER_MS } from '../../src/server/relay-reminder.ts';

const watch = (t: { mock: typeof test.mock }) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const seen = { relays: 'one', reminders: 0 };
  const reminder = createRelayReminder({ relays: () => seen.relays, measureRelaysAgain: () => seen.reminders++ });
  return { seen, reminder, wait: (ms: number) => t.mock.timers.tick(ms) };
};

test('a revision that leaves the relays as they are reminds nobody', (t) => {
  const { seen, reminder, wait } = watch(t as never);
  reminder.follow();
  wait(REMIND_AFTER_MS);
  assert.equal(seen.reminders, 0);
});

test('after a change, clients are reminded once, when they no longer hold on to what they heard', (t) => {
  const { seen, reminder, wait } = watch(t as never);
  seen.relays = 'two';
  reminder.follow();
  wait(REMIND_AFTER_MS - 1);
  assert.equal(seen.reminders, 0);
  wait(1);
  assert.equal(seen.reminders, 1);
  wait(REMIND_AFTER_MS);
  assert.equal(seen.reminders, 1);
});

test('of two changes, the later counts; none after the end', (t) => {
  const { seen, reminder, wait } = watch(t as never);
  seen.relays = 'two';
  reminder.follow();
  wait(REMIND_AFTER_MS / 2);
  seen.relays = 'three';
  reminder.follow();
  wait(REMIND_AFTER_MS / 2);
  assert.equal(seen.reminders, 0);
  reminder.close();
  wait(REMIND_AFTER_MS);
  assert.equal(seen.reminders, 0);
});

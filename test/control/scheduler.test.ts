// Fairness and timing of the parts that everything in control waits for.

import assert from 'node:assert/strict';
import { mock, test } from 'node:test';

import { createScheduler, type WorkKind } from '../../src/control/scheduler.ts';
import { createWheel } from '../../src/control/wheel.ts';

/** Long enough for every turn of these tests. */
const idle = async (): Promise<void> => {
  for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve));
};
const fail = (fault: unknown): void => assert.fail(String(fault));

test('kinds take turns by their shares, so a storm of maps holds nobody up', async () => {
  const scheduler = createScheduler(1000, fail);
  const order: string[] = [];
  const enter = (kind: WorkKind, count: number): void => {
    for (let i = 0; i < count; i++) scheduler.enter(kind, '', () => order.push(kind));
  };
  enter('map', 4);
  enter('handshake', 5);
  enter('change', 10);
  await idle();
  const rounds = ['8 change 2 handshake 1 map', '2 change 2 handshake 1 map', '1 handshake 1 map', '1 map'];
  const expected = rounds.flatMap((round) =>
    [...round.matchAll(/(\d+) (\w+)/g)].flatMap(([, count, kind]) => Array<string>(Number(count)).fill(kind!)),
  );
  assert.deepEqual(order, expected);
});

test('a crowd is more than twenty machines in a second; changes are no machines', async () => {
  const scheduler = createScheduler(1000, fail);
  for (let i = 0; i < 100; i++) scheduler.enter('change', '', () => {});
  for (let i = 0; i < 20; i++) scheduler.enter('map', '', () => {});
  await idle();
  assert.equal(scheduler.isCrowded(), false);
  scheduler.enter('handshake', '', () => {});
  await idle();
  assert.equal(scheduler.isCrowded(), true);
});

test('lanes take turns, so one address can’t keep others out', async () => {
  const scheduler = createScheduler(1000, fail);
  const order: string[] = [];
  for (let i = 0; i < 50; i++) scheduler.enter('handshake', 'flood', () => order.push('flood'));
  scheduler.enter('handshake', 'person', () => order.push('person'));
  await idle();
  assert.equal(order.indexOf('person'), 1);
});

test('what was taken out does not run, and a task that fails stops nobody', async () => {
  const faults: unknown[] = [];
  const scheduler = createScheduler(1000, (fault) => faults.push(fault));
  const ran: number[] = [];
  const takeOut = scheduler.enter('map', '', () => ran.push(1));
  scheduler.enter('map', '', () => {
    throw new Error('broken');
  });
  const tooLate = scheduler.enter('map', '', () => ran.push(3));
  takeOut();
  assert.equal(scheduler.waiting('map'), 2);
  await idle();
  assert.deepEqual(ran, [3]);
  assert.equal(faults.length, 1);
  tooLate();
  assert.equal(scheduler.waiting('map'), 0);
});

test('after its slice the loop gets back to its sockets', async () => {
  const scheduler = createScheduler(0, fail);
  const order: string[] = [];
  for (let i = 0; i < 3; i++) scheduler.enter('map', '', () => order.push('map'));
  setImmediate(() => order.push('socket'));
  await idle();
  assert.deepEqual(order, ['map', 'socket', 'map', 'map']);
});

test('the wheel runs tasks to the second, and stands still when none waits', () => {
  mock.timers.enable({ apis: ['setInterval'] });
  try {
    const wheel = createWheel(60);
    const ran: string[] = [];
    wheel.after(50_000, () => ran.push('later'));
    const callOff = wheel.after(2000, () => ran.push('never'));
    wheel.after(1400, () => ran.push('soon'));
    callOff();
    mock.timers.tick(1000);
    assert.deepEqual(ran, ['soon']);
    mock.timers.tick(48_000);
    assert.deepEqual(ran, ['soon']);
    mock.timers.tick(1000);
    assert.deepEqual(ran, ['soon', 'later']);
    assert.equal(wheel.waiting(), 0);
    wheel.after(1_000_000, () => ran.push('at most a turn'));
    mock.timers.tick(59_000);
    assert.equal(ran.at(-1), 'at most a turn');
  } finally {
    mock.timers.reset();
  }
});

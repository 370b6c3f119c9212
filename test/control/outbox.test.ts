// When sessions are told: at once, then gathered, and the rarer the longer it takes to tell everybody.

import assert from 'node:assert/strict';
import { performance } from 'node:perf_hooks';
import { test } from 'node:test';

import { createOutbox } from '../../src/control/outbox.ts';
import type { Scheduler } from '../../src/control/scheduler.ts';
import type { Session } from '../../src/control/session.ts';

const cases = [
  { name: 'at rest, a quick pass: the least', crowded: false, passMs: 1, pauseMs: 10 },
  { name: 'at rest, a slow pass: half of it', crowded: false, passMs: 60, pauseMs: 30 },
  { name: 'at rest, a very slow pass: the limit', crowded: false, passMs: 400, pauseMs: 50 },
  { name: 'in a crowd, a quick pass: the least for crowds', crowded: true, passMs: 20, pauseMs: 500 },
  { name: 'in a crowd, a slow pass: a fifth of the time', crowded: true, passMs: 200, pauseMs: 1_000 },
  { name: 'in a crowd, a very slow pass: the limit for crowds', crowded: true, passMs: 3_000, pauseMs: 2_000 },
];

for (const { name, crowded, passMs, pauseMs } of cases) {
  test(name, (t) => {
    let nowMs = 10_000;
    t.mock.method(performance, 'now', () => nowMs);
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const wait = (ms: number): void => {
      nowMs += ms;
      t.mock.timers.tick(ms);
    };
    const scheduler = {
      enter: (_kind, _lane, task) => {
        task();
        return () => {};
      },
      waiting: () => 0,
      isCrowded: () => crowded,
    } satisfies Scheduler;
    const outbox = createOutbox(scheduler, 50, Date.now);
    let asked = 0;
    const session: Pick<Session, 'askedMs' | 'take' | 'write'> = {
      askedMs: -Infinity,
      take: () => {
        asked++;
        return true;
      },
      write: () => {
        nowMs += passMs;
      },
    };

    outbox.wake(session as Session);
    assert.equal(asked, 1, 'the first change goes out at once');
    // As a session that was written just now.
    session.askedMs = nowMs;
    outbox.wake(session as Session);
    wait(pauseMs - 1);
    assert.equal(asked, 1, 'what follows is gathered');
    wait(1);
    assert.equal(asked, 2);
  });
}

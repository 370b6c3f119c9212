// When sessions write. The first change goes out at once; what follows in the next hundredths of a second is gathered, and
// all sessions that gather are served in one pass: netmap then encodes what they share once. The longer a pass takes, the
// longer the next one gathers; and while machines come in crowds, their arrival is told in larger portions, so that those
// who are in don't keep out those who wait.

import { performance } from 'node:perf_hooks';

import type { Scheduler } from './scheduler.ts';
import type { Session } from './session.ts';

/** The least that is gathered for: a client that is told twice in a blink has to work twice. */
const LEAST_MS = 10;
/** What is gathered for while a crowd comes in: so long that telling takes a small part of the time, within bounds. */
const CROWD_LEAST_MS = 500;
const CROWD_MOST_MS = 2_000;
const CROWD_PASSES = 5;

export interface Outbox {
  /** Something is pending for the session. */
  readonly wake: (session: Session) => void;
  /** What is pending now doesn't wait for the crowd: it may take access away. */
  readonly hurry: () => void;
}

export const createOutbox = (scheduler: Scheduler, gatherMs: number, now: () => number): Outbox => {
  let due = new Set<Session>();
  const gathering = new Set<Session>();
  /** From the start of the last pass until its last session was written. */
  let passMs = 0;
  let passStartMs = 0;
  let scheduled = false;
  let timer: NodeJS.Timeout | undefined;
  let gatheredMs = Infinity;

  const pass = (): void => {
    scheduled = false;
    const sessions = due;
    due = new Set();
    passStartMs = performance.now();
    for (const session of sessions) if (session.take(passStartMs)) scheduler.enter('change', '', () => write(session));
  };

  const write = (session: Session): void => {
    session.write(now());
    passMs = performance.now() - passStartMs;
  };

  const schedule = (): void => {
    if (scheduled) return;
    scheduled = true;
    scheduler.enter('change', '', pass);
  };

  const gathered = (): void => {
    timer = undefined;
    gatheredMs = Infinity;
    for (const session of gathering) due.add(session);
    gathering.clear();
    schedule();
  };

  /** The next pass comes then, or earlier if it was to come earlier. */
  const gatherUntil = (atMs: number): void => {
    if (atMs >= gatheredMs) return;
    gatheredMs = atMs;
    clearTimeout(timer);
    timer = setTimeout(gathered, atMs - performance.now());
  };

  const ordinaryPauseMs = (): number => Math.min(Math.max(passMs / 2, LEAST_MS), gatherMs);
  const crowdPauseMs = (): number => Math.min(Math.max(passMs * CROWD_PASSES, CROWD_LEAST_MS), CROWD_MOST_MS);

  return {
    wake: (session) => {
      const pauseMs = scheduler.isCrowded() ? crowdPauseMs() : ordinaryPauseMs();
      if (performance.now() - session.askedMs >= pauseMs) {
        due.add(session);
        schedule();
      } else {
        gathering.add(session);
        gatherUntil(performance.now() + pauseMs);
      }
    },
    hurry: () => {
      if (gathering.size > 0) gatherUntil(performance.now() + ordinaryPauseMs());
    },
  };
};

// When sessions write. The first change goes out at once; what follows in the next few hundredths of a second is gathered,
// and all sessions that gather are served in one pass: netmap then encodes what they share once. Passes that take long
// come less often, so that a storm of changes can't take the whole event loop.

import { performance } from 'node:perf_hooks';

import type { Scheduler } from './scheduler.ts';
import type { Session } from './session.ts';

/** At most one part in so many of the time goes into passes. */
const SHARE = 4;

export interface Outbox {
  /** Something is pending for the session. */
  readonly wake: (session: Session) => void;
}

export const createOutbox = (scheduler: Scheduler, gatherMs: number, now: () => number): Outbox => {
  let due = new Set<Session>();
  const gathering = new Set<Session>();
  /** When each session last had something taken for it. */
  const servedMs = new WeakMap<Session, number>();
  let passCostMs = 0;
  let scheduled = false;
  let timer: NodeJS.Timeout | undefined;

  const pass = (): void => {
    scheduled = false;
    const sessions = due;
    due = new Set();
    const startMs = performance.now();
    for (const session of sessions) {
      servedMs.set(session, startMs);
      if (session.take()) scheduler.enter('change', '', () => write(session));
    }
    passCostMs = performance.now() - startMs;
  };

  const write = (session: Session): void => {
    const startMs = performance.now();
    session.write(now());
    passCostMs += performance.now() - startMs;
  };

  const schedule = (): void => {
    if (scheduled) return;
    scheduled = true;
    scheduler.enter('change', '', pass);
  };

  const gathered = (): void => {
    timer = undefined;
    for (const session of gathering) due.add(session);
    gathering.clear();
    schedule();
  };

  return {
    wake: (session) => {
      const pauseMs = Math.max(gatherMs, passCostMs * SHARE);
      if (performance.now() - (servedMs.get(session) ?? -Infinity) >= pauseMs) {
        due.add(session);
        schedule();
      } else {
        gathering.add(session);
        timer ??= setTimeout(gathered, pauseMs);
      }
    },
  };
};

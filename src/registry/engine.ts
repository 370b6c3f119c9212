// Group commit. Events that arrive while the disk is busy are decided together on a draft, written with one sync, folded
// into the state, told to subscribers and answered, in this order. The engine knows nothing of files: a log makes a batch
// durable or fails, and after a failure says when it can go on.

import type { NodeId } from '../base/ids.ts';
import { accept, refuse, type Outcome, type Refusal } from '../base/outcome.ts';
import type { Changes, RegistryChange } from './change.ts';
import { decide } from './decide.ts';
import type { RegistryEvent } from './event.ts';
import type { Observation } from './record.ts';
import type { Applied } from './registry.ts';
import { askerOf, changeNode, draftOf, fold, rebase, type RegistryState } from './state.ts';

/** The changes of one event. They become durable together or not at all. */
export type Entry = readonly RegistryChange[];

export interface Log {
  /** Resolves when every entry is durable. Rejects when none may be counted on; then `recover` comes first. */
  readonly append: (entries: readonly Entry[]) => Promise<void>;
  /** Makes the log usable after a failure; rejects while the disk still fails. */
  readonly recover: () => Promise<void>;
}

export interface EngineSettings {
  readonly state: RegistryState;
  readonly log: Log;
  readonly now: () => number;
  /** An event that is not durable after this is refused, though it may still become so; default 10 s. */
  readonly patienceMs?: number;
  readonly onChanges?: (changes: readonly RegistryChange[]) => void;
  readonly onState?: (state: EngineState, problem: string | null) => void;
}

export type EngineState = 'ready' | 'slow' | 'refusing' | 'closed';

export interface Engine {
  readonly apply: (event: RegistryEvent) => Promise<Outcome<Applied>>;
  readonly note: (id: NodeId, observation: Partial<Observation>) => void;
  readonly subscribe: (listener: (changes: readonly RegistryChange[]) => void) => () => void;
  /** Runs the task when no batch is being written; batches wait for it. */
  readonly between: <T>(task: () => Promise<T>) => Promise<T>;
  readonly status: () => EngineStatus;
  /** Refuses new events, and resolves when those under way are answered. */
  readonly close: () => Promise<void>;
}

export interface EngineStatus {
  readonly state: EngineState;
  readonly sinceMs: number;
  readonly problem: string | null;
  readonly commits: number;
  readonly events: number;
  readonly lastCommitMs: number;
}

/** Deciding so many takes a few milliseconds of the event loop. */
const MAX_BATCH = 256;
const MAX_WAITING = 8192;
const PATIENCE_MS = 10_000;
const FIRST_RETRY_MS = 200;
const LAST_RETRY_MS = 5000;

interface Waiting {
  readonly event: RegistryEvent;
  readonly answer: (outcome: Outcome<Applied>) => void;
  readonly fail: (fault: unknown) => void;
}

interface Decided {
  readonly waiting: Waiting;
  readonly changes: Changes;
}

const UNAVAILABLE = refuse(
  'registry/unavailable',
  'The server cannot save registrations right now; it will try again by itself.',
);
const BUSY = refuse('registry/busy', 'The server is busy with other registrations; try again in a moment.');
const CLOSED = refuse('registry/closed', 'The server is stopping; try again in a moment.');

const messageOf = (fault: unknown): string => (fault instanceof Error ? fault.message : String(fault));

export const createEngine = (settings: EngineSettings): Engine => {
  const { state, log, now } = settings;
  const patienceMs = settings.patienceMs ?? PATIENCE_MS;
  const listeners = new Set<(changes: readonly RegistryChange[]) => void>();
  const tasks: (() => Promise<void>)[] = [];
  let queue: Waiting[] = [];
  let running: Promise<void> | undefined;
  let current: { state: EngineState; sinceMs: number; problem: string | null } = {
    state: 'ready',
    sinceMs: now(),
    problem: null,
  };
  let retry: NodeJS.Timeout | undefined;
  let recovering: Promise<void> | undefined;
  let commits = 0;
  let events = 0;
  let lastCommitMs = 0;

  const become = (next: EngineState, problem: string | null): void => {
    if (current.state === 'closed' || (current.state === next && current.problem === problem)) return;
    current = { state: next, sinceMs: now(), problem };
    settings.onState?.(next, problem);
  };

  const tell = (changes: readonly RegistryChange[]): void => {
    if (changes.length === 0) return;
    settings.onChanges?.(changes);
    for (const listener of listeners) {
      try {
        listener(changes);
      } catch (fault) {
        // A listener that throws is a bug somewhere else: the top of the process hears of it, and the commit is not undone.
        queueMicrotask(() => {
          throw fault;
        });
      }
    }
  };

  const refuseQueue = (refusal: Refusal): void => {
    const waiting = queue;
    queue = [];
    for (const { answer } of waiting) answer(refusal);
  };

  const tryAgain = (delayMs: number): void => {
    if (current.state === 'closed') return;
    retry = setTimeout(() => {
      retry = undefined;
      recovering = log.recover().then(
        () => become('ready', null),
        (fault: unknown) => {
          become('refusing', messageOf(fault));
          tryAgain(Math.min(2 * delayMs, LAST_RETRY_MS));
        },
      );
    }, delayMs);
    retry.unref();
  };

  const appliedOf = (event: RegistryEvent, changes: readonly RegistryChange[]): Applied => {
    const nodeId =
      event.kind === 'register' ? state.byNodeKey.get(event.nodeKey) : 'id' in event ? event.id : undefined;
    const loginId =
      event.kind === 'begin-login'
        ? state.pendingLogins.get(askerOf(event.login.machineKey, event.login.nodeKey))
        : event.kind === 'register'
          ? event.loginId
          : 'id' in event
            ? event.id
            : null;
    return {
      changes,
      node: state.nodes.get(nodeId as NodeId) ?? null,
      login: state.logins.get(loginId as never) ?? null,
    };
  };

  const decideBatch = (batch: readonly Waiting[]): Decided[] => {
    const draft = draftOf(state);
    const decided: Decided[] = [];
    for (const waiting of batch) {
      try {
        const changes = decide(draft, waiting.event);
        if (changes.ok) for (const change of changes.value) fold(draft, change);
        decided.push({ waiting, changes });
      } catch (fault) {
        waiting.fail(fault);
      }
    }
    return decided;
  };

  const settle = (decided: readonly Decided[]): void => {
    const answers: (() => void)[] = [];
    const all: RegistryChange[] = [];
    for (const { waiting, changes } of decided) {
      if (!changes.ok) {
        answers.push(() => waiting.answer(changes));
        continue;
      }
      const done: RegistryChange[] = [];
      for (const change of changes.value) {
        const fresh = rebase(state, change);
        fold(state, fresh);
        done.push(fresh);
      }
      all.push(...done);
      const applied = appliedOf(waiting.event, done);
      answers.push(() => waiting.answer(accept(applied)));
    }
    tell(all);
    for (const answer of answers) answer();
  };

  const commit = async (batch: readonly Waiting[]): Promise<void> => {
    const decided = decideBatch(batch);
    const entries = decided.flatMap(({ changes }) => (changes.ok && changes.value.length > 0 ? [changes.value] : []));
    if (entries.length === 0) {
      settle(decided);
      return;
    }
    const startMs = performance.now();
    const giveUp = setTimeout(() => {
      become('slow', `the disk has not finished a write for ${Math.round(patienceMs / 1000)} s`);
      for (const { waiting } of decided) waiting.answer(UNAVAILABLE);
      refuseQueue(UNAVAILABLE);
    }, patienceMs);
    try {
      await log.append(entries);
    } catch (fault) {
      become('refusing', messageOf(fault));
      // Every answer of the batch was decided on changes that don't exist now, the refusals too.
      for (const { waiting } of decided) waiting.answer(UNAVAILABLE);
      refuseQueue(UNAVAILABLE);
      tryAgain(FIRST_RETRY_MS);
      return;
    } finally {
      clearTimeout(giveUp);
    }
    lastCommitMs = performance.now() - startMs;
    commits++;
    events += entries.length;
    become('ready', null);
    settle(decided);
  };

  const run = async (): Promise<void> => {
    // One turn later, so that events of the same turn share the first batch.
    await Promise.resolve();
    for (;;) {
      const task = tasks.shift();
      if (task) await task();
      else if (queue.length > 0) await commit(queue.splice(0, MAX_BATCH));
      else break;
    }
    running = undefined;
  };

  const wake = (): void => {
    running ??= run();
  };

  return {
    apply: (event) => {
      if (current.state === 'closed') return Promise.resolve(CLOSED);
      if (current.state !== 'ready') return Promise.resolve(UNAVAILABLE);
      if (queue.length >= MAX_WAITING) return Promise.resolve(BUSY);
      return new Promise((answer, fail) => {
        queue.push({ event, answer, fail });
        wake();
      });
    },
    note: (id, observation) => {
      const node = state.nodes.get(id);
      const change = node && changeNode(node, observation);
      if (!change) return;
      fold(state, change);
      tell([change]);
    },
    subscribe: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    between: (task) =>
      new Promise((resolve, reject) => {
        tasks.push(() => task().then(resolve, reject));
        wake();
      }),
    status: () => ({ ...current, commits, events, lastCommitMs }),
    close: async () => {
      become('closed', null);
      clearTimeout(retry);
      await recovering;
      await running;
    },
  };
};

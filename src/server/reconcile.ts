// The way of a commit into the service, as a transaction: fetch, verify, compile (which parses, validates and runs the
// policy's tests), guard, swap, record. Whatever fails, the last good snapshot goes on serving, and the reason is kept
// where people look. Files of a plain folder go the same way, without what only a history can answer.

import type { Diagnostic } from '../base/diagnostic.ts';
import type { Revision } from '../base/ids.ts';
import type { Happening } from '../config/tailnet.ts';
import { accept, refuse, type Outcome, type Refusal } from '../base/outcome.ts';
import type { GuardFinding, GuardSide } from '../review/guard.ts';
import { compileSnapshot } from '../snapshot/compile.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { readKept, writeKept } from '../source/kept.ts';
import type { Source, SourceStatus } from '../source/source.ts';
import type { SourceCommit, SourceTree } from '../source/tree.ts';
import { judge, obstacleOf, type Good, type Obstacle, type RunStep, type Step, type StepState } from './judge.ts';
import { readMemory, writeMemory, type ReconcileMemory, type Transition } from './reconcile-memory.ts';

/** The newest revision where it is not the one that serves. */
export interface Pending {
  readonly revision: Revision;
  readonly commit?: SourceCommit;
  /** `held`: a person may let it pass; `rejected`: only another commit helps. */
  readonly state: 'held' | 'rejected' | 'suspended' | 'rolled-back';
  readonly step: Step;
  readonly atMs: number;
  readonly obstacles: readonly Obstacle[];
  readonly diagnostics: readonly Diagnostic[];
}

export interface ReconcileStatus {
  readonly serving: {
    readonly revision: Revision;
    readonly digest: string;
    readonly commit?: SourceCommit;
    readonly sinceMs: number;
  };
  readonly state: 'current' | 'failing' | Pending['state'];
  readonly pending?: Pending;
  /** The last run, step by step. */
  readonly steps: readonly StepState[];
  readonly source: SourceStatus;
  readonly suspendedUntilMs?: number;
  /** Whether the last good tree is on disk, so that a restart would serve it. */
  readonly recorded: boolean;
  /** What this server can't do of what the serving revision asks for; another server may. */
  readonly problems: readonly Diagnostic[];
}

export interface ReconcileEvent {
  readonly transition: Transition;
  readonly commit?: SourceCommit;
  readonly pending?: Pending;
  /** What serves after it; there is none before the first was taken. */
  readonly snapshot?: Snapshot;
  /** For reports that show the offending text. */
  readonly files?: SourceTree['files'];
  /** What the guard would have said about a plain folder, or a compile about a tree that was taken. */
  readonly warnings?: readonly (GuardFinding | Diagnostic)[];
  readonly tookMs: number;
  /** It was recorded and told before a restart, and is only found again. */
  readonly isKnown: boolean;
}

export interface ReconcilePorts {
  readonly source: Source;
  /** Names where the tree comes from; another origin does not continue from what was kept. */
  readonly origin: string;
  readonly dataDir: string;
  readonly now: () => number;
  /** The registered nodes as a snapshot would declare them. */
  readonly sideOf: (snapshot: Snapshot) => GuardSide;
  /** What only this server can tell about a snapshot, such as a sealed value that it can't open. Nothing of it stops one. */
  readonly problemsOf?: (snapshot: Snapshot) => readonly Diagnostic[];
  readonly onEvent: (event: ReconcileEvent) => void;
  /** The origin could not be asked. */
  readonly onFailing: (refusal: Refusal) => void;
  /** A bug showed itself while a revision was looked at; the revision is set aside. */
  readonly onFault: (fault: unknown) => void;
  /** Called before and after each step. */
  readonly onStep?: (step: Step, edge: 'begin' | 'end') => void | Promise<void>;
  /** How long the start waits for the origin when a last good tree is there. */
  readonly startWaitMs?: number;
}

export interface Reconcile {
  snapshot(): Snapshot;
  status(): ReconcileStatus;
  transitions(): readonly Transition[];
  /** Listeners swap what clients see; one that throws undoes the swap for all. */
  onSwap(listener: (snapshot: Snapshot) => void): void;
  sync(): Promise<Outcome<ReconcileStatus>>;
  rollback(revision: string): Promise<Outcome<ReconcileStatus>>;
  suspend(untilMs: number): Outcome<ReconcileStatus>;
  resume(): Promise<Outcome<ReconcileStatus>>;
  /** Takes a held commit although it is unsigned or history was rewritten; what it holds is checked as ever. */
  trust(revision: string): Promise<Outcome<ReconcileStatus>>;
  close(): Promise<void>;
}

/** There is nothing to serve yet, and why. */
export interface NothingToServe extends Refusal {
  readonly diagnostics: readonly Diagnostic[];
  readonly files?: SourceTree['files'];
}

/** What may become of a revision; the rest is what people do. */
const OUTCOMES: ReadonlySet<Happening> = new Set(['taken', 'held', 'rejected', 'rolled-back']);

const START_WAIT_MS = 5_000;
/** setTimeout takes no more than 2^31 - 1 ms. */
const TIMER_LIMIT_MS = 2 ** 31 - 1;

/** Serves the last good tree or the newest one, and follows the source from then on. */
export const openReconcile = async (
  ports: ReconcilePorts,
): Promise<{ ok: true; value: Reconcile } | NothingToServe> => {
  const { source, dataDir, origin, now } = ports;
  const history = source.history;
  const listeners: ((snapshot: Snapshot) => void)[] = [];
  let memory: ReconcileMemory = readMemory(dataDir);
  let good: Good | undefined;
  let pending: Pending | undefined;
  let recorded = false;
  /** Whether what is remembered is on disk. */
  let remembered = true;
  let steps: StepState[] = [];
  let resuming: NodeJS.Timeout | undefined;
  let isClosed = false;

  const remember = (change: Partial<ReconcileMemory>): void => {
    memory = { ...memory, ...change };
    try {
      writeMemory(dataDir, memory);
      remembered = true;
    } catch {
      // As with the last good tree: the status shows it, and what serves is not at stake.
      remembered = false;
    }
  };

  const step: RunStep = async (name, run, failed) => {
    const atMs = now();
    const note = (state: StepState['state']): void => {
      steps.push({ step: name, state, atMs, tookMs: now() - atMs });
    };
    try {
      await ports.onStep?.(name, 'begin');
      const value = await run();
      note(failed(value) ? 'failed' : 'ok');
      await ports.onStep?.(name, 'end');
      return value;
    } catch (fault) {
      note('failed');
      throw fault;
    }
  };

  const lastOutcome = (): Transition | undefined => memory.transitions.findLast(({ kind }) => OUTCOMES.has(kind));

  const tell = (
    kind: Transition['kind'],
    tree: Pick<SourceTree, 'revision' | 'commit'>,
    more: Partial<ReconcileEvent> = {},
  ): void => {
    const reasons = more.pending?.obstacles.map(({ message }) => message);
    const transition: Transition = {
      kind,
      atMs: now(),
      revision: tree.revision,
      ...(tree.commit === undefined ? {} : { subject: tree.commit.subject, author: tree.commit.author.email }),
      ...(reasons && reasons.length > 0 ? { reasons: reasons.slice(0, 10) } : {}),
    };
    // A crash may have come between a record and the next; what was recorded last is not recorded again.
    const last = lastOutcome();
    const isKnown = OUTCOMES.has(kind) && last?.kind === kind && last.revision === tree.revision;
    if (!isKnown) remember({ transitions: [...memory.transitions, transition] });
    const event: ReconcileEvent = {
      transition,
      tookMs: 0,
      isKnown,
      ...(good ? { snapshot: good.snapshot } : {}),
      ...(tree.commit === undefined ? {} : { commit: tree.commit }),
      ...more,
    };
    try {
      ports.onEvent(event);
    } catch (fault) {
      ports.onFault(fault);
    }
  };

  const record = async (next: Good): Promise<void> => {
    recorded = false;
    try {
      await step(
        'record',
        async () => {
          await writeKept(dataDir, { tree: next.tree, origin, keptAtMs: now() });
          recorded = true;
        },
        () => false,
      );
    } catch {
      // Shown by the status; the next look at the source tries again, and what serves is not at stake.
    }
  };

  /** One assignment, then everybody who shows it; if one of them fails, all go back to what was. */
  const swap = async (tree: SourceTree, snapshot: Snapshot): Promise<void> => {
    const before = good;
    const next: Good = { tree, snapshot, sinceMs: now() };
    await step(
      'swap',
      () => {
        good = next;
        if (!before || before.snapshot.digest === snapshot.digest) return;
        try {
          for (const listener of listeners) listener(snapshot);
        } catch (fault) {
          good = before;
          for (const listener of listeners) listener(before.snapshot);
          throw fault;
        }
      },
      () => false,
    );
    await record(next);
  };

  const setAside = (
    tree: Pick<SourceTree, 'revision' | 'commit' | 'files'>,
    aside: Omit<Pending, 'revision' | 'commit' | 'atMs'>,
  ): void => {
    const isNews = pending?.revision !== tree.revision || pending.state !== aside.state || pending.step !== aside.step;
    pending = {
      revision: tree.revision,
      ...(tree.commit === undefined ? {} : { commit: tree.commit }),
      atMs: now(),
      ...aside,
    };
    // What waits because of a person was told when the person asked for it.
    if (isNews && (aside.state === 'held' || aside.state === 'rejected')) {
      tell(aside.state, tree, { pending, files: tree.files });
    }
  };

  const isSuspended = (): boolean => (memory.suspendedUntilMs ?? 0) > now();

  const take = async (tree: SourceTree): Promise<void> => {
    try {
      await consider(tree);
    } catch (fault) {
      ports.onFault(fault);
      if (good?.tree.revision === tree.revision) {
        // It serves already; what failed came after.
        pending = undefined;
        await record(good);
        tell('taken', tree, { files: tree.files });
        return;
      }
      const message = 'The server failed while it looked at this revision; its log says where.';
      const obstacles = [{ code: 'server/reconcile-fault', message } as const];
      setAside(tree, { state: 'rejected', step: steps.at(-1)?.step ?? 'fetch', obstacles, diagnostics: [] });
    }
  };

  const consider = async (tree: SourceTree): Promise<void> => {
    const startedMs = now();
    if (good?.tree.revision === tree.revision) {
      pending = undefined;
      if (!recorded) await record(good);
      return;
    }
    const aside = { step: 'fetch', obstacles: [], diagnostics: [] } as const;
    if (memory.rolledBack.includes(tree.revision)) {
      setAside(tree, { ...aside, state: 'rolled-back' });
      return;
    }
    if (good && isSuspended()) {
      setAside(tree, { ...aside, state: 'suspended' });
      return;
    }
    const isTrusted = memory.trusted.includes(tree.revision);
    const verdict = await judge(tree, { history, good, isTrusted, sideOf: ports.sideOf, step });
    // A source that was closed in the middle says nothing about the commit.
    if (isClosed) return;
    if (verdict.state !== 'clear') {
      setAside(tree, verdict);
      return;
    }
    pending = undefined;
    await swap(tree, verdict.snapshot);
    const warnings = [...verdict.warnings, ...(ports.problemsOf?.(verdict.snapshot) ?? [])];
    tell('taken', tree, { warnings, files: tree.files, tookMs: now() - startedMs });
  };

  /** The origin answered and its newest commit has files that are not read, such as a link or a file that is too large. */
  const rejectTip = async (refusal: Refusal): Promise<boolean> => {
    const newest = await history?.log(1);
    const commit = newest?.ok ? newest.value[0] : undefined;
    if (!commit || !good) return false;
    const obstacles = [obstacleOf(refusal)];
    setAside(
      { revision: commit.id, commit, files: new Map() },
      { state: 'rejected', step: 'fetch', obstacles, diagnostics: [] },
    );
    return true;
  };

  /** Runs are one after another; each ends before the next looks at what serves. */
  let work: Promise<unknown> = Promise.resolve();
  const inTurn = async <T>(run: () => Promise<T>): Promise<T> => {
    const turn = work.then(run);
    work = turn.catch(() => {});
    return await turn;
  };

  const receive = async (seen: Outcome<SourceTree>): Promise<void> => {
    steps = [{ step: 'fetch', state: seen.ok ? 'ok' : 'failed', atMs: now(), tookMs: 0 }];
    if (seen.ok) await take(seen.value);
    else if (source.status().failures > 0 || !(await rejectTip(seen))) ports.onFailing(seen);
  };

  const status = (): ReconcileStatus => {
    const serving = good as Good;
    const { commit } = serving.tree;
    const sourceStatus = source.status();
    return {
      serving: {
        revision: serving.tree.revision,
        digest: serving.snapshot.digest,
        sinceMs: serving.sinceMs,
        ...(commit === undefined ? {} : { commit }),
      },
      state: pending?.state ?? (sourceStatus.state === 'failing' ? 'failing' : isSuspended() ? 'suspended' : 'current'),
      ...(pending === undefined ? {} : { pending }),
      steps,
      source: sourceStatus,
      ...(isSuspended() ? { suspendedUntilMs: memory.suspendedUntilMs as number } : {}),
      recorded: recorded && remembered,
      problems: ports.problemsOf?.(serving.snapshot) ?? [],
    };
  };

  const ask = async (): Promise<Outcome<SourceTree>> => {
    const seen = await source.sync();
    await inTurn(async () => await receive(seen));
    return seen;
  };

  const sync = async (): Promise<Outcome<ReconcileStatus>> => {
    const seen = await ask();
    return seen.ok ? accept(status()) : seen;
  };

  const armResume = (): void => {
    clearTimeout(resuming);
    if (!isSuspended() || isClosed) return;
    const leftMs = (memory.suspendedUntilMs ?? 0) - now();
    resuming = setTimeout(
      () => {
        if (isSuspended()) armResume();
        else void sync();
      },
      Math.min(leftMs + 1, TIMER_LIMIT_MS),
    ).unref();
  };

  const noHistory = refuse('server/no-history', 'A plain folder has no history; follow a git repository for that.');

  const rollback = async (revision: string): Promise<Outcome<ReconcileStatus>> => {
    if (!history) return noHistory;
    const target = await history.readAt(revision);
    if (!target.ok) return target;
    return await inTurn(async () => {
      const { snapshot } = compileSnapshot({ revision: target.value.revision, files: target.value.files });
      if (!snapshot)
        return refuse('server/rollback-broken', `The commit ${target.value.revision.slice(0, 10)} has errors.`);
      // Everything between the target and the newest commit must not come back by the next poll.
      const newest = [good?.tree.revision, pending?.revision].filter((each) => each !== undefined);
      const left = new Set<Revision>(newest);
      for (const tip of newest) {
        const between = await history.between(target.value.revision, tip);
        if (between.ok) for (const { id } of between.value) left.add(id);
      }
      left.delete(target.value.revision);
      const { rolledBack } = memory;
      // First, so that no restart in between brings the newest back.
      remember({ rolledBack: [...rolledBack.filter((each) => each !== target.value.revision), ...left] });
      steps = [];
      try {
        await swap(target.value, snapshot);
      } catch (fault) {
        remember({ rolledBack });
        throw fault;
      }
      pending = undefined;
      tell('rolled-back', target.value);
      const seen = await source.read();
      if (seen.ok) await take(seen.value);
      return accept(status());
    });
  };

  const trust = async (revision: string): Promise<Outcome<ReconcileStatus>> => {
    if (!history) return noHistory;
    const target = await history.readAt(revision);
    if (!target.ok) return target;
    remember({
      trusted: [...memory.trusted, target.value.revision],
      rolledBack: memory.rolledBack.filter((each) => each !== target.value.revision),
    });
    tell('trusted', target.value);
    return await sync();
  };

  const suspend = (untilMs: number): Outcome<ReconcileStatus> => {
    remember({ suspendedUntilMs: untilMs });
    armResume();
    tell('suspended', (good as Good).tree);
    return accept(status());
  };

  const resume = async (): Promise<Outcome<ReconcileStatus>> => {
    const { suspendedUntilMs: _, ...rest } = memory;
    memory = rest;
    tell('resumed', (good as Good).tree);
    return await sync();
  };

  const kept = await readKept(dataDir);
  if (kept.ok && kept.value?.origin === origin) {
    const { tree, keptAtMs } = kept.value;
    const { snapshot } = compileSnapshot({ revision: tree.revision, files: tree.files });
    if (snapshot) good = { snapshot, tree, sinceMs: keptAtMs };
    recorded = snapshot !== undefined;
    // It ended between the record of a revision and the word about it.
    const served = memory.transitions.filter(({ kind }) => kind === 'taken' || kind === 'rolled-back');
    const last = served.at(-1)?.revision;
    if (snapshot && last !== tree.revision) {
      if (last !== undefined && memory.rolledBack.includes(last)) tell('rolled-back', tree);
      else if (!served.some(({ revision }) => revision === tree.revision)) tell('taken', tree);
    }
  }
  const first = ask();
  if (good) {
    // The host may be away or slow: what was good serves meanwhile.
    let waiting: NodeJS.Timeout | undefined;
    const waited = new Promise((resolve) => (waiting = setTimeout(resolve, ports.startWaitMs ?? START_WAIT_MS)));
    await Promise.race([first, waited]);
    clearTimeout(waiting);
  } else {
    const seen = await first;
    if (!good) {
      await source.close();
      if (!seen.ok) return { ...seen, diagnostics: [] };
      const aside = pending as Pending | undefined;
      return {
        ...refuse('server/tailnet-broken', aside?.obstacles[0]?.message ?? 'The tailnet has errors.'),
        diagnostics: aside?.diagnostics ?? [],
        files: seen.value.files,
      };
    }
  }
  const unwatch = source.watch((seen) => {
    void inTurn(async () => await receive(seen));
  });
  armResume();

  return {
    ok: true,
    value: {
      snapshot: () => (good as Good).snapshot,
      status,
      transitions: () => memory.transitions,
      onSwap: (listener) => {
        listeners.push(listener);
      },
      sync,
      rollback,
      suspend,
      resume,
      trust,
      close: async () => {
        isClosed = true;
        clearTimeout(resuming);
        unwatch();
        await source.close();
        await work;
      },
    },
  };
};

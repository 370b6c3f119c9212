// Whether a revision may be served in place of the last good one: is it a continuation, signed by people who were trusted
// before it, free of errors, and no larger a loss than the guard lets pass without a word. Nothing is changed here.

import type { Code } from '../base/catalogue.ts';
import type { Diagnostic } from '../base/diagnostic.ts';
import type { Revision } from '../base/ids.ts';
import { accept, type Outcome, type Refusal } from '../base/outcome.ts';
import { guardChange, isAllowed, readAllowances, type GuardFinding, type GuardSide } from '../review/guard.ts';
import { compileSnapshot } from '../snapshot/compile.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { History } from '../source/source.ts';
import type { SourceCommit, SourceTree } from '../source/tree.ts';

export type Step = 'fetch' | 'verify' | 'compile' | 'guard' | 'swap' | 'record';

export interface StepState {
  readonly step: Step;
  readonly state: 'ok' | 'failed' | 'skipped';
  readonly atMs: number;
  readonly tookMs: number;
}

/** Why a revision is not served. */
export interface Obstacle {
  readonly code: Code;
  readonly message: string;
  /** The commit that it is about, where it is not the newest. */
  readonly commit?: Revision;
  /** The line of a commit message that lets it pass. */
  readonly allowedBy?: string;
}

export interface Good {
  readonly snapshot: Snapshot;
  readonly tree: SourceTree;
  readonly sinceMs: number;
}

/** What stands in the way of a candidate, or that nothing does. */
export type Verdict =
  | { readonly state: 'clear'; readonly snapshot: Snapshot; readonly warnings: readonly (GuardFinding | Diagnostic)[] }
  | {
      readonly state: 'held' | 'rejected';
      readonly step: Step;
      readonly obstacles: readonly Obstacle[];
      readonly diagnostics: readonly Diagnostic[];
    };

export const obstacleOf = ({ code, reason }: Refusal, commit?: Revision): Obstacle => ({
  code,
  message: reason,
  ...(commit === undefined ? {} : { commit }),
});

const heldAt = (step: Step, obstacles: readonly Obstacle[]): Verdict => ({
  state: 'held',
  step,
  obstacles,
  diagnostics: [],
});

export interface JudgePorts {
  /** Absent for a plain folder. */
  readonly history: History | undefined;
  /** What serves; undefined at a first start. */
  readonly good: Good | undefined;
  /** Whether an administrator takes the revision although it is unsigned or rewritten. */
  readonly isTrusted: boolean;
  /** The registered nodes as a snapshot would declare them. */
  readonly sideOf: (snapshot: Snapshot) => GuardSide;
  /** Runs a step and notes how it went. */
  readonly step: RunStep;
}

export type RunStep = <T>(name: Step, run: () => T | Promise<T>, failed: (value: T) => boolean) => Promise<T>;

/** Commits since the last good one; for a first or trusted commit only itself. */
const commitsOf = async (
  tree: SourceTree,
  { history, good, isTrusted }: JudgePorts,
): Promise<Outcome<readonly SourceCommit[]>> => {
  if (!history || !tree.commit) return accept([]);
  if (!good?.tree.commit || isTrusted) return accept([tree.commit]);
  return await history.between(good.tree.revision, tree.revision);
};

/** Signatures by the signers of the last good commit; a first commit is held to its own. */
const verify = async (
  tree: SourceTree,
  base: Snapshot,
  { history, good, isTrusted }: JudgePorts,
): Promise<Verdict | undefined> => {
  const { signers } = base.tailnet;
  if (!history || !tree.commit || isTrusted || signers.length === 0) return undefined;
  const vetted = await history.vet(good?.tree.commit?.id, tree.revision, signers);
  if (!vetted.ok) return heldAt('verify', [obstacleOf(vetted)]);
  const wrong = vetted.value.flatMap(({ commit, refusal }) => (refusal ? [obstacleOf(refusal, commit)] : []));
  return wrong.length > 0 ? heldAt('verify', wrong) : undefined;
};

/** A finding of the guard as what stands in the way of a revision. */
export const obstacleOfFinding = ({ rule, message, allowedBy }: GuardFinding): Obstacle => ({
  code: `review/guard-${rule}`,
  message,
  ...(allowedBy === undefined ? {} : { allowedBy }),
});

const isHeld = (verdict: Verdict | undefined): boolean => verdict !== undefined;

export const judge = async (tree: SourceTree, ports: JudgePorts): Promise<Verdict> => {
  const { good, step } = ports;
  let commits: readonly SourceCommit[] = [];
  const strays = await step(
    'verify',
    async () => {
      const since = await commitsOf(tree, ports);
      if (!since.ok) return heldAt('verify', [obstacleOf(since)]);
      commits = since.value;
      return good && (await verify(tree, good.snapshot, ports));
    },
    isHeld,
  );
  if (strays) return strays;
  const { snapshot, diagnostics } = await step(
    'compile',
    () => compileSnapshot({ revision: tree.revision, files: tree.files }),
    (result) => result.snapshot === undefined,
  );
  if (!snapshot) {
    const errors = diagnostics.filter(({ severity }) => severity === 'error');
    const obstacles = errors.map(({ code, message }) => ({ code, message: message.split('\n', 1)[0] ?? message }));
    return { state: 'rejected', step: 'compile', obstacles, diagnostics };
  }
  if (!good) {
    const held = await step('verify', async () => await verify(tree, snapshot, ports), isHeld);
    return held ?? { state: 'clear', snapshot, warnings: diagnostics };
  }
  if (snapshot.digest === good.snapshot.digest) return { state: 'clear', snapshot, warnings: diagnostics };
  const allowances = readAllowances(commits.map(({ message }) => message));
  const findings = await step(
    'guard',
    () =>
      guardChange(ports.sideOf(good.snapshot), ports.sideOf(snapshot)).filter(
        (finding) => !isAllowed(finding, allowances),
      ),
    (found) => found.length > 0,
  );
  // A plain folder has no place to say «this is meant»; whoever edits it runs the server. Invariants hold there too.
  const holding = tree.commit ? findings : findings.filter(({ allowedBy }) => allowedBy === undefined);
  return holding.length > 0
    ? heldAt('guard', holding.map(obstacleOfFinding))
    : { state: 'clear', snapshot, warnings: [...findings, ...diagnostics] };
};

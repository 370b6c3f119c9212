// Follows the source of the tailnet: reads a revision, compiles it, swaps the snapshot. What has errors is told and left
// aside; the last good snapshot goes on serving.

import { compareDiagnostics } from '../base/diagnostic.ts';
import type { Diagnostic } from '../base/diagnostic.ts';
import type { Outcome } from '../base/outcome.ts';
import type { Metrics } from '../http/metrics.ts';
import { renderTerminal } from '../review/terminal.ts';
import { compileSnapshot } from '../snapshot/compile.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { openSource } from '../source/open.ts';
import type { SourceStatus } from '../source/source.ts';
import type { SourceTree } from '../source/tree.ts';
import { StartFailure } from './failure.ts';
import type { Logger } from './log.ts';
import type { Settings } from './settings.ts';

export interface Refused {
  readonly revision: string;
  readonly atMs: number;
  readonly diagnostics: readonly Diagnostic[];
}

export interface Follower {
  /** The snapshot that serves now. */
  readonly snapshot: () => Snapshot;
  /** The newest revision where it is not the one that serves. */
  readonly refused: () => Refused | undefined;
  readonly source: () => SourceStatus;
  /** Called after each swap. */
  readonly onSwap: (listener: (snapshot: Snapshot) => void) => void;
  readonly close: () => Promise<void>;
}

export interface FollowInputs {
  readonly location: string;
  readonly settings: Settings;
  readonly dataFolder: string;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly now: () => number;
  readonly colour: boolean;
}

export const followTailnet = async (inputs: FollowInputs): Promise<Follower> => {
  const { location, settings, dataFolder, log, metrics, now, colour } = inputs;
  const opened = await openSource(location, {
    dataDir: dataFolder,
    ...(settings.branch === undefined ? {} : { branch: settings.branch }),
    ...(settings.folder === undefined ? {} : { folder: settings.folder }),
  });
  const fail = (reason: string): never => {
    throw new StartFailure(
      'state',
      'server/source-unreadable',
      reason,
      'Name the tailnet folder: tailplane serve DIR. `tailplane init DIR` makes one.',
    );
  };
  if (!opened.ok) return fail(opened.reason);
  const source = opened.value;
  const listeners: ((snapshot: Snapshot) => void)[] = [];

  const compile = (tree: SourceTree): { snapshot?: Snapshot; diagnostics: readonly Diagnostic[]; report: string } => {
    const { snapshot, diagnostics } = compileSnapshot({ revision: tree.revision, files: tree.files });
    const sorted = [...diagnostics].sort(compareDiagnostics);
    const sources = new Map(
      [...tree.files].map(([name, bytes]) => [name, Buffer.from(bytes).toString('utf8')] as const),
    );
    const report = sorted.length === 0 ? '' : renderTerminal({ diagnostics: sorted, sources }, { colour });
    return { ...(snapshot ? { snapshot } : {}), diagnostics: sorted, report };
  };
  const show = (report: string): void => {
    if (report !== '') process.stderr.write(`${report}\n`);
  };

  const first = await source.sync();
  if (!first.ok) {
    await source.close();
    return fail(first.reason);
  }
  const initial = compile(first.value);
  show(initial.report);
  if (!initial.snapshot) {
    await source.close();
    throw new StartFailure(
      'state',
      'server/tailnet-broken',
      `The tailnet in ${location} has errors; see above.`,
      `Mend them; \`tailplane lint ${location}\` shows them again.`,
    );
  }
  let current = initial.snapshot;
  let refused: Refused | undefined;

  const take = (seen: Outcome<SourceTree>): void => {
    if (!seen.ok) {
      log.warn({ code: seen.code }, `the source can't be read: ${seen.reason}`);
      metrics.count('reconciles_total', 1, { outcome: 'unreadable' });
      return;
    }
    const tree = seen.value;
    if (tree.revision === current.revision) {
      refused = undefined;
      return;
    }
    const startedMs = performance.now();
    const { snapshot, diagnostics, report } = compile(tree);
    if (!snapshot) {
      refused = { revision: tree.revision, atMs: now(), diagnostics };
      metrics.count('reconciles_total', 1, { outcome: 'refused' });
      const errors = diagnostics.filter(({ severity }) => severity === 'error').length;
      log.error({ revision: tree.revision, errors }, 'the tailnet has errors; the last good one goes on serving');
      show(report);
      return;
    }
    const same = snapshot.digest === current.digest;
    current = snapshot;
    refused = undefined;
    metrics.count('reconciles_total', 1, { outcome: same ? 'same' : 'taken' });
    if (!same) for (const listener of listeners) listener(snapshot);
    log.info(
      { revision: tree.revision, tookMs: Math.round(performance.now() - startedMs) },
      same ? 'nothing that clients notice has changed' : 'a new tailnet serves',
    );
  };
  const unwatch = source.watch(take);

  return {
    snapshot: () => current,
    refused: () => refused,
    source: () => source.status(),
    onSwap: (listener) => {
      listeners.push(listener);
    },
    close: async () => {
      unwatch();
      await source.close();
    },
  };
};

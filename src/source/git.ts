// A git repository as a source. All reading of git happens in a worker thread (git-worker.ts); this side decides when to
// ask, how long to wait, and what is news. Waiting too long ends the thread with whatever it was doing; files in a clone
// are written whole or not at all, so nothing is lost by that.

import { createHash } from 'node:crypto';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import { watch as watchFiles, type FSWatcher } from 'chokidar';
import type { Revision } from '../base/ids.ts';
import { refuse, type Outcome, type Refusal } from '../base/outcome.ts';
import { authorizeBy } from './credential.ts';
import type { GitOperations, GitReply, GitRequest, GitWorkerData, Seen } from './git-worker.ts';
import type { Location } from './location.ts';
import { pollDelayMs } from './poll.ts';
import { DEFAULT_LIMITS, type Source, type SourceLimits, type SourceSettings, type SourceStatus } from './source.ts';
import type { SourceTree } from './tree.ts';

const POLL_MS = 60_000;
/** After the fetch's own limit the thread is given this long to answer before it is ended. */
const GRACE_MS = 2_000;
/** A local repository writes several files for one commit. */
const SETTLE_MS = 30;

const closed = refuse('source/closed', 'The source is closed.');
const timedOut = refuse('source/timeout', 'The git host did not answer in time.');

type Waiting = { readonly resolve: (outcome: Outcome<unknown>) => void; readonly reject: (fault: Error) => void };

/** The worker and the calls that wait for it. It starts with the first call and again after it was ended. */
const openWorker = (data: GitWorkerData) => {
  const waiting = new Map<number, Waiting>();
  let worker: Worker | undefined;
  let serial = 0;
  let isClosed = false;

  const start = (): Worker => {
    // The published package has the worker as JavaScript next to this file.
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
    const started = new Worker(new URL(`./git-worker.${extension}`, import.meta.url), {
      workerData: data,
      name: 'git',
      resourceLimits: { maxOldGenerationSizeMb: 1024, maxYoungGenerationSizeMb: 8 },
    });
    started.on('message', ({ id, outcome, fault }: GitReply) => {
      const call = waiting.get(id);
      waiting.delete(id);
      if (waiting.size === 0) started.unref();
      if (outcome) call?.resolve(outcome);
      else call?.reject(new Error(`git worker: ${fault ?? 'no answer'}`));
    });
    started.on('error', (error: Error & { code?: string }) => {
      if (worker === started) worker = undefined;
      const isMemory = error.code === 'ERR_WORKER_OUT_OF_MEMORY';
      for (const call of waiting.values()) {
        if (isMemory) call.resolve(refuse('source/fetch-too-large', 'The repository is too large to be read.'));
        else call.reject(error);
      }
      waiting.clear();
    });
    return started;
  };

  const end = async (refusal: Refusal): Promise<void> => {
    const ended = worker;
    worker = undefined;
    for (const call of waiting.values()) call.resolve(refusal);
    waiting.clear();
    await ended?.terminate();
  };

  const call = async <Operation extends keyof GitOperations>(
    operation: Operation,
    ...args: Parameters<GitOperations[Operation]>
  ): Promise<Awaited<ReturnType<GitOperations[Operation]>>> => {
    if (isClosed) return closed as Awaited<ReturnType<GitOperations[Operation]>>;
    const id = serial++;
    let timer: NodeJS.Timeout | undefined;
    try {
      return (await new Promise<Outcome<unknown>>((resolve, reject) => {
        waiting.set(id, { resolve, reject });
        timer = setTimeout(() => void end(timedOut), data.limits.totalMs + GRACE_MS);
        worker ??= start();
        worker.ref();
        worker.postMessage({ id, operation, args } satisfies GitRequest, []);
      })) as Awaited<ReturnType<GitOperations[Operation]>>;
    } finally {
      clearTimeout(timer);
    }
  };

  return {
    call,
    close: async (): Promise<void> => {
      isClosed = true;
      await end(closed);
    },
  };
};

const limitsOf = (settings: SourceSettings): SourceLimits => ({ ...DEFAULT_LIMITS, ...settings.limits });

type GitLocation = Exclude<Location, { kind: 'folder' }>;

/** Opens a repository. Nothing is asked before the first `read`, `sync` or `watch`. */
export const openGit = (location: GitLocation, settings: SourceSettings): Source => {
  const shown = location.kind === 'repository' ? location.path : location.url;
  const folder = settings.folder ?? '';
  const pollMs = settings.pollMs ?? POLL_MS;
  const key = createHash('sha256')
    .update(`${shown}\0${settings.branch ?? ''}\0${settings.depth ?? ''}`)
    .digest('hex');
  const worker = openWorker({
    location,
    home: path.join(settings.dataDir, 'source', key.slice(0, 16)),
    branch: settings.branch,
    folder,
    depth: settings.depth,
    caPem: settings.caPem,
    proxy: settings.proxy,
    identityFile: settings.identityFile,
    knownHostsFile: settings.knownHostsFile,
    sshCommand: settings.sshCommand,
    signingKey: settings.signingKey,
    limits: limitsOf(settings),
  });
  const authorize = authorizeBy(location.kind === 'https' ? settings.credential : undefined);
  const listeners = new Set<(seen: Outcome<SourceTree>) => void>();
  const about = { kind: location.kind, location: shown, ...(folder === '' ? {} : { folder }) };
  let status: SourceStatus = {
    ...about,
    ...(settings.branch === undefined ? {} : { branch: settings.branch }),
    state: 'starting',
    failures: 0,
  };
  let last: Seen | undefined;
  /** What listeners heard last, so that they hear only what is new. */
  let told = '';
  let timer: NodeJS.Timeout | undefined;
  let watcher: FSWatcher | undefined;
  let running: Promise<Outcome<SourceTree>> | undefined;
  let queued: Promise<Outcome<SourceTree>> | undefined;

  const tell = (seen: Outcome<SourceTree>, tip: Revision | undefined): void => {
    const news = seen.ok ? seen.value.revision : `${tip ?? ''} ${seen.code} ${seen.reason}`;
    if (news === told) return;
    told = news;
    for (const listener of listeners) listener(seen);
  };

  const arm = (): void => {
    clearTimeout(timer);
    if (status.state === 'closed' || listeners.size === 0) return;
    const delayMs = pollDelayMs(pollMs, status.failures, Math.random());
    status = { ...status, nextCheckAtMs: Date.now() + delayMs };
    timer = setTimeout(() => void sync(), delayMs).unref();
  };

  const record = (seen: Outcome<Seen>): Outcome<SourceTree> => {
    if (status.state === 'closed') return closed;
    if (seen.ok) last = seen.value;
    const branch = last?.tip.branch ?? settings.branch;
    const outcome = seen.ok ? seen.value.tree : seen;
    const revision = outcome.ok ? outcome.value.revision : status.revision;
    status = {
      ...about,
      ...(branch === undefined ? {} : { branch }),
      state: outcome.ok ? 'current' : 'failing',
      ...(revision === undefined ? {} : { revision }),
      checkedAtMs: Date.now(),
      // Files that are refused are no reason to ask less often: the repair comes by the same way.
      failures: seen.ok ? 0 : status.failures + 1,
      ...(outcome.ok ? {} : { refusal: outcome }),
    };
    arm();
    tell(outcome, seen.ok ? seen.value.tip.commit : undefined);
    return outcome;
  };

  const attempt = async (): Promise<Outcome<SourceTree>> => {
    try {
      const authorization = await authorize();
      return record(authorization.ok ? await worker.call('update', authorization.value) : authorization);
    } catch (fault) {
      settings.onFault?.(fault);
      return record(refuse('source/fault', 'The source could not be read for a reason that was not foreseen.'));
    }
  };

  const run = async (): Promise<Outcome<SourceTree>> => {
    running = attempt();
    try {
      return await running;
    } finally {
      running = undefined;
    }
  };

  const sync = async (): Promise<Outcome<SourceTree>> => {
    if (status.state === 'closed') return closed;
    if (!running) return await run();
    // What moved while an attempt was under way may have been missed by it; one more covers all who ask meanwhile.
    queued ??= (async () => {
      await running?.catch(() => {});
      queued = undefined;
      return await run();
    })();
    return await queued;
  };

  const read = async (): Promise<Outcome<SourceTree>> => {
    if (last) return last.tree;
    const seen = await worker.call('read');
    if (!seen.ok) return await sync();
    last = seen.value;
    return last.tree;
  };

  const watchRefs = ({ gitdir }: Extract<GitLocation, { kind: 'repository' }>): void => {
    const watched = [path.join(gitdir, 'HEAD'), path.join(gitdir, 'packed-refs'), path.join(gitdir, 'refs', 'heads')];
    let settling: NodeJS.Timeout | undefined;
    watcher = watchFiles(watched, { ignoreInitial: true, ignored: (file) => file.endsWith('.lock') });
    watcher.on('all', () => {
      clearTimeout(settling);
      settling = setTimeout(() => void sync(), SETTLE_MS).unref();
    });
    watcher.on('error', () => {});
  };

  return {
    kind: location.kind,
    read,
    sync,
    watch: (onChange) => {
      listeners.add(onChange);
      if (listeners.size === 1) {
        if (location.kind === 'repository' && !watcher) watchRefs(location);
        arm();
      }
      return () => {
        listeners.delete(onChange);
        if (listeners.size === 0) clearTimeout(timer);
      };
    },
    status: () => status,
    history: {
      readAt: async (revision) => await worker.call('readAt', revision),
      log: async (limit) => await worker.call('log', limit),
      between: async (from, to) => await worker.call('between', from, to),
      vet: async (from, to, signers) => await worker.call('vet', from, to, signers),
      propose: async (edit) => {
        const authorization = await authorize();
        if (!authorization.ok) return authorization;
        const proposal = await worker.call('propose', edit, authorization.value);
        if (proposal.ok && edit.branch === undefined) void sync();
        return proposal;
      },
    },
    close: async () => {
      status = { ...status, state: 'closed' };
      clearTimeout(timer);
      listeners.clear();
      await Promise.all([watcher?.close(), worker.close()]);
    },
  };
};

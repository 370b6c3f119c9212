// The worker thread in which git is read: unpacking a pack takes seconds of computing that must not stop the server. It
// does one thing at a time, in the order asked for; whoever waits too long ends the thread, and starts another.

import type { KeyObject } from 'node:crypto';
import { parentPort, workerData } from 'node:worker_threads';
import git from 'isomorphic-git';
import fs from 'node:fs';
import { parseRevision, type Revision } from '../base/ids.ts';
import { accept, refuse, type Outcome } from '../base/outcome.ts';
import { openClone, type Clone, type Tip } from './clone.ts';
import type { GitTransport } from './https.ts';
import { openHttps } from './https.ts';
import type { Location } from './location.ts';
import { proposeEdit } from './propose.ts';
import type { Proxy } from './proxy.ts';
import { refusalOf } from './refused.ts';
import { openRepository, type Repository } from './repository.ts';
import { readListedSigners } from './signers.ts';
import type { ProposedEdit, Proposal, SourceLimits } from './source.ts';
import { openSsh } from './ssh.ts';
import type { SourceCommit, SourceTree } from './tree.ts';
import { vetRange, type Signer, type Vetted } from './vet.ts';

export interface GitWorkerData {
  readonly location: Exclude<Location, { kind: 'folder' }>;
  /** Where the clone is kept. */
  readonly home: string;
  readonly branch?: string | undefined;
  readonly folder: string;
  readonly depth?: number | undefined;
  readonly caPem?: string | undefined;
  readonly proxy?: Proxy | undefined;
  readonly identityFile?: string | undefined;
  readonly knownHostsFile?: string | undefined;
  readonly sshCommand?: readonly string[] | undefined;
  readonly signingKey?: KeyObject | undefined;
  readonly limits: SourceLimits;
}

export interface Seen {
  readonly tip: Tip;
  readonly tree: Outcome<SourceTree>;
}

/** What can be asked of the worker; `authorization` is made anew for each request. */
export interface GitOperations {
  /** What is at hand, without the origin. */
  read(): Promise<Outcome<Seen>>;
  /** Asks the origin. A tree that is refused is part of what was seen; an origin that fails is not. */
  update(authorization: string | undefined): Promise<Outcome<Seen>>;
  readAt(revision: string): Promise<Outcome<SourceTree>>;
  log(limit: number): Promise<Outcome<readonly SourceCommit[]>>;
  between(from: Revision, to: Revision): Promise<Outcome<readonly SourceCommit[]>>;
  vet(from: Revision | undefined, to: Revision, signers: readonly Signer[]): Promise<Outcome<readonly Vetted[]>>;
  propose(edit: ProposedEdit, authorization: string | undefined): Promise<Outcome<Proposal>>;
}

export interface GitRequest {
  readonly id: number;
  readonly operation: keyof GitOperations;
  readonly args: readonly unknown[];
}

export interface GitReply {
  readonly id: number;
  readonly outcome?: Outcome<unknown>;
  /** A fault's text; the caller throws it. */
  readonly fault?: string;
}

const LOG_LIMIT = 10_000;

const operationsOf = (data: GitWorkerData): GitOperations => {
  const { location, folder, limits } = data;
  let clone: Clone | undefined;
  let local: Repository | undefined;
  let last: Seen | undefined;

  const cloneOf = async (url: string): Promise<Clone> =>
    (clone ??= await openClone({
      home: data.home,
      url,
      branch: data.branch,
      folder,
      depth: data.depth,
      limits,
    }));

  /** isomorphic-git wants a URL that it knows; the SSH transport looks at its end only. */
  const urlOf = location.kind === 'https' ? location.url : 'http://ssh.invalid/repository';

  const withTransport = async <T>(
    authorization: string | undefined,
    use: (transport: GitTransport) => Promise<T>,
  ): Promise<T> => {
    const transport =
      location.kind === 'ssh'
        ? openSsh({
            ...location,
            identityFile: data.identityFile,
            knownHostsFile: data.knownHostsFile,
            command: data.sshCommand,
            limits,
          })
        : openHttps({ authorization, caPem: data.caPem, proxy: data.proxy, limits });
    try {
      return await use(transport);
    } finally {
      transport.close();
    }
  };

  const repositoryOf = async (): Promise<Repository> => {
    if (location.kind === 'repository') return (local ??= openRepository(location.gitdir));
    return (await cloneOf(urlOf)).repository();
  };

  const localTip = async (gitdir: string): Promise<Outcome<Tip>> => {
    try {
      const ref =
        data.branch ?? (await git.resolveRef({ fs, gitdir, ref: 'HEAD', depth: 2 })).replace(/^refs\/heads\//, '');
      const commit = parseRevision(
        await git.resolveRef({ fs, gitdir, ref: data.branch === undefined ? 'HEAD' : `refs/heads/${ref}` }),
      );
      return commit ? accept({ branch: ref, commit }) : refuse('source/branch-missing', 'The branch names no commit.');
    } catch {
      return refuse(
        'source/branch-missing',
        data.branch === undefined ? 'The repository is empty.' : `The repository has no branch ${data.branch}.`,
      );
    }
  };

  const see = async (tip: Tip, tree?: SourceTree): Promise<Outcome<Seen>> => {
    if (last?.tip.commit === tip.commit && last.tip.branch === tip.branch) return accept(last);
    const repository = await repositoryOf();
    const loaded = await repository.load(tip.commit, limits.commits);
    if (!loaded.ok) return loaded;
    last = { tip, tree: tree ? accept(tree) : await repository.readTree(tip.commit, folder) };
    return accept(last);
  };

  const read = async (): Promise<Outcome<Seen>> => {
    if (location.kind === 'repository') {
      const tip = await localTip(location.gitdir);
      return tip.ok ? await see(tip.value) : tip;
    }
    const tip = (await cloneOf(urlOf)).tip();
    return tip ? await see(tip) : refuse('source/branch-missing', 'Nothing was fetched yet.');
  };

  const update = async (authorization: string | undefined): Promise<Outcome<Seen>> => {
    if (location.kind === 'repository') return await read();
    const opened = await cloneOf(urlOf);
    const ask = async (): Promise<Outcome<Seen>> => {
      const before = opened.tip()?.commit;
      const protocol = location.kind === 'ssh' ? 1 : 2;
      const updated = await withTransport(authorization, async (transport) => await opened.update(transport, protocol));
      if (updated.ok) return await see(updated.value.tip, updated.value.tree);
      // The tip moved on to files that are refused: that was seen. Everything else is the origin's failure.
      const tip = opened.tip();
      return tip && tip.commit !== before ? await see(tip) : updated;
    };
    const seen = await ask();
    if (seen.ok || seen.code !== 'source/incomplete') return seen;
    opened.distrust();
    return await ask();
  };

  const tipCommit = async (): Promise<Outcome<Tip>> => {
    const seen = await read();
    return seen.ok ? accept(seen.value.tip) : seen;
  };

  const log = async (limit: number): Promise<Outcome<readonly SourceCommit[]>> => {
    const tip = await tipCommit();
    return tip.ok ? await (await repositoryOf()).log(tip.value.commit, Math.min(limit, LOG_LIMIT)) : tip;
  };

  const rangeOf = async (from: Revision, to: Revision): Promise<Outcome<readonly Revision[]>> => {
    const repository = await repositoryOf();
    for (const commit of [from, to]) {
      const loaded = await repository.load(commit, limits.commits);
      if (!loaded.ok && commit === to) return loaded;
    }
    const range = repository.range(from, to);
    return range
      ? accept(range)
      : refuse('source/rewritten', 'The branch was rewritten: it does not continue from the last good commit.');
  };

  const between = async (from: Revision, to: Revision): Promise<Outcome<readonly SourceCommit[]>> => {
    const range = await rangeOf(from, to);
    return range.ok ? await (await repositoryOf()).describe(range.value) : range;
  };

  const vet = async (
    from: Revision | undefined,
    to: Revision,
    signers: readonly Signer[],
  ): Promise<Outcome<readonly Vetted[]>> => {
    const repository = await repositoryOf();
    const range = from === undefined ? accept([to]) : await rangeOf(from, to);
    if (!range.ok) return range;
    return await vetRange(range.value, signers, {
      readRaw: async (commit) => await repository.readRaw(commit),
      // Outside of the range everybody counts who counted at its start.
      parentsOf: (commit) => repository.parentsOf(commit),
      listedBy: async (commit) => readListedSigners(await repository.readFile(commit, folder, 'tailnet.json5')),
    });
  };

  const readAt = async (text: string): Promise<Outcome<SourceTree>> => {
    const tip = await tipCommit();
    const repository = await repositoryOf();
    const isTip = /^HEAD(?=[~^]|$)/;
    const commit = await repository.resolve(tip.ok ? text.replace(isTip, tip.value.commit) : text);
    return commit.ok ? await repository.readTree(commit.value, folder) : commit;
  };

  const propose = async (edit: ProposedEdit, authorization: string | undefined): Promise<Outcome<Proposal>> => {
    const tip = await tipCommit();
    if (!tip.ok) return tip;
    const gitdir = (await repositoryOf()).gitdir();
    const target = { gitdir, tip: tip.value, folder, location, signingKey: data.signingKey };
    if (location.kind === 'repository') return await proposeEdit(target, edit, undefined);
    return await withTransport(authorization, (transport) =>
      proposeEdit(target, edit, { client: transport.client, url: urlOf }),
    );
  };

  return { read, update, readAt, log, between, vet, propose };
};

const port = parentPort;
if (port) {
  const operations = operationsOf(workerData as GitWorkerData);
  let before: Promise<unknown> = Promise.resolve();
  const answer = async ({ id, operation, args }: GitRequest): Promise<void> => {
    const run = operations[operation] as (...args: readonly unknown[]) => Promise<Outcome<unknown>>;
    try {
      port.postMessage({ id, outcome: await run(...args) } satisfies GitReply);
    } catch (error) {
      const refusal = refusalOf(error);
      const fault = error instanceof Error ? (error.stack ?? error.message) : String(error);
      port.postMessage((refusal ? { id, outcome: refusal } : { id, fault }) satisfies GitReply);
    }
  };
  port.on('message', (request: GitRequest) => {
    before = before.then(() => answer(request));
  });
}

// A bare clone of one branch of a remote. The remote's ref is asked for first and objects are fetched only when it moved.
// isomorphic-git moves its refs before objects arrive and never collects garbage, so its refs are not believed: a tip
// counts only once its commits and files were all found, and after a number of updates, or when anything is missing, the
// clone is made anew next to the old one and takes its place.

import fs from 'node:fs/promises';
import path from 'node:path';
import git from 'isomorphic-git';
import { parseRevision, type Revision } from '../base/ids.ts';
import { accept, refuse, type Outcome } from '../base/outcome.ts';
import type { GitTransport } from './https.ts';
import { PACK_LIMITS } from './pack.ts';
import { library, refusalOf } from './refused.ts';
import { openRepository, type Repository } from './repository.ts';
import type { SourceLimits } from './source.ts';
import { gitFiles } from './store.ts';
import type { SourceTree } from './tree.ts';

export interface CloneSettings {
  /** The folder that holds the clone; nothing else is in it. */
  readonly home: string;
  /** For isomorphic-git; over SSH only its form matters. */
  readonly url: string;
  readonly branch?: string | undefined;
  readonly folder: string;
  readonly depth?: number | undefined;
  readonly limits: SourceLimits;
}

export interface Tip {
  readonly branch: string;
  readonly commit: Revision;
}

export interface Clone {
  /** The newest tip that was found whole, from memory or disk. */
  tip(): Tip | undefined;
  /** Asks the remote; `tree` is absent when its tip is the one that is known. */
  update(transport: GitTransport, protocol: 1 | 2): Promise<Outcome<{ readonly tip: Tip; readonly tree?: SourceTree }>>;
  repository(): Repository;
  /** What is on disk turned out to be damaged: the next update clones anew. */
  distrust(): void;
}

const files = gitFiles(PACK_LIMITS);

const makeBare = async (gitdir: string, url: string): Promise<void> => {
  await fs.rm(gitdir, { recursive: true, force: true });
  await fs.mkdir(gitdir, { recursive: true });
  await git.init({ fs: files, gitdir, bare: true, defaultBranch: 'main' });
  await git.addRemote({ fs: files, gitdir, remote: 'origin', url });
};

/** The state that counts, in one small file that is written last. */
const parseTrusted = (text: string): (Tip & { readonly updates: number }) | undefined => {
  const [commit = '', branch = '', updates = ''] = text.trim().split('\n');
  const revision = parseRevision(commit);
  return revision && branch ? { commit: revision, branch, updates: Number(updates) || 0 } : undefined;
};

export const openClone = async (settings: CloneSettings): Promise<Clone> => {
  const { home, url, limits, folder } = settings;
  const current = path.join(home, 'clone');
  const next = path.join(home, 'clone.next');
  const old = path.join(home, 'clone.old');
  const trustedFile = (gitdir: string): string => path.join(gitdir, 'tailplane-trusted');

  await fs.mkdir(home, { recursive: true, mode: 0o700 });
  // A crash between the two renames of `takeOver` left only the old one.
  const exists = async (file: string): Promise<boolean> =>
    await fs.stat(file).then(
      () => true,
      () => false,
    );
  if (!(await exists(current)) && (await exists(old))) await fs.rename(old, current);
  await fs.rm(next, { recursive: true, force: true });
  await fs.rm(old, { recursive: true, force: true });

  let trusted = parseTrusted(await fs.readFile(trustedFile(current), 'utf8').catch(() => ''));
  let repository = openRepository(current);
  /** A fetch into this clone did not end well; the next one is made into a new clone. */
  let damaged = false;

  const listTip = async (transport: GitTransport, protocol: 1 | 2): Promise<Outcome<Tip>> => {
    const refs = await git.listServerRefs({
      http: transport.client,
      url,
      protocolVersion: protocol,
      symrefs: true,
      ...(protocol === 2 ? { prefix: settings.branch === undefined ? 'HEAD' : `refs/heads/${settings.branch}` } : {}),
    });
    const named = settings.branch === undefined ? undefined : `refs/heads/${settings.branch}`;
    const ref = refs.find((candidate) => candidate.ref === (named ?? 'HEAD'));
    const target = named ?? ref?.target;
    const commit = parseRevision(ref?.oid ?? '');
    if (!commit || !target?.startsWith('refs/heads/')) {
      return refuse(
        'source/branch-missing',
        settings.branch === undefined ? 'The repository is empty.' : `The repository has no branch ${settings.branch}.`,
      );
    }
    return accept({ commit, branch: target.slice('refs/heads/'.length) });
  };

  const fetchInto = async (gitdir: string, tip: Tip, transport: GitTransport, depth?: number): Promise<void> => {
    const fetching = git.fetch({
      fs: files,
      http: transport.client,
      gitdir,
      url,
      remote: 'origin',
      // The local name of the branch, so that what is there already is not sent again.
      ref: `origin/${tip.branch}`,
      remoteRef: `refs/heads/${tip.branch}`,
      singleBranch: true,
      tags: false,
      cache: {},
      // For a new clone only: later fetches go on from what is there, so that ancestry can be told.
      ...(depth === undefined ? {} : { depth }),
    });
    await library(fetching, refuse('source/protocol', 'The git host sent something that is not git, or was cut off.'));
  };

  const trust = async (gitdir: string, tip: Tip, updates: number): Promise<void> => {
    const file = trustedFile(gitdir);
    await fs.writeFile(`${file}.part`, `${tip.commit}\n${tip.branch}\n${updates}\n`);
    await fs.rename(`${file}.part`, file);
    trusted = { ...tip, updates };
  };

  /** The tip that the fetch brought, which may be newer than the one that was listed. */
  const arrived = async (gitdir: string, tip: Tip): Promise<Tip> => {
    const oid = await git.resolveRef({ fs, gitdir, ref: `refs/remotes/origin/${tip.branch}` });
    return { ...tip, commit: parseRevision(oid) ?? tip.commit };
  };

  /** Whether a refusal is about the store and not about what a user committed. */
  const isUnsound = (tree: Outcome<SourceTree>): boolean => !tree.ok && tree.code === 'source/incomplete';

  /** Brings a tip into a store; its files may be refused while the store is sound. */
  const bring = async (gitdir: string, from: Repository, listed: Tip, updates: number, transport: GitTransport) => {
    await fetchInto(gitdir, listed, transport, gitdir === next ? settings.depth : undefined);
    const tip = await arrived(gitdir, listed);
    const loaded = await from.load(tip.commit, limits.commits);
    if (!loaded.ok) return { tip, tree: loaded };
    const tree = await from.readTree(tip.commit, folder);
    if (!isUnsound(tree)) await trust(gitdir, tip, updates);
    return { tip, tree };
  };

  const update: Clone['update'] = async (transport, protocol) => {
    try {
      const listed = await listTip(transport, protocol);
      if (!listed.ok) return listed;
      const { commit, branch } = listed.value;
      if (trusted?.commit === commit && trusted.branch === branch) return accept({ tip: listed.value });
      if (trusted && !damaged && trusted.updates + 1 < limits.updatesPerClone) {
        damaged = true;
        const { tip, tree } = await bring(current, repository, listed.value, trusted.updates + 1, transport);
        damaged = isUnsound(tree);
        if (!damaged) return tree.ok ? accept({ tip, tree: tree.value }) : tree;
      }
      await makeBare(next, url);
      const fresh = openRepository(next);
      const { tip, tree } = await bring(next, fresh, listed.value, 0, transport);
      if (trusted?.commit !== tip.commit) return tree.ok ? accept({ tip, tree: tree.value }) : tree;
      await takeOver(fresh);
      damaged = false;
      return tree.ok ? accept({ tip, tree: tree.value }) : tree;
    } catch (error) {
      const refusal = refusalOf(error);
      if (!refusal) throw error;
      return refusal;
    } finally {
      await fs.rm(next, { recursive: true, force: true });
    }
  };

  const takeOver = async (fresh: Repository): Promise<void> => {
    if (await exists(current)) await fs.rename(current, old);
    await fs.rename(next, current);
    await fs.rm(old, { recursive: true, force: true });
    fresh.moved(current);
    repository = fresh;
  };

  return {
    tip: () => trusted,
    update,
    repository: () => repository,
    distrust: () => {
      trusted = undefined;
    },
  };
};

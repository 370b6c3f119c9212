// Reading from a git object store, bare or not, without a work tree and so without its lock. The graph of commits is kept
// in memory, so that ancestry is exact whatever the clocks of the people who made the commits; files are read by name
// from the trees, and whatever is not a plain file there is refused.

import fs from 'node:fs';
import path from 'node:path';
import git from 'isomorphic-git';
import { parseRevision, type Revision } from '../base/ids.ts';
import { accept, refuse, type Outcome } from '../base/outcome.ts';
import { describeCommit, parseCommit, type RawCommit } from './commit.ts';
import { parseLocation } from './location.ts';
import { library, Refused, refusalOf } from './refused.ts';
import { FILE_LIMIT_BYTES, TAILNET_FILES, TREE_LIMIT_BYTES, type SourceCommit, type SourceTree } from './tree.ts';

const MODE_TREE = '040000';
const MODE_LINK = '120000';
const MODE_SUBMODULE = '160000';

const missing = refuse('source/incomplete', 'Objects of the commit are missing or damaged.');

const LFS_POINTER = Buffer.from('version https://git-lfs.github.com/spec/');

export interface Repository {
  gitdir(): string;
  /** The same store now lies elsewhere; what was read stays known. */
  moved(gitdir: string): void;
  /** Reads every commit that `tip` descends from and that is not known yet. */
  load(tip: Revision, commitLimit: number): Promise<Outcome<undefined>>;
  readRaw(commit: Revision): Promise<Outcome<RawCommit>>;
  readTree(commit: Revision, folder: string): Promise<Outcome<SourceTree>>;
  /** One file of a commit, or undefined where there is none that could be read. */
  readFile(commit: Revision, folder: string, name: string): Promise<Uint8Array | undefined>;
  /** `HEAD`, a branch, a full commit id or the beginning of one, each with `~n` or `^` behind it. */
  resolve(text: string): Promise<Outcome<Revision>>;
  /** From a loaded tip, newest first. */
  log(tip: Revision, limit: number): Promise<Outcome<readonly SourceCommit[]>>;
  describe(commits: readonly Revision[]): Promise<Outcome<readonly SourceCommit[]>>;
  /** Commits of loaded `to` that loaded `from` does not have, parents first; undefined if `to` does not descend from `from`. */
  range(from: Revision, to: Revision): readonly Revision[] | undefined;
  /** Parents within what was loaded. */
  parentsOf(commit: Revision): readonly Revision[];
}

interface TreeEntry {
  readonly mode: string;
  readonly path: string;
  readonly oid: string;
}

export const openRepository = (at: string): Repository => {
  let gitdir = at;
  const graph = new Map<Revision, readonly Revision[]>();

  // A cache of isomorphic-git holds whole packs, so it lives no longer than one operation.
  const reading = async <T>(read: (cache: object) => Promise<Outcome<T>>): Promise<Outcome<T>> => {
    try {
      return await read({});
    } catch (error) {
      const refusal = refusalOf(error);
      if (!refusal) throw error;
      return refusal.code === 'source/protocol' ? missing : refusal;
    }
  };

  const rawOf = async (oid: string, cache: object): Promise<RawCommit> => {
    const { object, type } = await library(git.readObject({ fs, gitdir, oid, format: 'content', cache }), missing);
    const raw = type === 'commit' ? parseCommit(object as Uint8Array) : undefined;
    if (!raw) throw new Refused(missing);
    return raw;
  };

  const shallowCommits = (): ReadonlySet<string> => {
    try {
      return new Set(fs.readFileSync(path.join(gitdir, 'shallow'), 'utf8').split('\n'));
    } catch {
      return new Set();
    }
  };

  const load: Repository['load'] = async (tip, commitLimit) =>
    await reading(async (cache) => {
      const shallow = shallowCommits();
      const found = new Map<Revision, readonly Revision[]>();
      const open: Revision[] = [tip];
      for (let commit = open.pop(); commit !== undefined; commit = open.pop()) {
        if (graph.has(commit) || found.has(commit)) continue;
        if (graph.size + found.size >= commitLimit) {
          return refuse('source/too-many-commits', `The branch has more than ${commitLimit} commits; set a depth.`);
        }
        const raw = await rawOf(commit, cache);
        const parents = shallow.has(commit) ? [] : (raw.parents as readonly string[] as readonly Revision[]);
        found.set(commit, parents);
        open.push(...parents);
      }
      // Only a chain that is whole is remembered.
      for (const [commit, parents] of found) graph.set(commit, parents);
      return accept(undefined);
    });

  const entriesOf = async (oid: string, cache: object): Promise<readonly TreeEntry[]> =>
    (await library(git.readTree({ fs, gitdir, oid, cache }), missing)).tree;

  /** The tree of the tailnet folder within a commit. */
  const folderOf = async (raw: RawCommit, folder: string, cache: object): Promise<Outcome<string>> => {
    let oid = raw.tree;
    for (const part of folder.split('/').filter((name) => name !== '' && name !== '.')) {
      const entry = (await entriesOf(oid, cache)).find((candidate) => candidate.path === part);
      if (entry?.mode === MODE_SUBMODULE) return refuse('source/submodule', `${folder} lies in a submodule.`);
      if (entry?.mode === MODE_LINK) return refuse('source/symlink', `${folder} goes through a symbolic link.`);
      if (entry?.mode !== MODE_TREE) return refuse('source/folder-missing', `The commit has no folder ${folder}.`);
      oid = entry.oid;
    }
    return accept(oid);
  };

  const fileOf = async ({ mode, oid, path: name }: TreeEntry, cache: object): Promise<Outcome<Uint8Array>> => {
    if (mode === MODE_LINK) return refuse('source/symlink', `${name} is a symbolic link.`);
    if (mode === MODE_SUBMODULE) return refuse('source/submodule', `${name} is a submodule.`);
    if (mode === MODE_TREE) return refuse('source/not-a-file', `${name} is a folder.`);
    const { blob } = await library(git.readBlob({ fs, gitdir, oid, cache }), missing);
    if (blob.length > FILE_LIMIT_BYTES) return refuse('source/file-too-large', `${name} is larger than 4 MiB.`);
    if (LFS_POINTER.equals(blob.subarray(0, LFS_POINTER.length))) {
      return refuse('source/lfs-pointer', `${name} is a pointer to Git LFS; keep the file itself in git.`);
    }
    return accept(new Uint8Array(blob));
  };

  const readTree: Repository['readTree'] = async (commit, folder) =>
    await reading<SourceTree>(async (cache) => {
      const raw = await rawOf(commit, cache);
      const tree = await folderOf(raw, folder, cache);
      if (!tree.ok) return tree;
      const entries = new Map((await entriesOf(tree.value, cache)).map((entry) => [entry.path, entry]));
      const files = new Map<string, Uint8Array>();
      let sizeBytes = 0;
      for (const name of TAILNET_FILES) {
        const entry = entries.get(name);
        if (!entry) continue;
        const file = await fileOf(entry, cache);
        if (!file.ok) return file;
        sizeBytes += file.value.length;
        if (sizeBytes > TREE_LIMIT_BYTES) {
          return refuse('source/tree-too-large', 'The files are larger than 16 MiB together.');
        }
        files.set(name, file.value);
      }
      return accept({ revision: commit, files, commit: describeCommit(commit, raw) });
    });

  const readFile: Repository['readFile'] = async (commit, folder, name) => {
    const file = await reading(async (cache) => {
      const tree = await folderOf(await rawOf(commit, cache), folder, cache);
      if (!tree.ok) return tree;
      const entry = (await entriesOf(tree.value, cache)).find((candidate) => candidate.path === name);
      return entry ? await fileOf(entry, cache) : refuse('source/unreadable', `There is no ${name}.`);
    });
    return file.ok ? file.value : undefined;
  };

  const baseOf = async (text: string): Promise<Revision | undefined> => {
    const short = /^[0-9a-f]{7,39}$/.test(text);
    const loaded = short ? [...graph.keys()].filter((commit) => commit.startsWith(text)) : [];
    if (loaded.length > 0) return loaded.length === 1 ? loaded[0] : undefined;
    try {
      if (short) return parseRevision(await git.expandOid({ fs, gitdir, oid: text, cache: {} }));
      if (parseRevision(text)) return parseRevision(text);
      return parseRevision(await git.resolveRef({ fs, gitdir, ref: text }));
    } catch {
      return undefined;
    }
  };

  const resolve: Repository['resolve'] = async (text) => {
    const unknown = refuse('source/unknown-commit', `There is no commit «${text.slice(0, 80)}».`);
    const match = /^(.+?)((?:\^|~\d{0,4})*)$/.exec(text);
    let commit = match && text.length < 200 ? await baseOf(match[1] as string) : undefined;
    for (const [step] of (match?.[2] ?? '').matchAll(/\^|~\d*/g)) {
      for (let left = step === '^' || step === '~' ? 1 : Number(step.slice(1)); left > 0 && commit; left--) {
        const raw = await readRaw(commit);
        commit = raw.ok ? parseRevision(raw.value.parents[0] ?? '') : undefined;
      }
    }
    if (!commit) return unknown;
    return (await readRaw(commit)).ok ? accept(commit) : unknown;
  };

  const readRaw: Repository['readRaw'] = async (commit) =>
    await reading(async (cache) => accept(await rawOf(commit, cache)));

  const log: Repository['log'] = async (tip, limit) =>
    await reading(async (cache) => {
      const out: SourceCommit[] = [];
      const seen = new Set<Revision>([tip]);
      // Newest first by commit time, but never a parent before its child: a parent enters when its child is out.
      const open: SourceCommit[] = [describeCommit(tip, await rawOf(tip, cache))];
      while (open.length > 0 && out.length < limit) {
        open.sort((a, b) => a.committer.atMs - b.committer.atMs);
        const next = open.pop() as SourceCommit;
        out.push(next);
        for (const parent of graph.get(next.id) ?? []) {
          if (seen.has(parent)) continue;
          seen.add(parent);
          open.push(describeCommit(parent, await rawOf(parent, cache)));
        }
      }
      return accept(out);
    });

  const describe: Repository['describe'] = async (commits) =>
    await reading(async (cache) => {
      const out: SourceCommit[] = [];
      for (const commit of commits) out.push(describeCommit(commit, await rawOf(commit, cache)));
      return accept(out);
    });

  const ancestorsOf = (commit: Revision): ReadonlySet<Revision> => {
    const out = new Set<Revision>([commit]);
    for (const next of out) for (const parent of graph.get(next) ?? []) out.add(parent);
    return out;
  };

  const range: Repository['range'] = (from, to) => {
    if (from === to) return [];
    const known = ancestorsOf(from);
    const out: Revision[] = [];
    const state = new Map<Revision, 'open' | 'done'>();
    const stack: Revision[] = [to];
    let descends = false;
    while (stack.length > 0) {
      const commit = stack.at(-1) as Revision;
      if (commit === from) descends = true;
      if (known.has(commit) || state.get(commit) === 'done') {
        stack.pop();
      } else if (state.get(commit) === 'open') {
        state.set(commit, 'done');
        out.push(commit);
        stack.pop();
      } else {
        state.set(commit, 'open');
        stack.push(...(graph.get(commit) ?? []));
      }
    }
    return descends ? out : undefined;
  };

  return {
    gitdir: () => gitdir,
    moved: (to) => {
      gitdir = to;
    },
    load,
    readRaw,
    readTree,
    readFile,
    resolve,
    log,
    describe,
    range,
    parentsOf: (commit) => graph.get(commit) ?? [],
  };
};

/** Reads a revision of a local repository in this thread: for a command that reads once and ends. */
export const readLocalRevision = async (dir: string, revision: string, folder = ''): Promise<Outcome<SourceTree>> => {
  const location = parseLocation(dir, true);
  if (!location.ok) return location;
  const repository = openRepository((location.value as { gitdir: string }).gitdir);
  const commit = await repository.resolve(revision);
  return commit.ok ? await repository.readTree(commit.value, folder) : commit;
};

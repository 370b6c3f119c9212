// New contents of tailnet files as a commit on top of the newest one: on the followed branch, or on a new branch that is
// pushed for a person to review. Only blobs, the trees above them and one commit are written; there is no work tree.

import type { KeyObject } from 'node:crypto';
import fs from 'node:fs';
import git, { type HttpClient } from 'isomorphic-git';
import { parseRevision } from '../base/ids.ts';
import { accept, refuse, type Outcome } from '../base/outcome.ts';
import type { Tip } from './clone.ts';
import { formatCommit } from './commit.ts';
import type { Location } from './location.ts';
import { PACK_LIMITS } from './pack.ts';
import { refusalOf } from './refused.ts';
import type { Proposal, ProposedEdit } from './source.ts';
import { signSsh } from './sshsig.ts';
import { gitFiles } from './store.ts';
import { TAILNET_FILES } from './tree.ts';

export interface ProposeTarget {
  readonly gitdir: string;
  readonly tip: Tip;
  readonly folder: string;
  readonly location: Exclude<Location, { kind: 'folder' }>;
  /** Ed25519; without it the commit is not signed. */
  readonly signingKey: KeyObject | undefined;
}

const files = gitFiles(PACK_LIMITS);

/** Where a pull request is opened, by what the host's URLs look like; self-hosted ones are told by their path alone. */
export const openUrlOf = (location: ProposeTarget['location'], base: string, branch: string): string | undefined => {
  const web =
    location.kind === 'https'
      ? location.url.replace(/\.git$/, '')
      : location.kind === 'ssh'
        ? `https://${location.host}/${location.path.replace(/^\/+/, '').replace(/\.git$/, '')}`
        : undefined;
  if (web === undefined) return undefined;
  const [from, to] = [encodeURIComponent(base), encodeURIComponent(branch)];
  if (/^https:\/\/[^/]*gitlab/.test(web)) {
    return `${web}/-/merge_requests/new?merge_request%5Bsource_branch%5D=${to}&merge_request%5Btarget_branch%5D=${from}`;
  }
  return `${web}/compare/${from}...${to}`;
};

/** Writes the tree with the new files in it, from the folder up to the root. */
const writeTreeWith = async (
  gitdir: string,
  root: string,
  parts: readonly string[],
  edit: ProposedEdit,
): Promise<string> => {
  const { tree } = await git.readTree({ fs, gitdir, oid: root, cache: {} });
  const entries = new Map(tree.map((entry) => [entry.path, entry]));
  const [part, ...rest] = parts;
  if (part !== undefined) {
    const entry = entries.get(part);
    if (entry?.type !== 'tree') throw Object.assign(new Error('no such folder'), { code: 'NotFoundError' });
    entries.set(part, { ...entry, oid: await writeTreeWith(gitdir, entry.oid, rest, edit) });
  } else {
    for (const [name, bytes] of edit.files) {
      const oid = await git.writeBlob({ fs: files, gitdir, blob: bytes });
      entries.set(name, { mode: entries.get(name)?.mode ?? '100644', path: name, oid, type: 'blob' });
    }
  }
  return await git.writeTree({ fs: files, gitdir, tree: [...entries.values()] });
};

/** Moving a branch under a work tree would make the work tree look like the opposite change. */
const isCheckedOut = async (
  { path, gitdir }: Extract<Location, { kind: 'repository' }>,
  branch: string,
): Promise<boolean> => path !== gitdir && (await git.currentBranch({ fs, gitdir })) === branch;

/** Without a remote the branch of the local repository moves; with one it is pushed and no local branch moves. */
export const proposeEdit = async (
  { gitdir, tip, folder, location, signingKey }: ProposeTarget,
  edit: ProposedEdit,
  remote: { readonly client: HttpClient; readonly url: string } | undefined,
): Promise<Outcome<Proposal>> => {
  if ([...edit.files.keys()].some((name) => !TAILNET_FILES.includes(name))) {
    return refuse('source/not-a-file', 'Only the files of a tailnet can be edited.');
  }
  const branch = edit.branch ?? tip.branch;
  const head = await git.readCommit({ fs, gitdir, oid: tip.commit, cache: {} });
  const parts = folder.split('/').filter((part) => part !== '' && part !== '.');
  const tree = await writeTreeWith(gitdir, head.commit.tree, parts, edit);
  const { author, message } = edit;
  const content = { tree, parents: [tip.commit], author, atSeconds: Math.floor(Date.now() / 1000), message };
  const object = formatCommit(content, signingKey && ((payload) => signSsh(signingKey, payload)));
  const commit = await git.writeObject({ fs: files, gitdir, type: 'commit', format: 'content', object });
  const revision = parseRevision(commit);
  if (!revision) throw new Error('isomorphic-git wrote a commit without an id');
  const openUrl = edit.branch === undefined ? undefined : openUrlOf(location, tip.branch, branch);
  const proposal = { commit: revision, branch, ...(openUrl === undefined ? {} : { openUrl }) };
  if (!remote) {
    if (edit.branch === undefined && location.kind === 'repository' && (await isCheckedOut(location, branch))) {
      return refuse(
        'source/push-refused',
        `The branch ${branch} is checked out in ${location.path}; propose a branch instead.`,
      );
    }
    const ref = `refs/heads/${branch}`;
    const now = await git.resolveRef({ fs, gitdir, ref }).catch(() => undefined);
    if (edit.branch === undefined ? now !== tip.commit : now !== undefined) {
      return refuse('source/push-refused', `The branch ${branch} moved meanwhile; try again.`);
    }
    await git.writeRef({ fs: files, gitdir, ref, value: commit, force: true });
    return accept(proposal);
  }
  const ref = `refs/tailplane/outgoing`;
  await git.writeRef({ fs: files, gitdir, ref, value: commit, force: true });
  try {
    const pushed = await git.push({
      fs: files,
      http: remote.client,
      gitdir,
      url: remote.url,
      ref,
      remoteRef: `refs/heads/${branch}`,
      cache: {},
    });
    return pushed.ok ? accept(proposal) : refuse('source/push-refused', 'The git host refused the push.');
  } catch (error) {
    const refusal = refusalOf(error);
    if (!refusal) throw error;
    return refusal;
  } finally {
    await git.deleteRef({ fs: files, gitdir, ref });
  }
};

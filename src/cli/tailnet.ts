// Reading tailnets for the commands that review: a folder, a revision of its repository, a list of nodes. No server needed.

import fs from 'node:fs';
import path from 'node:path';
import { parseRevision, type Revision } from '../base/ids.ts';
import type { Outcome } from '../base/outcome.ts';
import { parseNodeList } from '../review/node-list.ts';
import { renderTerminal } from '../review/terminal.ts';
import { compileSnapshot } from '../snapshot/compile.ts';
import type { RegisteredNode } from '../snapshot/resolve.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { folderRevision, type SourceCommit } from '../source/tree.ts';
import { EXIT, Failure } from './failure.ts';
import { wantsColour } from './output.ts';
import { readTailnetFolder } from './tailnetfolder.ts';

/** Loaded when it is asked for: all commands load this file, and few read a repository. */
const git = () => import('../source/repository.ts');

const compile = (revision: Revision, files: ReadonlyMap<string, Uint8Array>, what: string): Snapshot => {
  const { snapshot, diagnostics, folder } = compileSnapshot({ revision, files });
  if (snapshot) return snapshot;
  const sources = new Map(folder.files.map(({ file, text }) => [file, text]));
  process.stderr.write(`${renderTerminal({ diagnostics, sources }, { colour: wantsColour(process.stderr) })}\n`);
  throw new Failure(
    EXIT.findings,
    'server/tailnet-broken',
    `${what} has errors; see above.`,
    'Mend them first; `tailplane lint` shows them again.',
  );
};

/** The folder as it is now. */
export const readTailnet = (folder: string): Snapshot => {
  const files = readTailnetFolder(folder);
  return compile(folderRevision(files), files, path.resolve(folder));
};

const gitRoot = (folder: string): string | undefined => {
  for (let at = fs.realpathSync.native(folder); ; at = path.dirname(at)) {
    if (fs.existsSync(path.join(at, '.git'))) return at;
    if (at === path.dirname(at)) return undefined;
  }
};

/** The folder as it was at a revision of the repository around it; undefined where it wasn't there yet. */
export const readTailnetAt = async (folder: string, revision: string): Promise<Snapshot | undefined> => {
  const root = gitRoot(folder);
  if (root === undefined) {
    throw new Failure(
      EXIT.usage,
      'cli/usage',
      `${path.resolve(folder)} is in no git repository, so it has no revision «${revision}».`,
      'Run the command in a clone of the repository.',
    );
  }
  const inside = path.relative(root, fs.realpathSync.native(folder)).split(path.sep).join('/');
  const { readLocalRevision } = await git();
  const tree = await readLocalRevision(root, revision, inside);
  if (!tree.ok) {
    if (tree.code === 'source/folder-missing') return undefined;
    throw new Failure(
      EXIT.usage,
      tree.code,
      tree.reason,
      'In CI, fetch the base as well: actions/checkout with fetch-depth: 0.',
    );
  }
  return compile(
    parseRevision(tree.value.revision) ?? tree.value.revision,
    tree.value.files,
    `The tailnet at ${revision}`,
  );
};

/** The nodes of a file, `-` for standard input; undefined where none is named. */
export const readNodeList = (file: string | undefined): readonly RegisteredNode[] | undefined => {
  if (file === undefined) return undefined;
  let text: string;
  try {
    text = fs.readFileSync(file === '-' ? 0 : file, 'utf8');
  } catch (error) {
    throw new Failure(
      EXIT.usage,
      'cli/usage',
      `${file} can't be read: ${(error as NodeJS.ErrnoException).code}.`,
      'Name a file that `tailplane nodes export` wrote.',
    );
  }
  const nodes = parseNodeList(text);
  if (!nodes.ok)
    throw new Failure(EXIT.usage, nodes.code, nodes.reason, 'tailplane nodes export > nodes.json writes a good one.');
  return nodes.value;
};

const HISTORY = 10_000;

/** Commits from HEAD back, each with its tailnet; without one where the folder was absent or had errors. */
export async function* readHistory(
  folder: string,
): AsyncGenerator<{ readonly commit: SourceCommit; readonly snapshot: Snapshot | undefined }> {
  const root = gitRoot(folder);
  if (root === undefined) {
    throw new Failure(
      EXIT.usage,
      'cli/usage',
      `${path.resolve(folder)} is in no git repository.`,
      'Run the command in a clone.',
    );
  }
  const inside = path.relative(root, fs.realpathSync.native(folder)).split(path.sep).join('/');
  const { openRepository } = await git();
  const repository = openRepository(path.join(root, '.git'));
  const take = <T>(outcome: Outcome<T>): T => {
    if (outcome.ok) return outcome.value;
    throw new Failure(EXIT.usage, outcome.code, outcome.reason, 'The whole history is needed: git fetch --unshallow.');
  };
  const tip = take(await repository.resolve('HEAD'));
  take(await repository.load(tip, HISTORY));
  for (const commit of take(await repository.log(tip, HISTORY))) {
    const tree = await repository.readTree(commit.id, inside);
    yield {
      commit,
      snapshot: tree.ok
        ? compileSnapshot({ revision: tree.value.revision, files: tree.value.files }).snapshot
        : undefined,
    };
  }
}

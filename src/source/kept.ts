// The last good tree on disk, with its commit, in one file: a restart serves it at once, also while the git host is away
// and the clone is gone. It carries a digest of itself, because a file that was cut off must not become a policy.

import { createHash } from 'node:crypto';
import fs from 'node:fs/promises';
import path from 'node:path';
import { parseRevision } from '../base/ids.ts';
import { accept, refuse, type Outcome } from '../base/outcome.ts';
import { TAILNET_FILES, type SourceTree } from './tree.ts';

export interface Kept {
  readonly tree: SourceTree;
  /** The source it came from: another location or branch does not continue from it. */
  readonly origin: string;
  readonly keptAtMs: number;
}

const fileIn = (dataDir: string): string => path.join(dataDir, 'last-good.json');

const digestOf = (text: string): string => createHash('sha256').update(text).digest('hex');

const damaged = refuse('source/kept-damaged', 'The last good snapshot on disk cannot be read.');

/** The file is whole and on disk when this ends. */
export const writeKept = async (dataDir: string, { tree, origin, keptAtMs }: Kept): Promise<void> => {
  const files = Object.fromEntries(
    [...tree.files].map(([name, bytes]) => [name, Buffer.from(bytes).toString('base64')]),
  );
  const text = JSON.stringify({ revision: tree.revision, origin, keptAtMs, commit: tree.commit, files });
  const part = `${fileIn(dataDir)}.part`;
  const handle = await fs.open(part, 'w', 0o600);
  try {
    await handle.writeFile(`${digestOf(text)}\n${text}\n`);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await fs.rename(part, fileIn(dataDir));
};

/** Undefined where nothing was kept yet. */
export const readKept = async (dataDir: string): Promise<Outcome<Kept | undefined>> => {
  let whole: string;
  try {
    whole = await fs.readFile(fileIn(dataDir), 'utf8');
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'ENOENT' ? accept(undefined) : damaged;
  }
  const [digest, text = ''] = whole.split('\n', 2);
  if (digestOf(text) !== digest) return damaged;
  // Written by us and whole, so its form is known; an older form would carry another first line.
  const { revision, origin, keptAtMs, commit, files } = JSON.parse(text) as {
    revision: string;
    origin: string;
    keptAtMs: number;
    commit?: SourceTree['commit'];
    files: Readonly<Record<string, string>>;
  };
  const parsed = parseRevision(revision);
  if (!parsed) return damaged;
  const entries = TAILNET_FILES.flatMap((name): [string, Uint8Array][] => {
    const content = files[name];
    return content === undefined ? [] : [[name, new Uint8Array(Buffer.from(content, 'base64'))]];
  });
  return accept({
    tree: { revision: parsed, files: new Map(entries), ...(commit === undefined ? {} : { commit }) },
    origin,
    keptAtMs,
  });
};

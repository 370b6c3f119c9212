// What a source yields: the files of one revision, as bytes, and the commit they came from. Only the files that make a
// tailnet are ever read, within limits of size, so nothing else in a folder or a repository can reach the server.

import { createHash } from 'node:crypto';
import { parseRevision, type Revision } from '../base/ids.ts';
import { TAILNET_FILES as CONFIG_FILES } from '../config/folder.ts';

/** Every file that Tailplane reads, relative to the tailnet folder. Anything else there is not opened. */
export const TAILNET_FILES: readonly string[] = CONFIG_FILES;

export interface SourceTree {
  readonly revision: Revision;
  /** By name (see TAILNET_FILES), in that order. A file that is absent is not in the map. */
  readonly files: ReadonlyMap<string, Uint8Array>;
  /** Absent for a plain folder. */
  readonly commit?: SourceCommit;
}

export interface SourceCommit {
  readonly id: Revision;
  readonly parents: readonly Revision[];
  readonly author: { readonly name: string; readonly email: string; readonly atMs: number };
  readonly committer: { readonly name: string; readonly email: string; readonly atMs: number };
  /** The first line of the message. */
  readonly subject: string;
  /** The whole message; trailers are read from it. */
  readonly message: string;
  readonly signature: 'ssh' | 'openpgp' | 'x509' | 'none';
}

/** The largest a file and a whole tailnet may be; a JSON5 file over the first limit is refused by `config` as well. */
export const FILE_LIMIT_BYTES = 4 * 1024 * 1024;
export const TREE_LIMIT_BYTES = 16 * 1024 * 1024;

/** The revision of files without a commit: a digest of names and contents, the same for the same files. */
export const folderRevision = (files: ReadonlyMap<string, Uint8Array>): Revision => {
  const hash = createHash('sha256');
  for (const name of [...files.keys()].sort()) {
    const bytes = files.get(name) as Uint8Array;
    hash.update(`${name}\0${bytes.length}\0`).update(bytes);
  }
  return parseRevision(`dir-${hash.digest('hex').slice(0, 16)}`) as Revision;
};

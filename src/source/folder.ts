// A plain folder as a source. Only the files of a tailnet are opened; a symbolic link may lead to another place in the
// folder (as Kubernetes mounts do) and nowhere else. What is read is a picture of a moment in which nothing moved: editors
// save by writing, truncating or renaming, and a policy that is missing for a moment must not be taken for no policy.

import { constants } from 'node:fs';
import { open, realpath, stat, type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { watch as watchFiles, type FSWatcher } from 'chokidar';
import { accept, refuse, type Outcome } from '../base/outcome.ts';
import type { Source, SourceStatus } from './source.ts';
import { FILE_LIMIT_BYTES, folderRevision, TAILNET_FILES, TREE_LIMIT_BYTES, type SourceTree } from './tree.ts';

type Files = ReadonlyMap<string, Uint8Array>;

/** Events that follow each other within this time are one change. */
const SETTLE_MS = 50;
/** A folder that never rests is read all the same. */
const SETTLE_AT_MOST_MS = 500;
/** How long a file that was there must stay away, or empty, before that is believed. */
const GONE_MS = 400;
/** How often a folder that cannot be read is looked at again. */
const RETRY_MS = 2_000;

const errorCode = (error: unknown): string =>
  error instanceof Error && 'code' in error ? String(error.code) : String(error);

/** Reads at most `limit` + 1 bytes: the size that stat gives may be old by the time of the read. */
const readBounded = async (handle: FileHandle, limit: number): Promise<Uint8Array> => {
  const { size } = await handle.stat();
  const buffer = new Uint8Array(Math.min(size, limit) + 1);
  let length = 0;
  for (;;) {
    const { bytesRead } = await handle.read(buffer, length, buffer.length - length, length);
    if (bytesRead === 0) return buffer.subarray(0, length);
    length += bytesRead;
    if (length === buffer.length) return buffer;
  }
};

const readOne = async (root: string, name: string): Promise<Outcome<Uint8Array | undefined>> => {
  let file: string;
  try {
    file = await realpath(path.join(root, name));
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return accept(undefined);
    if (errorCode(error) === 'ELOOP')
      return refuse('source/symlink', `${name} is a symbolic link that leads in a circle.`);
    return refuse('source/unreadable', `${name} cannot be read: ${errorCode(error)}.`);
  }
  if (!file.startsWith(root + path.sep)) {
    return refuse('source/symlink', `${name} is a symbolic link that leads out of the tailnet folder.`);
  }
  let handle: FileHandle | undefined;
  try {
    // No O_NOFOLLOW race to win: the path is already real. O_NONBLOCK, so that a FIFO cannot hold the server up.
    handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    if (!(await handle.stat()).isFile()) return refuse('source/not-a-file', `${name} is not a file.`);
    const bytes = await readBounded(handle, FILE_LIMIT_BYTES);
    if (bytes.length > FILE_LIMIT_BYTES) return refuse('source/file-too-large', `${name} is larger than 4 MiB.`);
    return accept(bytes);
  } catch (error) {
    const code = errorCode(error);
    if (code === 'ENOENT') return accept(undefined);
    if (code === 'EISDIR') return refuse('source/not-a-file', `${name} is a folder.`);
    return refuse('source/unreadable', `${name} cannot be read: ${code}.`);
  } finally {
    await handle?.close();
  }
};

/** Reads the tailnet's files once, without waiting for anything. */
export const readFolder = async (dir: string): Promise<Outcome<SourceTree>> => {
  let root: string;
  try {
    root = await realpath(dir);
    if (!(await stat(root)).isDirectory()) return refuse('source/absent', `${dir} is not a folder.`);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return refuse('source/absent', `There is no folder ${dir}.`);
    return refuse('source/unreadable', `${dir} cannot be read: ${errorCode(error)}.`);
  }
  const files = new Map<string, Uint8Array>();
  let sizeBytes = 0;
  for (const name of TAILNET_FILES) {
    const read = await readOne(root, name);
    if (!read.ok) return read;
    if (read.value === undefined) continue;
    sizeBytes += read.value.length;
    if (sizeBytes > TREE_LIMIT_BYTES)
      return refuse('source/tree-too-large', 'The files are larger than 16 MiB together.');
    files.set(name, read.value);
  }
  return accept({ revision: folderRevision(files), files });
};

/** Whether a file of the earlier tree is now missing or empty: an editor may be in the middle of saving it. */
const losesContent = (before: Files, after: Files): boolean =>
  [...before].some(([name, bytes]) => bytes.length > 0 && (after.get(name)?.length ?? 0) === 0);

/** Reads, and reads again while content is missing that was there before. */
const readSettled = async (dir: string, before: SourceTree | undefined): Promise<Outcome<SourceTree>> => {
  let seen = await readFolder(dir);
  let loses = seen.ok && before !== undefined && losesContent(before.files, seen.value.files);
  for (let attempt = 0; loses && attempt < 5; attempt++) {
    await sleep(GONE_MS);
    const again = await readFolder(dir);
    const same = seen.ok && again.ok && seen.value.revision === again.value.revision;
    seen = again;
    if (same) break;
    loses = again.ok && before !== undefined && losesContent(before.files, again.value.files);
  }
  return seen;
};

const matters = (file: string): boolean => {
  const name = path.basename(file);
  return TAILNET_FILES.includes(name) || name === '..data';
};

/** A folder that is watched. Nothing is read before the first `read`, `sync` or `watch`. */
export const openFolder = (dir: string, onFault?: (fault: unknown) => void): Outcome<Source> => {
  const location = path.resolve(dir);
  const listeners = new Set<(seen: Outcome<SourceTree>) => void>();
  let tree: SourceTree | undefined;
  let status: SourceStatus = { kind: 'folder', location, state: 'starting', failures: 0 };
  let watcher: FSWatcher | undefined;
  let timer: NodeJS.Timeout | undefined;
  let reading: Promise<Outcome<SourceTree>> | undefined;
  let again = false;
  let armedAtMs: number | undefined;

  const record = (seen: Outcome<SourceTree>): void => {
    const checkedAtMs = Date.now();
    const before = status;
    if (seen.ok) {
      tree = seen.value;
      status = { kind: 'folder', location, state: 'current', revision: tree.revision, checkedAtMs, failures: 0 };
    } else {
      const revision = tree === undefined ? {} : { revision: tree.revision };
      const failures = before.failures + 1;
      status = { kind: 'folder', location, state: 'failing', ...revision, checkedAtMs, failures, refusal: seen };
      arm(RETRY_MS);
    }
    const news = seen.ok
      ? before.revision !== seen.value.revision || before.state === 'failing'
      : before.refusal?.reason !== seen.reason;
    if (news) for (const listener of listeners) listener(seen);
  };

  const readNow = async (): Promise<Outcome<SourceTree>> => {
    let seen: Outcome<SourceTree>;
    do {
      again = false;
      try {
        seen = await readSettled(location, tree);
      } catch (fault) {
        onFault?.(fault);
        seen = refuse('source/fault', 'The folder could not be read for a reason that was not foreseen.');
      }
    } while (again);
    reading = undefined;
    if (status.state !== 'closed') record(seen);
    return seen;
  };

  const sync = async (): Promise<Outcome<SourceTree>> => {
    if (status.state === 'closed') return refuse('source/closed', 'The source is closed.');
    if (reading !== undefined) again = true;
    reading ??= readNow();
    return await reading;
  };

  const arm = (delayMs: number): void => {
    if (status.state === 'closed' || listeners.size === 0) return;
    clearTimeout(timer);
    armedAtMs ??= Date.now();
    const leftMs = Math.max(0, armedAtMs + SETTLE_AT_MOST_MS - Date.now());
    timer = setTimeout(
      () => {
        armedAtMs = undefined;
        // A folder that went away takes its watcher with it.
        if (status.refusal?.code === 'source/absent') startWatching();
        void sync();
      },
      delayMs > SETTLE_MS ? delayMs : Math.min(delayMs, leftMs),
    ).unref();
  };

  const startWatching = (): void => {
    void watcher?.close();
    watcher = watchFiles(location, {
      depth: 0,
      ignoreInitial: true,
      // Not even looked at: .git, editors' files, secrets that happen to lie here. `..data` is how Kubernetes swaps files.
      ignored: (file) => path.resolve(file) !== location && !matters(file),
    });
    watcher.on('all', () => arm(SETTLE_MS));
    watcher.on('raw', (_event: string, file: string | null) => {
      // The folder itself, moved away, is reported under its own name.
      if (file === null || matters(file) || file === path.basename(location)) arm(SETTLE_MS);
    });
    watcher.on('error', () => arm(RETRY_MS));
    // What changed between the last read and now has no event.
    watcher.on('ready', () => arm(0));
  };

  return accept({
    kind: 'folder',
    read: async () => (tree !== undefined && watcher !== undefined ? accept(tree) : await sync()),
    sync,
    watch: (onChange) => {
      listeners.add(onChange);
      if (watcher === undefined) startWatching();
      return () => listeners.delete(onChange);
    },
    status: () => status,
    close: async () => {
      status = { ...status, state: 'closed' };
      clearTimeout(timer);
      listeners.clear();
      await watcher?.close();
    },
  });
};

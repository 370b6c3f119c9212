// A disk in memory that keeps apart what was written and what was synced, as POSIX does: content is durable after `sync`,
// names are durable after `syncFolder`. It can die before any operation and come back with less than was written, and it
// can be told to fail.

import type { Disk, DiskFile } from '../../src/registry/disk.ts';

interface Write {
  readonly at: number;
  readonly bytes: Uint8Array;
}
interface Truncate {
  readonly sizeBytes: number;
}

class Inode {
  durable: Uint8Array = new Uint8Array(0);
  now: Uint8Array = new Uint8Array(0);
  pending: (Write | Truncate)[] = [];
}

type NameChange = { readonly path: string; readonly inode: Inode | undefined }[];

const withWrite = (bytes: Uint8Array, { at, bytes: more }: Write): Uint8Array => {
  const out = new Uint8Array(Math.max(bytes.length, at + more.length));
  out.set(bytes);
  out.set(more, at);
  return out;
};

const withTruncate = (bytes: Uint8Array, { sizeBytes }: Truncate): Uint8Array => {
  const out = new Uint8Array(sizeBytes);
  out.set(bytes.subarray(0, sizeBytes));
  return out;
};

/** What a crash does to what was not synced: `none` of it is there, `all` of it, or a `torn` part drawn by `random`. */
export type Crash =
  { readonly kind: 'none' } | { readonly kind: 'all' } | { readonly kind: 'torn'; readonly random: () => number };

const SECTOR_BYTES = 512;

const errno = (code: string): NodeJS.ErrnoException => Object.assign(new Error(`${code}: simulated`), { code });

export class TestDisk implements Disk {
  readonly #now = new Map<string, Inode>();
  readonly #durable = new Map<string, Inode>();
  #pendingNames: NameChange[] = [];
  #dead = false;
  /** Operations that change something, so far. */
  operations = 0;
  /** Called before each of them with its number from 1; may throw, or take its time. */
  before: (operation: number, what: string) => void | Promise<void> = () => undefined;

  async #change(what: string): Promise<void> {
    if (this.#dead) throw errno('EIO');
    await this.before(++this.operations, what);
    if (this.#dead) throw errno('EIO');
  }

  /** From now on everything fails, as for a process that was killed. */
  die(): void {
    this.#dead = true;
  }

  readonly read = async (path: string): Promise<Uint8Array | undefined> => {
    if (this.#dead) throw errno('EIO');
    return this.#now.get(path)?.now.slice();
  };

  readonly list = async (folder: string): Promise<readonly string[]> =>
    [...this.#now.keys()]
      .filter((path) => path.slice(0, path.lastIndexOf('/')) === folder)
      .map((path) => path.slice(path.lastIndexOf('/') + 1))
      .sort();

  readonly open = async (path: string): Promise<DiskFile> => {
    let inode = this.#now.get(path);
    if (!inode) {
      await this.#change(`create ${path}`);
      inode = new Inode();
      this.#now.set(path, inode);
      this.#pendingNames.push([{ path, inode }]);
    }
    const file = inode;
    return {
      write: async (bytes, atBytes) => {
        await this.#change(`write ${path}`);
        const write = { at: atBytes, bytes: bytes.slice() };
        file.now = withWrite(file.now, write);
        file.pending.push(write);
      },
      sync: async () => {
        await this.#change(`sync ${path}`);
        file.durable = file.now;
        file.pending = [];
      },
      truncate: async (sizeBytes) => {
        if (file.now.length === sizeBytes) return;
        await this.#change(`truncate ${path}`);
        file.now = withTruncate(file.now, { sizeBytes });
        file.pending.push({ sizeBytes });
      },
      close: async () => undefined,
    };
  };

  readonly rename = async (from: string, to: string): Promise<void> => {
    await this.#change(`rename ${from}`);
    const inode = this.#now.get(from);
    if (!inode) throw errno('ENOENT');
    this.#now.delete(from);
    this.#now.set(to, inode);
    this.#pendingNames.push([
      { path: from, inode: undefined },
      { path: to, inode },
    ]);
  };

  readonly remove = async (path: string): Promise<void> => {
    if (!this.#now.has(path)) return;
    await this.#change(`remove ${path}`);
    this.#now.delete(path);
    this.#pendingNames.push([{ path, inode: undefined }]);
  };

  readonly syncFolder = async (folder: string): Promise<void> => {
    await this.#change(`sync folder ${folder}`);
    const isHere = (path: string): boolean => path.slice(0, path.lastIndexOf('/')) === folder;
    for (const change of this.#pendingNames.filter((names) => names.some(({ path }) => isHere(path)))) {
      this.#apply(this.#durable, change);
    }
    this.#pendingNames = this.#pendingNames.filter((names) => !names.some(({ path }) => isHere(path)));
  };

  readonly makeFolder = async (): Promise<void> => undefined;

  #apply(names: Map<string, Inode>, change: NameChange): void {
    for (const { path, inode } of change) {
      if (inode) names.set(path, inode);
      else names.delete(path);
    }
  }

  /** The disk as the next process finds it after this one died. */
  afterCrash(crash: Crash): TestDisk {
    const survives = (): boolean => crash.kind === 'all' || (crash.kind === 'torn' && crash.random() < 0.5);
    const names = new Map(this.#durable);
    for (const change of this.#pendingNames) if (survives()) this.#apply(names, change);
    const next = new TestDisk();
    for (const [path, inode] of names) {
      let content = inode.durable;
      for (const pending of inode.pending) {
        if ('sizeBytes' in pending) {
          if (survives()) content = withTruncate(content, pending);
          continue;
        }
        // The size and each sector reach the disk, or don't, on their own.
        if (crash.kind === 'torn' && survives()) {
          content = withWrite(content, { at: pending.at, bytes: new Uint8Array(pending.bytes.length) });
        }
        for (let done = 0; done < pending.bytes.length;) {
          const sizeBytes = SECTOR_BYTES - ((pending.at + done) % SECTOR_BYTES);
          const bytes = pending.bytes.subarray(done, done + sizeBytes);
          if (survives()) content = withWrite(content, { at: pending.at + done, bytes });
          done += sizeBytes;
        }
      }
      const copy = new Inode();
      copy.now = content;
      copy.durable = content;
      next.#now.set(path, copy);
      next.#durable.set(path, copy);
    }
    return next;
  }

  /** Changes a byte of a file, as a failing disk does. */
  flip(path: string, at: number): void {
    const inode = this.#now.get(path);
    if (!inode) throw errno('ENOENT');
    const bytes = inode.now.slice();
    bytes[at] = (bytes[at] as number) ^ 0x10;
    inode.now = bytes;
    inode.durable = bytes;
  }

  sizeBytes(path: string): number {
    return this.#now.get(path)?.now.length ?? 0;
  }
}

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
export const seeded = (seed: number): (() => number) => {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
};

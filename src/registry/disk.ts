// The few things that the registry asks of a file system, as a port: tests put a disk behind it that fills up, fails, loses
// what was not synced, or dies between any two of these calls. Files are made 0600 and folders 0700.

import { constants } from 'node:fs';
import fs from 'node:fs/promises';

export interface DiskFile {
  readonly write: (bytes: Uint8Array, atBytes: number) => Promise<void>;
  /** Resolves when the content and the size are durable. The name is durable after `syncFolder`. */
  readonly sync: () => Promise<void>;
  readonly truncate: (sizeBytes: number) => Promise<void>;
  readonly close: () => Promise<void>;
}

export interface Disk {
  /** Undefined if there is no such file. */
  readonly read: (path: string) => Promise<Uint8Array | undefined>;
  /** Opens for reading and writing; makes the file if there is none. */
  readonly open: (path: string) => Promise<DiskFile>;
  /** Names in the folder, sorted; empty if there is no such folder. */
  readonly list: (folder: string) => Promise<readonly string[]>;
  readonly rename: (from: string, to: string) => Promise<void>;
  /** Fine if there is no such file. */
  readonly remove: (path: string) => Promise<void>;
  /** Makes the names in a folder durable. */
  readonly syncFolder: (folder: string) => Promise<void>;
  readonly makeFolder: (folder: string) => Promise<void>;
}

const isMissing = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'ENOENT';

const openFile = async (path: string): Promise<DiskFile> => {
  const handle = await fs.open(path, constants.O_RDWR | constants.O_CREAT, 0o600);
  return {
    write: async (bytes, atBytes) => {
      for (let done = 0; done < bytes.length;) {
        const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, atBytes + done);
        done += bytesWritten;
      }
    },
    sync: () => handle.datasync(),
    truncate: (sizeBytes) => handle.truncate(sizeBytes),
    close: () => handle.close(),
  };
};

export const realDisk: Disk = {
  read: async (path) => {
    try {
      return await fs.readFile(path);
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  },
  open: openFile,
  list: async (folder) => {
    try {
      return (await fs.readdir(folder)).sort();
    } catch (error) {
      if (isMissing(error)) return [];
      throw error;
    }
  },
  rename: (from, to) => fs.rename(from, to),
  remove: (path) => fs.rm(path, { force: true }),
  syncFolder: async (folder) => {
    const handle = await fs.open(folder, constants.O_RDONLY);
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  },
  makeFolder: async (folder) => {
    await fs.mkdir(folder, { recursive: true, mode: 0o700 });
  },
};

const CHUNK_BYTES = 1 << 20;

/** Puts a whole file in the place of another, or leaves the other untouched: temporary file, sync, rename, sync. */
export const replaceFile = async (disk: Disk, folder: string, name: string, bytes: Uint8Array): Promise<void> => {
  const temporary = `${folder}/${name}.tmp`;
  await disk.remove(temporary);
  const file = await disk.open(temporary);
  try {
    for (let at = 0; at < bytes.length; at += CHUNK_BYTES) await file.write(bytes.subarray(at, at + CHUNK_BYTES), at);
    await file.sync();
  } finally {
    await file.close();
  }
  await disk.rename(temporary, `${folder}/${name}`);
  await disk.syncFolder(folder);
};

// One server per data folder. Node has no lock on files, but SQLite takes one by fcntl(2), and the kernel drops that when
// the process ends, however it ends: a crash leaves nothing that blocks, and no process id has to be guessed about. The
// holder's name is a row that others may read while the lock is held.

import fs from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import os from 'node:os';
import { RegistryFault } from './fault.ts';

export interface FolderLock {
  readonly release: () => void;
}

const FILE = 'server.lock';

const unusable = (folder: string, error: unknown): RegistryFault =>
  new RegistryFault(
    'registry/not-writable',
    `The data folder ${folder} can't be written: ${(error as Error).message}.`,
    'Give it to the user that runs the server, free some space, or name another folder with --data DIR.',
    error,
  );

// SQLITE_BUSY (5), also extended: https://sqlite.org/rescode.html
const isBusy = (error: unknown): boolean => ((error as { errcode?: number }).errcode ?? 0) % 256 === 5;

/** Who holds the lock of the folder, as the holder described itself; undefined if nobody does. */
export const lockHolder = (folder: string): string | undefined => {
  const path = `${folder}/${FILE}`;
  if (!fs.existsSync(path)) return undefined;
  const database = new DatabaseSync(path);
  try {
    try {
      database.exec('BEGIN IMMEDIATE; ROLLBACK');
      return undefined;
    } catch (error) {
      if (!isBusy(error)) return undefined;
    }
    return String(database.prepare('SELECT name FROM holder').get()?.['name'] ?? 'another process');
  } catch {
    return 'another process';
  } finally {
    database.close();
  }
};

/** Takes the lock, or throws a RegistryFault that names who has it. */
export const lockFolder = (folder: string, holder: string): FolderLock => {
  const path = `${folder}/${FILE}`;
  let database: DatabaseSync;
  try {
    fs.closeSync(fs.openSync(path, 'a', 0o600));
    database = new DatabaseSync(path);
  } catch (error) {
    throw unusable(folder, error);
  }
  try {
    // The row is committed under a first lock, so that others can read it; the second is held. Nothing here has to
    // survive a power cut.
    database.exec('PRAGMA synchronous = OFF; CREATE TABLE IF NOT EXISTS holder (name TEXT NOT NULL) STRICT');
    database.exec('BEGIN IMMEDIATE; DELETE FROM holder');
    const name = `process ${process.pid} on ${os.hostname()} (${holder})`;
    database.prepare('INSERT INTO holder (name) VALUES (?)').run(name);
    database.exec('COMMIT; BEGIN IMMEDIATE');
  } catch (error) {
    database.close();
    if (!isBusy(error)) throw unusable(folder, error);
    throw new RegistryFault(
      'registry/in-use',
      `The data folder ${folder} is in use by ${lockHolder(folder) ?? 'another process'}.`,
      'Stop that server first, or give this one a data folder of its own with --data DIR.',
    );
  }
  return { release: () => database.close() };
};

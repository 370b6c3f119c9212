// registry.db as something to read once and to write now and then. `storeOn` does it in place, on any disk; `threadStore`
// does the same in a worker thread that lives for one job, because sql.js holds the whole database in memory and works
// on it without a pause. Records cross as JSON text in small chunks: no chunk takes the event loop for long.

// oxlint-disable unicorn/require-post-message-target-origin -- a worker thread has no origin; that rule is about windows

import { Worker } from 'node:worker_threads';
import type { Code } from '../base/catalogue.ts';
import { openDatabase, requireSound, soundly, type Dropped, type Head } from './database.ts';
import { replaceFile, type Disk } from './disk.ts';
import { RegistryFault } from './fault.ts';
import type { Rows } from './record.ts';
import { SCHEMA_VERSION } from './schema.ts';

export const FILE_NAME = 'registry.db';
export const BACKUP_FOLDER = 'backups';

export type SaveStep = { readonly drop: Dropped } | { readonly put: Rows };

export interface Store {
  /** The head of the file after all its rows were taken; undefined if there is no file. Migrates an older file. */
  readonly read: (take: (rows: Rows) => void) => Promise<Head | undefined>;
  /** Brings the file up to date; the old one stays as it is until the new one is durable, also when the work is given up. */
  readonly write: (
    head: Head,
    steps: Iterable<SaveStep> | AsyncIterable<SaveStep>,
    giveUp?: AbortSignal,
  ) => Promise<void>;
}

/** A hundred nodes are about 200 KB of JSON: a millisecond to make. */
export const CHUNK_NODES = 100;

/** `2026-11-24T03-00-00Z`: a time as part of a file name. */
export const fileTime = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19).replaceAll(':', '-')}Z`;

export const storeOn = (disk: Disk, folder: string, now: () => number): Store => ({
  read: async (take) => {
    const bytes = await disk.read(`${folder}/${FILE_NAME}`);
    if (!bytes) return undefined;
    const database = await openDatabase(bytes);
    try {
      requireSound(database);
      const { versionBefore } = database;
      if (versionBefore < SCHEMA_VERSION) {
        await disk.makeFolder(`${folder}/${BACKUP_FOLDER}`);
        const kept = `registry-schema-${versionBefore}-${fileTime(now())}.db`;
        // sql.js works in the very bytes that it was given: the file itself is the original.
        const original = await disk.read(`${folder}/${FILE_NAME}`);
        if (!original) throw new Error('registry.db is gone');
        await replaceFile(disk, `${folder}/${BACKUP_FOLDER}`, kept, original);
        await replaceFile(disk, folder, FILE_NAME, database.toBytes());
      }
      return soundly(() => {
        for (const rows of database.read(CHUNK_NODES)) take(rows);
        return database.head();
      });
    } finally {
      database.close();
    }
  },
  write: async (head, steps) => {
    const database = await openDatabase(await disk.read(`${folder}/${FILE_NAME}`));
    try {
      for await (const step of steps) {
        if ('drop' in step) database.drop(step.drop);
        else database.put(step.put);
      }
      database.setHead(head);
      await replaceFile(disk, folder, FILE_NAME, database.toBytes());
    } finally {
      database.close();
    }
  },
});

/** What the thread is told and what it answers. Rows and steps are JSON text. */
export type ToThread =
  | { readonly kind: 'read' }
  | { readonly kind: 'write'; readonly head: Head }
  | { readonly kind: 'step'; readonly json: string }
  | { readonly kind: 'end' };

export type FromThread =
  | { readonly kind: 'rows'; readonly json: string }
  /** Ready for one more step. */
  | { readonly kind: 'more' }
  | { readonly kind: 'done'; readonly head: Head | undefined }
  | { readonly kind: 'fault'; readonly code: Code | undefined; readonly message: string; readonly help: string };

export interface ThreadData {
  readonly folder: string;
  readonly nowMs: number;
}

const faultOf = (message: FromThread & { readonly kind: 'fault' }): Error =>
  message.code === undefined
    ? new Error(message.message)
    : new RegistryFault(message.code, message.message, message.help);

/** Runs one job in a thread of its own and waits until the thread is gone, and its memory with it. */
const runThread = async (
  data: ThreadData,
  job: ToThread,
  answer: (message: FromThread) => ToThread | undefined,
  giveUp?: AbortSignal,
): Promise<Head | undefined> => {
  giveUp?.throwIfAborted();
  // Beside this file and of its kind: source or built.
  const entry = new URL(import.meta.url.replace(/store(\.[a-z]+)$/, 'store-thread$1'));
  let stop = (): void => undefined;
  const thread = new Worker(entry, { workerData: data, name: 'registry' });
  try {
    return await new Promise((resolve, reject) => {
      stop = () => reject(giveUp?.reason as Error);
      giveUp?.addEventListener('abort', stop);
      thread.on('error', reject);
      thread.on('exit', () => reject(new Error('the thread of the registry file ended early')));
      thread.on('message', (message: FromThread) => {
        if (message.kind === 'done') resolve(message.head);
        else if (message.kind === 'fault') reject(faultOf(message));
        else {
          const reply = answer(message);
          if (reply) thread.postMessage(reply);
        }
      });
      thread.postMessage(job);
    });
  } finally {
    giveUp?.removeEventListener('abort', stop);
    await thread.terminate();
  }
};

export const threadStore = (folder: string, now: () => number): Store => ({
  read: (take) =>
    runThread({ folder, nowMs: now() }, { kind: 'read' }, (message) => {
      if (message.kind === 'rows') take(JSON.parse(message.json) as Rows);
      return undefined;
    }),
  write: async (head, steps, giveUp) => {
    if (!(Symbol.iterator in steps)) throw new TypeError('a thread is told steps that are at hand');
    const rest = steps[Symbol.iterator]();
    const tell = (): ToThread => {
      const { done, value } = rest.next();
      return done ? { kind: 'end' } : { kind: 'step', json: JSON.stringify(value) };
    };
    await runThread({ folder, nowMs: now() }, { kind: 'write', head }, tell, giveUp);
  },
});

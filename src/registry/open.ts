// The registry of a data folder: registry.db, the journal behind it, and the lock. Start reads the file and replays the
// journal; from then on the journal makes events durable and the file follows now and then.

import fs from 'node:fs';
import type { Address } from '../base/address.ts';
import { copyTimeMs, createBackups, type BackupPlan } from './backups.ts';
import type { RegistryChange } from './change.ts';
import type { Head } from './database.ts';
import { realDisk, type Disk } from './disk.ts';
import { createEngine } from './engine.ts';
import { changeOf } from './fact.ts';
import { RegistryFault } from './fault.ts';
import { lockFolder, type FolderLock } from './lock.ts';
import { openLog, type JournalLog } from './log.ts';
import type { KeyId, KeyRecord, KeyUse, LoginId, LoginRecord, NodeRecord } from './record.ts';
import type { NodeId } from '../base/ids.ts';
import type { Registry, RegistryWarning } from './registry.ts';
import { SCHEMA_VERSION } from './schema.ts';
import { emptyState, fold, takeRows, type RegistryState } from './state.ts';
import { BACKUP_FOLDER, CHUNK_NODES, FILE_NAME, storeOn, threadStore, type SaveStep, type Store } from './store.ts';

export interface RegistrySettings {
  /** The data folder; made with mode 0700 if absent. */
  readonly folder: string;
  /** Shown to whoever finds the folder in use, for example the server's URL. */
  readonly holder: string;
  readonly now: () => number;
  /** Something an administrator should read: a cut tail, a failing disk, its return. */
  readonly warn: (warning: RegistryWarning) => void;
  /** The file is written this often while something changed; default 5 minutes. */
  readonly snapshotIntervalMs?: number;
  /** …and when the journal has grown to this; default 16 MiB. */
  readonly snapshotAtBytes?: number;
  /** How long a stop waits for the file; default 1.5 s. */
  readonly lastSaveMs?: number;
  /** Automatic copies in `backups/`; default one a day, the last 7 kept. */
  readonly backups?: BackupPlan;
  /** An event that is not durable after this is refused; default 10 s. */
  readonly patienceMs?: number;
  /** Another disk than the real one, for tests; then nothing is locked and no thread is used. */
  readonly disk?: Disk;
}

const SNAPSHOT_INTERVAL_MS = 5 * 60_000;
const SNAPSHOT_AT_BYTES = 16 * 1024 * 1024;
/** A stop waits so long for the file, which saves the next start some work; what was acknowledged is safe without. */
const LAST_SAVE_MS = 1500;
/** A save that failed is not tried again sooner than this by a growing journal. */
const SAVE_PAUSE_MS = 30_000;

/**
 * What changed since the file was written, each record as it is now, or null where it is gone. Records are never changed in
 * place, so taking this map takes the state: no copy is made, whatever its size.
 */
interface Dirty {
  readonly nodes: Map<NodeId, NodeRecord | null>;
  readonly keys: Map<KeyId, KeyRecord | null>;
  readonly keyUses: Map<KeyId, KeyUse | null>;
  readonly logins: Map<LoginId, LoginRecord | null>;
}

const cleanSlate = (): Dirty => ({ nodes: new Map(), keys: new Map(), keyUses: new Map(), logins: new Map() });

const isClean = (dirty: Dirty): boolean =>
  dirty.nodes.size + dirty.keys.size + dirty.keyUses.size + dirty.logins.size === 0;

const markChange = (dirty: Dirty, change: RegistryChange): void => {
  switch (change.kind) {
    case 'node-added':
      dirty.nodes.set(change.node.id, change.node);
      return;
    case 'node-removed':
      dirty.nodes.set(change.node.id, null);
      return;
    case 'node-changed':
      dirty.nodes.set(change.after.id, change.after);
      return;
    case 'key':
      dirty.keys.set((change.after ?? change.before)?.id as KeyId, change.after);
      return;
    case 'key-use':
      dirty.keyUses.set((change.after ?? change.before)?.keyId as KeyId, change.after);
      return;
    case 'login':
      dirty.logins.set((change.after ?? change.before)?.id as LoginId, change.after);
  }
};

/** Puts back what could not be written, under what has changed since. */
const mergeUnder = (dirty: Dirty, older: Dirty): void => {
  const put = <K, V>(into: Map<K, V>, from: Map<K, V>): void => {
    for (const [key, value] of from) if (!into.has(key)) into.set(key, value);
  };
  put(dirty.nodes, older.nodes);
  put(dirty.keys, older.keys);
  put(dirty.keyUses, older.keyUses);
  put(dirty.logins, older.logins);
};

const batchesOf = function* <T>(items: Iterable<T>, size: number): Iterable<readonly T[]> {
  let batch: T[] = [];
  for (const item of items) {
    batch.push(item);
    if (batch.length < size) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
};

const isThere = <T>(value: T | null): value is T => value !== null;

/** Everything that changed is taken out before anything is put in: a name or an address may have moved between nodes. */
const stepsOf = function* ({ nodes, keys, keyUses, logins }: Dirty): Iterable<SaveStep> {
  const none = { nodes: [], keys: [], keyUses: [], logins: [] };
  yield { drop: { nodes: [], keys: [...keys.keys()], keyUses: [...keyUses.keys()], logins: [...logins.keys()] } };
  for (const ids of batchesOf(nodes.keys(), 10 * CHUNK_NODES)) yield { drop: { ...none, nodes: ids } };
  for (const some of batchesOf(keys.values(), CHUNK_NODES)) yield { put: { ...none, keys: some.filter(isThere) } };
  for (const some of batchesOf(keyUses.values(), CHUNK_NODES))
    yield { put: { ...none, keyUses: some.filter(isThere) } };
  for (const some of batchesOf(logins.values(), CHUNK_NODES)) yield { put: { ...none, logins: some.filter(isThere) } };
  for (const some of batchesOf(nodes.values(), CHUNK_NODES)) yield { put: { ...none, nodes: some.filter(isThere) } };
};

const prepareFolder = (folder: string): void => {
  try {
    fs.mkdirSync(folder, { recursive: true, mode: 0o700 });
    fs.accessSync(folder, fs.constants.R_OK | fs.constants.W_OK | fs.constants.X_OK);
  } catch (error) {
    throw new RegistryFault(
      'registry/not-writable',
      `The data folder ${folder} can't be used: ${(error as Error).message}.`,
      'Give it to the user that runs the server, or name another folder with --data DIR.',
      error,
    );
  }
};

interface Opened {
  readonly state: RegistryState;
  readonly store: Store;
  readonly log: JournalLog;
  readonly dirty: Dirty;
  /** Undefined where there is no file yet. */
  readonly head: Head | undefined;
}

/** Where the file is damaged, the copy that could take its place. */
const withCopy = async (error: unknown, disk: Disk, folder: string): Promise<unknown> => {
  if (!(error instanceof RegistryFault) || error.code !== 'registry/file-damaged') return error;
  const copies = (await disk.list(`${folder}/${BACKUP_FOLDER}`)).filter((name) => copyTimeMs(name) !== undefined);
  const newest = copies.sort().at(-1);
  if (newest === undefined) return error;
  const help = `Nothing was changed. Check the disk, and keep a copy of the data folder. The newest copy of the registry: \`tailplane restore ${folder}/${BACKUP_FOLDER}/${newest}\` shows what would be lost, with --apply it takes the place of the file.`;
  return new RegistryFault(error.code, error.message, help, error);
};

const readFolder = async (settings: RegistrySettings, disk: Disk): Promise<Opened> => {
  const { folder, now, warn } = settings;
  const store = settings.disk ? storeOn(disk, folder, now) : threadStore(folder, now);
  const state = emptyState();
  const dirty = cleanSlate();
  // What a crash left half written.
  for (const place of [folder, `${folder}/${BACKUP_FOLDER}`]) {
    for (const name of await disk.list(place)) if (name.endsWith('.db.tmp')) await disk.remove(`${place}/${name}`);
  }
  const head = await store
    .read((rows) => takeRows(state, rows))
    .catch(async (error: unknown) => {
      throw await withCopy(error, disk, folder);
    });
  if (head) {
    state.nextNodeId = head.nextNodeId;
    state.cursor = head.cursor as Address | null;
  }
  const log = await openLog({
    disk,
    folder,
    schemaVersion: SCHEMA_VERSION,
    fileSeq: head?.seq ?? 0,
    replay: (facts) => {
      for (const fact of facts) {
        const change = changeOf(state, fact);
        if (!change) continue;
        fold(state, change);
        markChange(dirty, change);
      }
    },
    warn: (message) => warn({ code: 'registry/tail-cut', message }),
  });
  return { state, store, log, dirty, head };
};

/** Throws a RegistryFault where the folder can't be used: in use, damaged, too new, not writable. */
export const openRegistry = async (settings: RegistrySettings): Promise<Registry> => {
  const { folder, now, warn } = settings;
  const disk = settings.disk ?? realDisk;
  let lock: FolderLock | undefined;
  if (settings.disk) await disk.makeFolder(folder);
  else {
    prepareFolder(folder);
    lock = lockFolder(folder, settings.holder);
  }
  let opened: Opened;
  try {
    opened = await readFolder(settings, disk);
  } catch (error) {
    lock?.release();
    throw error;
  }
  const { state, store, log } = opened;
  let { dirty } = opened;
  let lastSnapshotMs = opened.head?.savedMs ?? 0;
  let hasFile = opened.head !== undefined;
  let saving: Promise<void> | undefined;
  let pausedUntilMs = 0;
  const stopping = new AbortController();
  const snapshotAtBytes = settings.snapshotAtBytes ?? SNAPSHOT_AT_BYTES;
  const backups = createBackups({ disk, folder, now, warn, ...(settings.backups ? { plan: settings.backups } : {}) });

  const engine = createEngine({
    state,
    log,
    now,
    ...(settings.patienceMs === undefined ? {} : { patienceMs: settings.patienceMs }),
    onChanges: (changes) => {
      for (const change of changes) markChange(dirty, change);
      if (log.sizeBytes() >= snapshotAtBytes) saveSoon();
    },
    onState: (next, problem) => {
      if (next === 'ready') warn({ code: 'registry/disk-returned', message: 'The disk takes registrations again.' });
      else if (next !== 'closed')
        warn({ code: 'registry/unavailable', message: `No registration can be saved: ${problem}.` });
    },
  });

  /** Takes the state between two batches; a new segment begins, so that the ones before it can go when the file is written. */
  const capture = async (): Promise<{ taken: Dirty; head: Head }> => {
    await log.rotate();
    const taken = dirty;
    dirty = cleanSlate();
    return {
      taken,
      head: { seq: log.lastSeq(), nextNodeId: state.nextNodeId, cursor: state.cursor, savedMs: now() },
    };
  };

  const save = async (): Promise<void> => {
    if (hasFile && isClean(dirty)) return;
    const { taken, head } = await engine.between(capture);
    try {
      await store.write(head, stepsOf(taken), stopping.signal);
    } catch (error) {
      mergeUnder(dirty, taken);
      throw error;
    }
    hasFile = true;
    lastSnapshotMs = now();
    await engine.between(() => log.dropOld());
  };

  const saveOnce = (): Promise<void> => {
    saving ??= save().finally(() => {
      saving = undefined;
    });
    return saving;
  };

  const saveSoon = (): void => {
    if (saving || now() < pausedUntilMs) return;
    saveOnce()
      .then(() => backups.copyIfDue())
      .catch((error: unknown) => {
        pausedUntilMs = now() + SAVE_PAUSE_MS;
        warn({
          code: 'registry/snapshot-failed',
          message: `registry.db was not written: ${(error as Error).message}.`,
        });
      });
  };

  const timer = setInterval(() => {
    void engine.apply({ kind: 'sweep', nowMs: now() });
    saveSoon();
  }, settings.snapshotIntervalMs ?? SNAPSHOT_INTERVAL_MS);
  timer.unref();

  if (log.sizeBytes() >= snapshotAtBytes) saveSoon();

  const checkpoint = async (): Promise<void> => {
    // A save under way may have begun before the change that the caller has in mind.
    await saving?.catch(() => undefined);
    await saveOnce();
  };

  const close = async (): Promise<void> => {
    clearInterval(timer);
    await engine.close();
    const hurry = setTimeout(
      () => stopping.abort(new Error('there was no time before the stop')),
      settings.lastSaveMs ?? LAST_SAVE_MS,
    );
    try {
      await checkpoint();
    } catch (error) {
      // Nothing is lost: the journal has it.
      warn({ code: 'registry/snapshot-failed', message: `registry.db was not written: ${(error as Error).message}.` });
    }
    clearTimeout(hurry);
    await log.close();
    lock?.release();
  };
  let closing: Promise<void> | undefined;

  return {
    view: state,
    apply: engine.apply,
    note: engine.note,
    subscribe: engine.subscribe,
    status: () => ({
      ...engine.status(),
      nodes: state.nodes.size,
      journalBytes: log.sizeBytes(),
      lastSnapshotMs,
    }),
    checkpoint,
    exportFile: async () => {
      await checkpoint();
      const bytes = await disk.read(`${folder}/${FILE_NAME}`);
      if (!bytes) throw new Error('registry.db is gone');
      return bytes;
    },
    close: () => (closing ??= close()),
  };
};

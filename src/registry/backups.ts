// Automatic backups: a copy of registry.db in `backups/` now and then, and the oldest removed. They help against a mistake
// and against damage to the file, not against the loss of the disk: see docs/backup-and-recovery.md.

import type { Disk } from './disk.ts';
import { replaceFile } from './disk.ts';
import type { RegistryWarning } from './registry.ts';
import { BACKUP_FOLDER, FILE_NAME, fileTime } from './store.ts';

export interface BackupPlan {
  readonly everyMs: number;
  /** How many copies stay; 0 makes none. */
  readonly keep: number;
}

export interface Backups {
  readonly copyIfDue: () => Promise<void>;
}

export const DEFAULT_PLAN: BackupPlan = { everyMs: 86_400_000, keep: 7 };

const COPY = /^registry-(\d{4}-\d\d-\d\dT)(\d\d)-(\d\d)-(\d\dZ)\.db$/;

/** When a copy was made, from its name; undefined for any other file. */
export const copyTimeMs = (name: string): number | undefined => {
  const match = COPY.exec(name);
  if (!match) return undefined;
  const [, day, hours, minutes, seconds] = match;
  return Date.parse(`${day}${hours}:${minutes}:${seconds}`);
};

export interface BackupSettings {
  readonly disk: Disk;
  readonly folder: string;
  readonly now: () => number;
  readonly warn: (warning: RegistryWarning) => void;
  readonly plan?: BackupPlan;
}

export const createBackups = ({ disk, folder, now, warn, plan = DEFAULT_PLAN }: BackupSettings): Backups => {
  const copies = `${folder}/${BACKUP_FOLDER}`;
  const copy = async (): Promise<void> => {
    const names = (await disk.list(copies)).filter((name) => copyTimeMs(name) !== undefined);
    const newestMs = copyTimeMs(names.at(-1) ?? '') ?? 0;
    if (now() - newestMs < plan.everyMs) return;
    const bytes = await disk.read(`${folder}/${FILE_NAME}`);
    if (!bytes) return;
    await disk.makeFolder(copies);
    await replaceFile(disk, copies, `registry-${fileTime(now())}.db`, bytes);
    for (const name of names.slice(0, Math.max(0, names.length + 1 - plan.keep)))
      await disk.remove(`${copies}/${name}`);
  };
  return {
    copyIfDue: async () => {
      if (plan.keep === 0) return;
      try {
        await copy();
      } catch (error) {
        warn({ code: 'registry/backup-failed', message: `No automatic backup was made: ${(error as Error).message}.` });
      }
    },
  };
};

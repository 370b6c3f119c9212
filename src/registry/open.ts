// Opens the registry of a data folder: takes the lock, reads the file, replays the journal behind it.

import type { Registry } from './registry.ts';

export interface RegistrySettings {
  /** The data folder; made with mode 0700 if absent. */
  readonly folder: string;
  /** Shown to whoever finds the folder in use, for example the server's URL. */
  readonly holder: string;
  readonly now: () => number;
  /** Something an administrator should read: a cut tail, a failing disk, its return. */
  readonly warn: (warning: { readonly code: string; readonly message: string }) => void;
  /** The file is written this often while something changed; default 5 minutes. */
  readonly snapshotIntervalMs?: number;
  /** …and when the journal has grown to this; default 16 MiB. */
  readonly snapshotAtBytes?: number;
  /** Automatic copies in `backups/`; default one a day, the last 7 kept. Zero `keep` turns them off. */
  readonly backups?: { readonly everyMs: number; readonly keep: number };
}

/** Throws a RegistryFault where the folder can't be used: in use, damaged, too new, not writable. */
export const openRegistry = (_settings: RegistrySettings): Promise<Registry> => {
  throw new Error('comes with the journal');
};

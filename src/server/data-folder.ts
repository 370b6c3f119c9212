// The data folder: made if absent, private to its owner, and writable, or the start ends here with what to do.

import fs from 'node:fs';
import path from 'node:path';
import { StartFailure } from './failure.ts';

/** Gives the folder's real path. */
export const prepareDataFolder = (folder: string): string => {
  try {
    fs.mkdirSync(folder, { recursive: true, mode: 0o700 });
    const probe = path.join(folder, '.probe');
    fs.writeFileSync(probe, '', { mode: 0o600 });
    fs.rmSync(probe);
    return fs.realpathSync.native(folder);
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code ?? 'unknown';
    throw new StartFailure(
      'state',
      'server/data-not-writable',
      `The data folder ${folder} can't be written (${reason}).`,
      'Make it belong to this user, or name another with --data DIR or TAILPLANE_DATA.',
    );
  }
};

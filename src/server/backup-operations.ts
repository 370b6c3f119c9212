// The registry as one consistent SQLite file, for `tailplane backup`. The server's keys don't come this way: the command
// reads them itself and puts them under a passphrase that the server never sees.

import { accept, refuse } from '../base/outcome.ts';
import type { AdminDownload } from '../http/admin.ts';
import type { Parts } from './parts.ts';

const CHUNK_BYTES = 256 * 1024;

export const backupDownloads = ({ registry }: Pick<Parts, 'registry'>): readonly AdminDownload[] => [
  {
    path: '/backup',
    run: async (_request, write) => {
      let bytes: Uint8Array;
      try {
        bytes = await registry.exportFile();
      } catch (error) {
        return refuse(
          'registry/snapshot-failed',
          `The server could not write its registry: ${(error as Error).message}. Nothing that was registered is lost.`,
        );
      }
      for (let at = 0; at < bytes.length; at += CHUNK_BYTES) await write(bytes.subarray(at, at + CHUNK_BYTES));
      return accept(undefined);
    },
  },
];

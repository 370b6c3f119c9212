// The file system that isomorphic-git writes a clone through. A file appears whole or not at all, because an index that
// is cut off by a crash never heals there; and a pack is looked through before it is stored.

import fs from 'node:fs/promises';
import { checkPack, type PackLimits } from './pack.ts';
import { Refused } from './refused.ts';

let serial = 0;

const writeWhole = async (file: string, data: string | Uint8Array, options?: { mode?: number }): Promise<void> => {
  const part = `${file}.part${process.pid}-${serial++}`;
  try {
    await fs.writeFile(part, data, options);
    await fs.rename(part, file);
  } catch (error) {
    await fs.rm(part, { force: true });
    throw error;
  }
};

/** For the `fs` argument of isomorphic-git. */
export const gitFiles = (limits: PackLimits) => ({
  promises: {
    readFile: fs.readFile,
    readdir: fs.readdir,
    mkdir: fs.mkdir,
    rmdir: fs.rmdir,
    unlink: fs.unlink,
    stat: fs.stat,
    lstat: fs.lstat,
    readlink: fs.readlink,
    symlink: fs.symlink,
    chmod: fs.chmod,
    writeFile: async (file: string, data: string | Uint8Array, options?: { mode?: number }): Promise<void> => {
      const refusal = file.endsWith('.pack') && typeof data !== 'string' ? checkPack(data, limits) : undefined;
      if (refusal) throw new Refused(refusal);
      await writeWhole(file, data, options);
    },
  },
});

export type GitFiles = ReturnType<typeof gitFiles>;

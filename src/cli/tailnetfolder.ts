// A tailnet folder as commands see it: read whole and bounded, written file by file in one step each.

import fs from 'node:fs';
import path from 'node:path';
import { FILE_LIMIT_BYTES } from '../config/document.ts';
import { TAILNET_FILES } from '../config/folder.ts';
import { EXIT, Failure } from './failure.ts';

/** At most one byte more than may be read: enough to be refused for its size. */
const readStart = (file: string): Uint8Array | undefined => {
  const handle = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
  try {
    const status = fs.fstatSync(handle);
    if (!status.isFile()) return undefined;
    const buffer = new Uint8Array(Math.min(status.size, FILE_LIMIT_BYTES + 1));
    let length = 0;
    for (;;) {
      const read = fs.readSync(handle, buffer, length, buffer.length - length, length);
      length += read;
      if (read === 0 || length === buffer.length) return buffer.subarray(0, length);
    }
  } finally {
    fs.closeSync(handle);
  }
};

/** Every file that is ours or nearly has the name of one. */
export const readTailnetFolder = (folder: string): ReadonlyMap<string, Uint8Array> => {
  try {
    const files = new Map<string, Uint8Array>();
    for (const name of fs.readdirSync(folder).sort()) {
      if (!/\.(?:json5?|hujson|jsonc)$/i.test(name)) continue;
      const known = (TAILNET_FILES as readonly string[]).includes(name);
      const bytes = known ? readStart(path.join(folder, name)) : new Uint8Array();
      if (bytes !== undefined) files.set(name, bytes);
    }
    return files;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown error';
    throw new Failure(
      EXIT.usage,
      'cli/usage',
      `${folder} can't be read: ${code}.`,
      'Name the folder that holds tailnet.json5.',
    );
  }
};

/** In one step, so that a server that watches the folder never sees half of it. */
export const replaceFile = (file: string, text: string): void => {
  const real = fs.realpathSync(file);
  const { mode } = fs.statSync(real);
  const temporary = `${real}.${process.pid}.tmp`;
  fs.writeFileSync(temporary, text, { mode, flag: 'wx' });
  fs.renameSync(temporary, real);
};

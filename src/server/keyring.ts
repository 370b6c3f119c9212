// The server's own private keys, one file each in `<data>/keys`: the Noise key that clients pin at their first contact and
// the relay's key. They are made once, never enter the database, a backup without a passphrase, or a log.

import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { formatHex, parseHex, utf8 } from '../base/bytes.ts';
import { Secret } from '../base/secret.ts';

const KEY_BYTES = 32;
const PREFIX = 'privkey:';

/** RFC 7748 section 5, as clients clamp the keys that they make. */
const clamp = (key: Uint8Array): Uint8Array => {
  key[0] = (key[0] as number) & 248;
  key[31] = ((key[31] as number) & 127) | 64;
  return key;
};

/** Writes a file that is whole or absent, readable by its owner alone. */
export const writePrivateFile = (file: string, bytes: Uint8Array): void => {
  fs.mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
  const temporary = `${file}.new`;
  const handle = fs.openSync(temporary, 'w', 0o600);
  try {
    fs.writeSync(handle, bytes);
    fs.fsyncSync(handle);
  } finally {
    fs.closeSync(handle);
  }
  fs.renameSync(temporary, file);
};

const readKey = (file: string): Uint8Array => {
  const text = fs.readFileSync(file, 'utf8').trim();
  const key = text.startsWith(PREFIX) ? parseHex(text.slice(PREFIX.length)) : undefined;
  if (key?.length !== KEY_BYTES) throw new Error(`${file} does not hold a private key; restore it from a backup`);
  return key;
};

/** The X25519 private key of that name; made at the first call for a data folder. */
export const privateKeyOf = (dataFolder: string, name: 'noise' | 'relay'): Secret<Uint8Array> => {
  const file = path.join(dataFolder, 'keys', `${name}.key`);
  if (!fs.existsSync(file)) writePrivateFile(file, utf8(`${PREFIX}${formatHex(clamp(randomBytes(KEY_BYTES)))}\n`));
  return new Secret(readKey(file));
};

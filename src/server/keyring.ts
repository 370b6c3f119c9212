// The server's own private keys, one file each in `<data>/keys`: the Noise key that clients pin at their first contact, the
// relay's, those that open sealed values and sign commits. Made once; they never enter the database, a log, or a backup
// without a passphrase.

import { createPrivateKey, generateKeyPairSync, randomBytes, type KeyObject } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { utf8 } from '../base/bytes.ts';
import { KEY_BYTES } from '../keys/crypto.ts';
import type { Crypto } from '../keys/crypto.ts';
import { formatPrivateKey, makeKeyPair, parseKeyPair } from '../keys/pair.ts';
import type { KeyPair } from '../keys/pair.ts';

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

/** The X25519 key pair of that name; made at the first call for a data folder. Throws where the file is damaged. */
export const keyPairOf = (crypto: Crypto, dataFolder: string, name: 'noise' | 'relay' | 'seal'): KeyPair => {
  const file = path.join(dataFolder, 'keys', `${name}.key`);
  if (!fs.existsSync(file)) {
    const fresh = makeKeyPair(crypto, randomBytes(KEY_BYTES));
    writePrivateFile(file, utf8(`${formatPrivateKey(fresh).reveal()}\n`));
  }
  const pair = parseKeyPair(crypto, fs.readFileSync(file, 'utf8').trim());
  if (!pair) throw new Error(`${file} does not hold a private key; restore it from a backup`);
  return pair;
};

/** The Ed25519 key that signs the commits of the server; made at the first call. Throws where the file is damaged. */
export const signingKeyOf = (dataFolder: string): KeyObject => {
  const file = path.join(dataFolder, 'keys', 'sign.key');
  if (!fs.existsSync(file)) {
    const { privateKey } = generateKeyPairSync('ed25519');
    writePrivateFile(file, utf8(privateKey.export({ format: 'pem', type: 'pkcs8' }) as string));
  }
  try {
    const key = createPrivateKey(fs.readFileSync(file));
    if (key.asymmetricKeyType === 'ed25519') return key;
  } catch {
    // Said below.
  }
  throw new Error(`${file} does not hold a private key; restore it from a backup`);
};

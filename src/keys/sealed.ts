// Sealed secrets: text that may lie in a repository because only the server can read it. A NaCl box from a key pair made for
// this one box: `sealed:` and base64url of the sender's public key, the nonce and the box. The sender can't open it again.

import { concatBytes, formatBase64Url, parseBase64Url, utf8, utf8Text } from '../base/bytes.ts';
import { Secret } from '../base/secret.ts';
import { BOX_NONCE_BYTES, BOX_OVERHEAD_BYTES, boxKey, openBox, sealBox } from './box.ts';
import { KEY_BYTES, type Crypto, type Random } from './crypto.ts';
import { makeKeyPair, type KeyPair } from './pair.ts';
import { keyBytes, type MachineKey } from './text.ts';

const PREFIX = 'sealed:';

export const sealSecret = (crypto: Crypto, random: Random, recipient: MachineKey, secret: Secret<string>): string => {
  const sender = makeKeyPair(crypto, random(KEY_BYTES));
  const key = boxKey(crypto, sender.privateKey.reveal(), keyBytes(recipient));
  if (!key) throw new RangeError('the recipient is not a usable key');
  const box = sealBox(key, random(BOX_NONCE_BYTES), utf8(secret.reveal()));
  return `${PREFIX}${formatBase64Url(concatBytes(sender.publicKey, box))}`;
};

export const isSealed = (text: string): boolean => text.startsWith(PREFIX);

/** Undefined if the text is not a sealed secret, or is sealed to another key. */
export const openSecret = (crypto: Crypto, recipient: KeyPair, text: string): Secret<string> | undefined => {
  const bytes = isSealed(text) ? parseBase64Url(text.slice(PREFIX.length)) : undefined;
  if (!bytes || bytes.length < KEY_BYTES + BOX_OVERHEAD_BYTES) return undefined;
  const key = boxKey(crypto, recipient.privateKey.reveal(), bytes.subarray(0, KEY_BYTES));
  const plaintext = key && openBox(key, bytes.subarray(KEY_BYTES));
  if (!plaintext) return undefined;
  try {
    return new Secret(utf8Text(plaintext));
  } catch {
    return undefined;
  }
};

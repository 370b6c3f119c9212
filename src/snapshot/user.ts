// A person's number on the wire. It is derived from the login, so that every server and every run gives the same one and
// nothing has to be stored.

import { sha256 } from '@noble/hashes/sha2.js';
import { utf8 } from '../base/bytes.ts';
import type { Login, UserId } from '../base/ids.ts';

/** The first 6 bytes of SHA-256 of the lower-cased login: 48 bits, so always a safe integer. */
export const userIdOf = (login: Login): UserId => {
  const digest = sha256(utf8(login.toLowerCase()));
  let id = 0;
  for (const byte of digest.subarray(0, 6)) id = id * 256 + byte;
  // 0 means "no user" on the wire.
  return Math.max(id, 1) as UserId;
};

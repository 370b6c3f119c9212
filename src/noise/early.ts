// The early payload: the first bytes that the server sends inside the records, before HTTP/2 begins. A client tells it from
// HTTP/2 by its first nine bytes, whose magic can't begin a frame (Tailscale's control/ts2021/conn.go).

import { concatBytes, utf8, utf8Text } from '../base/bytes.ts';
import { parseChallengeKey, type ChallengeKey } from '../keys/text.ts';

const MAGIC = Uint8Array.of(0xff, 0xff, 0xff, 0x54, 0x53);
const HEAD_BYTES = 9;
const MAX_BYTES = 10 << 20;

/** `challenge` is a fresh public key for each connection; no client answers it yet, so its private half may be forgotten. */
export const encodeEarlyPayload = (challenge: ChallengeKey): Uint8Array => {
  const json = utf8(JSON.stringify({ nodeKeyChallenge: challenge }));
  const size = new Uint8Array(4);
  new DataView(size.buffer).setUint32(0, json.length);
  return concatBytes(MAGIC, size, json);
};

/**
 * Reads the start of what a server sent. `more`: not enough bytes yet. `none`: the server began HTTP/2 at once. Otherwise the
 * challenge, if one was given, and how many bytes it took.
 */
export const decodeEarlyPayload = (
  bytes: Uint8Array,
): 'more' | 'none' | { readonly challenge: ChallengeKey | undefined; readonly sizeBytes: number } => {
  if (bytes.length < HEAD_BYTES) return 'more';
  if (!MAGIC.every((byte, i) => bytes[i] === byte)) return 'none';
  const sizeBytes = HEAD_BYTES + new DataView(bytes.buffer, bytes.byteOffset).getUint32(5);
  if (sizeBytes > HEAD_BYTES + MAX_BYTES) return 'none';
  if (bytes.length < sizeBytes) return 'more';
  return { challenge: readChallenge(bytes.subarray(HEAD_BYTES, sizeBytes)), sizeBytes };
};

const readChallenge = (json: Uint8Array): ChallengeKey | undefined => {
  try {
    const value: unknown = JSON.parse(utf8Text(json));
    const text = (value as { nodeKeyChallenge?: unknown } | null)?.nodeKeyChallenge;
    return typeof text === 'string' ? parseChallengeKey(text) : undefined;
  } catch {
    return undefined;
  }
};

// The kinds of keys and their text: a prefix and lower-case hex, `nodekey:8f40…`. A key travels through Tailplane as this
// branded text, so that a machine key can't be taken for a node key; its bytes are asked for where cryptography begins.
// The forms are those of Tailscale's types/key/{machine,node,disco,nl,chal,hardware_attestation}.go.

import { formatBase64, formatHex, parseHex } from '../base/bytes.ts';
import type { Brand } from '../base/ids.ts';

/** A device's identity, `mkey:` and 64 hex digits (X25519). Proven by the Noise handshake. The server's own key is one too. */
export type MachineKey = Brand<string, 'MachineKey'>;
/** A login's WireGuard key, `nodekey:` and 64 hex digits (X25519). Asserted, never proven to us. */
export type NodeKey = Brand<string, 'NodeKey'>;
/** Path discovery between peers, `discokey:` and 64 hex digits (X25519). */
export type DiscoKey = Brand<string, 'DiscoKey'>;
/** Tailnet Lock, `nlpub:` and 64 hex digits (Ed25519). */
export type NlKey = Brand<string, 'NlKey'>;
/** The challenge of the early payload, `chalpub:` and 64 hex digits (X25519). */
export type ChallengeKey = Brand<string, 'ChallengeKey'>;
/** Hardware attestation, `hwattestpub:` and 130 hex digits (an uncompressed point of P-256). */
export type AttestationKey = Brand<string, 'AttestationKey'>;

export type PublicKey = MachineKey | NodeKey | DiscoKey | NlKey | ChallengeKey | AttestationKey;

const PUBLIC_BYTES = 32;
const ATTESTATION_BYTES = 65;

const hexOf = (text: string, prefix: string, sizeBytes: number): string | undefined => {
  if (text.length !== prefix.length + 2 * sizeBytes || !text.startsWith(prefix)) return undefined;
  const hex = text.slice(prefix.length);
  return /^[0-9a-f]+$/i.test(hex) ? hex.toLowerCase() : undefined;
};

const parser =
  <Key extends PublicKey>(prefix: string, sizeBytes = PUBLIC_BYTES) =>
  (text: string): Key | undefined => {
    const hex = hexOf(text, prefix, sizeBytes);
    return hex === undefined || /^0+$/.test(hex) ? undefined : (`${prefix}${hex}` as Key);
  };

const formatter =
  <Key extends PublicKey>(prefix: string, sizeBytes = PUBLIC_BYTES) =>
  (bytes: Uint8Array): Key => {
    if (bytes.length !== sizeBytes) throw new RangeError(`a ${prefix} key has ${sizeBytes} bytes, not ${bytes.length}`);
    return `${prefix}${formatHex(bytes)}` as Key;
  };

// Each parse takes hex digits of either case, as clients do, and answers undefined for a malformed text and for the key of
// all zeros, which is how clients write «none». `isZeroKey` tells the two apart where that matters.
export const parseMachineKey = parser<MachineKey>('mkey:');
export const parseNodeKey = parser<NodeKey>('nodekey:');
export const parseDiscoKey = parser<DiscoKey>('discokey:');
export const parseChallengeKey = parser<ChallengeKey>('chalpub:');
export const parseAttestationKey = parser<AttestationKey>('hwattestpub:', ATTESTATION_BYTES);

/** Takes `nlpub:` and the form of the command line, `tlpub:`; gives the former. */
export const parseNlKey = (text: string): NlKey | undefined =>
  parser<NlKey>('nlpub:')(text.startsWith('tlpub:') ? `nl${text.slice(2)}` : text);

export const formatMachineKey = formatter<MachineKey>('mkey:');
export const formatNodeKey = formatter<NodeKey>('nodekey:');
export const formatDiscoKey = formatter<DiscoKey>('discokey:');
export const formatNlKey = formatter<NlKey>('nlpub:');
export const formatChallengeKey = formatter<ChallengeKey>('chalpub:');
export const formatAttestationKey = formatter<AttestationKey>('hwattestpub:', ATTESTATION_BYTES);

/** Whether the text is a key of any kind whose digits are all zero. */
export const isZeroKey = (text: string): boolean => /^[a-z]+:(?:00){32,65}$/.test(text);

/** The raw bytes: 32, or 65 for an attestation key. */
export const keyBytes = (key: PublicKey): Uint8Array => parseHex(key.slice(key.indexOf(':') + 1)) as Uint8Array;

/** The short form that clients print, `[ST6C/]`; disco keys print as `d:` and 16 digits instead. For logs, not for lookups. */
export const formatShortKey = (key: PublicKey): string =>
  key.startsWith('discokey:') ? `d:${key.slice(9, 25)}` : `[${formatBase64(keyBytes(key)).slice(0, 5)}]`;

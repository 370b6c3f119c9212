// Signatures of DNS messages by a key that both sides have (TSIG, RFC 8945): the request is signed, and an answer counts only
// with a signature that covers the request's. Nothing that a name server says without it is believed.

import { createHmac } from 'node:crypto';

import { concatBytes, equalBytes } from '../base/bytes.ts';
import type { Secret } from '../base/secret.ts';
import { CLASS, decodeResponse, encodeRecord, rcodeName, TYPE, type DnsResponse } from './message.ts';
import { decodeName, encodeName } from './name.ts';

export const ALGORITHMS = ['hmac-sha256', 'hmac-sha512'] as const;
export type Algorithm = (typeof ALGORITHMS)[number];

export interface UpdateKey {
  readonly name: string;
  readonly algorithm: Algorithm;
  readonly secret: Secret<Uint8Array>;
}

export interface Signed {
  readonly message: Uint8Array;
  readonly mac: Uint8Array;
}

/** How far the clocks of both sides may be apart. */
const FUDGE_SECONDS = 300;

const uint16 = (value: number): Uint8Array => Uint8Array.of((value >>> 8) & 0xff, value & 0xff);
const uint48 = (value: number): Uint8Array => {
  const bytes = Buffer.alloc(6);
  bytes.writeUIntBE(value, 0, 6);
  return bytes;
};

const hmacOf = ({ algorithm, secret }: UpdateKey, ...parts: readonly Uint8Array[]): Uint8Array =>
  createHmac(algorithm.slice('hmac-'.length), secret.reveal()).update(concatBytes(...parts)).digest(); // prettier-ignore

/** What is signed besides the message (section 4.3.3). `tail`: error, and length and content of what else is said. */
const variables = (key: UpdateKey, time: Uint8Array, fudge: Uint8Array, tail: Uint8Array): Uint8Array =>
  concatBytes(
    encodeName(key.name) as Uint8Array,
    uint16(CLASS.ANY),
    new Uint8Array(4),
    encodeName(key.algorithm) as Uint8Array,
    time,
    fudge,
    tail,
  );

/** Appends the record with the signature. The key's name must be one. */
export const signMessage = (key: UpdateKey, message: Uint8Array, nowMs: number): Signed => {
  const time = uint48(Math.floor(nowMs / 1000));
  const fudge = uint16(FUDGE_SECONDS);
  const noError = new Uint8Array(4);
  const mac = hmacOf(key, message, variables(key, time, fudge, noError));
  const algorithm = encodeName(key.algorithm) as Uint8Array;
  const data = concatBytes(algorithm, time, fudge, uint16(mac.length), mac, message.subarray(0, 2), noError);
  const record = encodeRecord({ name: key.name, type: TYPE.TSIG, class: CLASS.ANY, ttlSeconds: 0, data });
  const signed = concatBytes(message, record as Uint8Array);
  new DataView(signed.buffer).setUint16(10, 1);
  return { message: signed, mac };
};

export type Verified = { readonly ok: true; readonly response: DnsResponse } | { readonly ok: false; readonly reason: string }; // prettier-ignore

const refused = (reason: string): Verified => ({ ok: false, reason });

/** Reads an answer to a request that was signed with `requestMac`. */
export const verifyResponse = (
  key: UpdateKey,
  message: Uint8Array,
  requestMac: Uint8Array,
  nowMs: number,
): Verified => {
  const response = decodeResponse(message);
  if (!response) return refused('is no DNS message');
  const record = response.additional.at(-1);
  if (record?.type !== TYPE.TSIG) return refused(`is not signed (${rcodeName(response.rcode)})`);
  const algorithm = decodeName(message, record.dataStart);
  const end = record.dataStart + record.data.length;
  if (!algorithm || algorithm.end + 16 > end) return refused('has a broken signature');
  const view = Buffer.from(message.buffer, message.byteOffset, message.byteLength);
  const macStart = algorithm.end + 10;
  const macEnd = macStart + view.readUInt16BE(algorithm.end + 8);
  if (macEnd + 6 > end) return refused('has a broken signature');
  const error = view.readUInt16BE(macEnd + 2);
  if (record.name !== key.name.toLowerCase() || algorithm.value !== key.algorithm) return refused('is signed with another key'); // prettier-ignore
  // An error about the key itself can't be signed by it; it refuses, so nothing is lost by hearing of it.
  if (macEnd === macStart) return refused(`says ${rcodeName(error)} about the key`);

  const time = message.subarray(algorithm.end, algorithm.end + 6);
  const fudge = message.subarray(algorithm.end + 6, algorithm.end + 8);
  // As the message was before it was signed: with its first id, and one record less.
  const before = Uint8Array.from(message.subarray(0, record.start));
  before.set(message.subarray(macEnd, macEnd + 2), 0);
  new DataView(before.buffer).setUint16(10, response.additional.length - 1);
  const tail = message.subarray(macEnd + 2, end);
  const mac = hmacOf(key, uint16(requestMac.length), requestMac, before, variables(key, time, fudge, tail));
  if (!equalBytes(mac, message.subarray(macStart, macEnd))) return refused('is not signed by the key');
  if (error !== 0) return refused(`says ${rcodeName(error)} about the key`);
  const awaySeconds = Math.abs(nowMs / 1000 - view.readUIntBE(algorithm.end, 6));
  return awaySeconds > FUDGE_SECONDS ? refused('is signed at another time') : { ok: true, response };
};

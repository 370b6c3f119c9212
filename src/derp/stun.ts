// STUN binding as Tailscale's clients use it (RFC 8489, Tailscale's net/stun/stun.go): the request names its software and
// carries a fingerprint, the answer is the address that it came from. Bytes in, bytes out.

import { crc32 } from 'node:zlib';

import { formatAddress, type AddressBits } from '../base/address.ts';

const HEADER_BYTES = 20;
const MAGIC_COOKIE = 0x2112a442;
const BINDING_REQUEST = 0x0001;
const BINDING_RESPONSE = 0x0101;
const XOR_MAPPED_ADDRESS = 0x0020;
const SOFTWARE = 0x8022;
const FINGERPRINT = 0x8028;
const FINGERPRINT_XOR = 0x5354554e;
const CLIENT_SOFTWARE = Buffer.from('tailnode');

/** A request has this size and no other: header, software, fingerprint. */
export const STUN_REQUEST_BYTES = HEADER_BYTES + 4 + CLIENT_SOFTWARE.length + 8;
const FINGERPRINT_AT = STUN_REQUEST_BYTES - 8;
const TRANSACTION_AT = 8;

/** Whether it is a binding request of a Tailscale client. Others are not answered, so that nobody finds a reflector here. */
export const isStunRequest = (message: Buffer): boolean =>
  message.length === STUN_REQUEST_BYTES &&
  message.readUInt16BE(0) === BINDING_REQUEST &&
  message.readUInt16BE(2) === STUN_REQUEST_BYTES - HEADER_BYTES &&
  message.readUInt32BE(4) === MAGIC_COOKIE &&
  message.readUInt16BE(HEADER_BYTES) === SOFTWARE &&
  message.readUInt16BE(HEADER_BYTES + 2) === CLIENT_SOFTWARE.length &&
  message.compare(CLIENT_SOFTWARE, 0, CLIENT_SOFTWARE.length, HEADER_BYTES + 4, FINGERPRINT_AT) === 0 &&
  message.readUInt16BE(FINGERPRINT_AT) === FINGERPRINT &&
  message.readUInt16BE(FINGERPRINT_AT + 2) === 4 &&
  message.readUInt32BE(FINGERPRINT_AT + 4) === (crc32(message.subarray(0, FINGERPRINT_AT)) ^ FINGERPRINT_XOR) >>> 0;

/** The answer to `request`, which came from that address and port: 32 bytes for IPv4, 44 for IPv6. */
export const encodeStunResponse = (request: Buffer, { family, bits }: AddressBits, port: number): Buffer => {
  const addressBytes = family === 4 ? 4 : 16;
  const response = Buffer.alloc(HEADER_BYTES + 8 + addressBytes);
  response.writeUInt16BE(BINDING_RESPONSE, 0);
  response.writeUInt16BE(8 + addressBytes, 2);
  request.copy(response, 4, 4, HEADER_BYTES);
  response.writeUInt16BE(XOR_MAPPED_ADDRESS, HEADER_BYTES);
  response.writeUInt16BE(4 + addressBytes, HEADER_BYTES + 2);
  response[HEADER_BYTES + 5] = family === 4 ? 1 : 2;
  response.writeUInt16BE(port ^ (MAGIC_COOKIE >>> 16), HEADER_BYTES + 6);
  // The mask of section 14.2 is the cookie for IPv4, cookie and transaction for IPv6: bytes 4 and on of the message.
  for (let i = 0; i < addressBytes; i++) {
    const byte = Number((bits >> BigInt(8 * (addressBytes - 1 - i))) & 0xffn);
    response[HEADER_BYTES + 8 + i] = byte ^ (response[TRANSACTION_AT - 4 + i] as number);
  }
  return response;
};

/** What a client sends; the transaction is twelve random bytes. */
export const encodeStunRequest = (transaction: Uint8Array): Buffer => {
  const request = Buffer.alloc(STUN_REQUEST_BYTES);
  request.writeUInt16BE(BINDING_REQUEST, 0);
  request.writeUInt16BE(STUN_REQUEST_BYTES - HEADER_BYTES, 2);
  request.writeUInt32BE(MAGIC_COOKIE, 4);
  request.set(transaction, TRANSACTION_AT);
  request.writeUInt16BE(SOFTWARE, HEADER_BYTES);
  request.writeUInt16BE(CLIENT_SOFTWARE.length, HEADER_BYTES + 2);
  request.set(CLIENT_SOFTWARE, HEADER_BYTES + 4);
  request.writeUInt16BE(FINGERPRINT, FINGERPRINT_AT);
  request.writeUInt16BE(4, FINGERPRINT_AT + 2);
  request.writeUInt32BE((crc32(request.subarray(0, FINGERPRINT_AT)) ^ FINGERPRINT_XOR) >>> 0, FINGERPRINT_AT + 4);
  return request;
};

/** The address in an answer to that transaction, as `encodeStunResponse` writes it; undefined for anything else. */
export const decodeStunResponse = (response: Buffer, transaction: Uint8Array): string | undefined => {
  const family = response.length === HEADER_BYTES + 12 ? 4 : response.length === HEADER_BYTES + 24 ? 6 : undefined;
  if (family === undefined || response.readUInt16BE(0) !== BINDING_RESPONSE) return undefined;
  if (
    response.readUInt32BE(4) !== MAGIC_COOKIE ||
    response.compare(transaction, 0, 12, TRANSACTION_AT, HEADER_BYTES) !== 0
  )
    return undefined;
  if (response.readUInt16BE(HEADER_BYTES) !== XOR_MAPPED_ADDRESS) return undefined;
  let bits = 0n;
  for (let i = HEADER_BYTES + 8; i < response.length; i++)
    bits =
      (bits << 8n) | BigInt((response[i] as number) ^ (response[i - HEADER_BYTES - 8 + TRANSACTION_AT - 4] as number));
  return formatAddress({ family, bits });
};

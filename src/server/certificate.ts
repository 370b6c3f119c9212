// X.509 certificates that nobody signs but their own key (RFC 5280), for a server without a domain: clients pin the SHA-256
// of its certificate in the relay map. Node reads certificates but does not write them, so the little DER (X.690) that they
// need is written here.

import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  randomBytes,
  sign,
  type KeyObject,
} from 'node:crypto';

import { parseAddressBits } from '../base/address.ts';
import { concatBytes, formatHex, utf8 } from '../base/bytes.ts';

export interface CertificateRequest {
  /** DNS names, in ASCII. The first name or address is the common name as well. */
  readonly hostnames: readonly string[];
  readonly ips: readonly string[];
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** PKCS#8 PEM of an ECDSA P-256 or Ed25519 key; absent: a new P-256 key. */
  readonly keyPem?: string;
}

export interface Certificate {
  readonly certPem: string;
  readonly keyPem: string;
  /** SHA-256 of the certificate in lower-case hex, for `CertName: 'sha256-raw:…'` in the relay map. */
  readonly sha256Raw: string;
}

const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utf8String: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** A context-specific tag, for a value made of others or for bytes. */
const contextTag = (number: number, constructed: boolean): number => (constructed ? 0xa0 : 0x80) | number;

const der = (tag: number, ...parts: readonly Uint8Array[]): Uint8Array => {
  const body = concatBytes(...parts);
  if (body.length < 0x80) return concatBytes(Uint8Array.of(tag, body.length), body);
  if (body.length > 0xffff) throw new RangeError('a certificate does not grow that large');
  return concatBytes(Uint8Array.of(tag, 0x82, body.length >> 8, body.length & 0xff), body);
};

const sequence = (...parts: readonly Uint8Array[]): Uint8Array => der(TAG.sequence, ...parts);

const oid = (text: string): Uint8Array => {
  const [first = 0, second = 0, ...rest] = text.split('.').map(Number);
  const bytes = [40 * first + second];
  for (const arc of rest) {
    const groups = [arc & 0x7f];
    for (let left = arc >>> 7; left > 0; left >>>= 7) groups.unshift((left & 0x7f) | 0x80);
    bytes.push(...groups);
  }
  return der(TAG.oid, Uint8Array.from(bytes));
};

/** A positive integer of big-endian bytes, the first of which is not zero. */
const integer = (bytes: Uint8Array): Uint8Array =>
  der(TAG.integer, (bytes[0] as number) & 0x80 ? concatBytes(Uint8Array.of(0), bytes) : bytes);

const bitString = (bytes: Uint8Array): Uint8Array => der(TAG.bitString, Uint8Array.of(0), bytes);

/** RFC 5280 section 4.1.2.5: two digits for the year until 2049, four from then on. */
const time = (at: Date): Uint8Array => {
  const digits = `${at.toISOString().replace(/[-:T]/g, '').slice(0, 14)}Z`;
  return at.getUTCFullYear() < 2050 ? der(TAG.utcTime, utf8(digits.slice(2))) : der(TAG.generalizedTime, utf8(digits));
};

const commonName = (text: string): Uint8Array =>
  sequence(der(TAG.set, sequence(oid('2.5.4.3'), der(TAG.utf8String, utf8(text)))));

const extension = (id: string, critical: boolean, value: Uint8Array): Uint8Array =>
  sequence(oid(id), ...(critical ? [der(TAG.boolean, Uint8Array.of(0xff))] : []), der(TAG.octetString, value));

const addressBytes = (text: string): Uint8Array => {
  const address = parseAddressBits(text);
  if (!address) throw new RangeError(`not an IP address: ${text}`);
  const sizeBytes = address.family === 4 ? 4 : 16;
  return Uint8Array.from({ length: sizeBytes }, (_, i) =>
    Number((address.bits >> BigInt(8 * (sizeBytes - 1 - i))) & 0xffn),
  );
};

/** Absent `cA` means that the certificate signs no others. macOS wants this extension where subject and issuer are one. */
const BASIC_CONSTRAINTS = extension('2.5.29.19', true, sequence());
const KEY_USAGE_SIGNATURE = extension('2.5.29.15', true, der(TAG.bitString, Uint8Array.of(7, 0x80)));
const USAGE_SERVER = extension('2.5.29.37', false, sequence(oid('1.3.6.1.5.5.7.3.1')));

const alternativeNames = (hostnames: readonly string[], ips: readonly string[]): Uint8Array =>
  extension(
    '2.5.29.17',
    false,
    sequence(
      ...hostnames.map((name) => der(contextTag(2, false), utf8(name))),
      ...ips.map((ip) => der(contextTag(7, false), addressBytes(ip))),
    ),
  );

const signatureAlgorithm = (key: KeyObject): Uint8Array => {
  if (key.asymmetricKeyType === 'ed25519') return sequence(oid('1.3.101.112'));
  if (key.asymmetricKeyDetails?.namedCurve === 'prime256v1') return sequence(oid('1.2.840.10045.4.3.2'));
  throw new RangeError('the key of a certificate is ECDSA P-256 or Ed25519');
};

interface Content {
  readonly serial: Uint8Array;
  readonly name: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly extensions: readonly Uint8Array[];
}

const signCertificate = (key: KeyObject, { serial, name, notBefore, notAfter, extensions }: Content): Uint8Array => {
  const algorithm = signatureAlgorithm(key);
  const subject = commonName(name);
  const signed = sequence(
    der(contextTag(0, true), integer(Uint8Array.of(2))), // version 3
    integer(serial),
    algorithm,
    subject, // issuer
    sequence(time(notBefore), time(notAfter)),
    subject,
    createPublicKey(key).export({ format: 'der', type: 'spki' }),
    der(contextTag(3, true), sequence(...extensions)),
  );
  const digest = key.asymmetricKeyType === 'ed25519' ? null : 'sha256';
  return sequence(signed, algorithm, bitString(sign(digest, signed, key)));
};

const pem = (certificate: Uint8Array): string => {
  const lines =
    Buffer.from(certificate)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
};

/** X.520 holds a common name to 64 characters. */
const COMMON_NAME_LIMIT = 64;

export const makeSelfSignedCertificate = (request: CertificateRequest): Certificate => {
  const { hostnames, ips, notBefore, notAfter } = request;
  const key =
    request.keyPem === undefined
      ? generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
      : createPrivateKey(request.keyPem);
  const serial = randomBytes(16);
  serial[0] = ((serial[0] as number) & 0x7f) | 0x40;
  const certificate = signCertificate(key, {
    serial,
    name: [...hostnames, ...ips].find((name) => name.length <= COMMON_NAME_LIMIT) ?? 'relay',
    notBefore,
    notAfter,
    extensions: [BASIC_CONSTRAINTS, KEY_USAGE_SIGNATURE, USAGE_SERVER, alternativeNames(hostnames, ips)],
  });
  return {
    certPem: pem(certificate),
    keyPem: key.export({ format: 'pem', type: 'pkcs8' }),
    sha256Raw: createHash('sha256').update(certificate).digest('hex'),
  };
};

const META_MARGIN_MS = 30 * 24 * 3_600_000;
const PROTOCOL_VERSION = 2;

/**
 * The certificate that a relay appends to its chain so that clients know its key a round trip earlier: common name
 * `derpkey` and the key's 64 hex digits, the protocol's version as serial number, 30 days on each side of `now`
 * (Tailscale's derp/derpserver, initMetacert). Nobody verifies it; its Ed25519 key is thrown away. PEM.
 */
export const makeMetaCertificate = (relayPublicKey: Uint8Array, now: Date): string =>
  pem(
    signCertificate(generateKeyPairSync('ed25519').privateKey, {
      serial: Uint8Array.of(PROTOCOL_VERSION),
      name: `derpkey${formatHex(relayPublicKey)}`,
      notBefore: new Date(now.getTime() - META_MARGIN_MS),
      notAfter: new Date(now.getTime() + META_MARGIN_MS),
      extensions: [BASIC_CONSTRAINTS],
    }),
  );

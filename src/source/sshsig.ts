// SSH signatures (OpenSSH's PROTOCOL.sshsig) with node:crypto. A signature names its namespace, and only `git` counts:
// a signature made for a file or a login must not approve a commit.

import { createHash, createPublicKey, sign, verify, type KeyObject } from 'node:crypto';
import { concatBytes, equalBytes, formatBase64, parseBase64, utf8 } from '../base/bytes.ts';
import { accept, refuse, type Outcome, type Refusal } from '../base/outcome.ts';

/** RFC 4251 section 5: values one after another, each with its length in front. */
const reader = (bytes: Uint8Array) => {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  const take = (count: number): Buffer => {
    if (at + count > buffer.length) throw new RangeError('cut off');
    at += count;
    return buffer.subarray(at - count, at);
  };
  const uint32 = (): number => take(4).readUInt32BE();
  const string = (): Buffer => take(uint32());
  return { take, uint32, string, text: () => string().toString('latin1'), atEnd: () => at === buffer.length };
};

const field = (bytes: Uint8Array): Uint8Array => {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return concatBytes(length, bytes);
};

/** A multiple-precision integer as unsigned bytes of a fixed width. */
const unsigned = (mpint: Uint8Array, width: number): Buffer => {
  const digits = Buffer.from(mpint).subarray(mpint.findIndex((byte) => byte !== 0));
  if (digits.length > width) throw new RangeError('too large');
  return Buffer.concat([Buffer.alloc(width - digits.length), digits]);
};

const CURVES: Readonly<Record<string, { readonly crv: string; readonly width: number; readonly hash: string }>> = {
  nistp256: { crv: 'P-256', width: 32, hash: 'sha256' },
  nistp384: { crv: 'P-384', width: 48, hash: 'sha384' },
  nistp521: { crv: 'P-521', width: 66, hash: 'sha512' },
};

const RSA_BITS_AT_LEAST = 2048;
const USER_PRESENT = 1;

interface SshKey {
  readonly type: string;
  readonly key: KeyObject;
  readonly curve?: (typeof CURVES)[string];
  /** Of a security key (FIDO): what it signs for, `ssh:`. */
  readonly application?: Uint8Array;
}

const decodeKey = (blob: Uint8Array): SshKey => {
  const parts = reader(blob);
  const type = parts.text();
  const jwk = (fields: Record<string, string>): KeyObject => createPublicKey({ key: fields, format: 'jwk' });
  const security = type.startsWith('sk-');
  const base = security ? type.slice(3).replace('@openssh.com', '') : type;
  if (base === 'ssh-ed25519') {
    const key = jwk({ kty: 'OKP', crv: 'Ed25519', x: parts.string().toString('base64url') });
    return security ? { type, key, application: parts.string() } : { type, key };
  }
  if (base.startsWith('ecdsa-sha2-')) {
    const curve = CURVES[parts.text()];
    const point = parts.string();
    if (!curve || point.length !== 2 * curve.width + 1 || point[0] !== 4) throw new RangeError('unknown curve');
    const [x, y] = [point.subarray(1, curve.width + 1), point.subarray(curve.width + 1)];
    const key = jwk({ kty: 'EC', crv: curve.crv, x: x.toString('base64url'), y: y.toString('base64url') });
    return security ? { type, key, curve, application: parts.string() } : { type, key, curve };
  }
  if (type === 'ssh-rsa') {
    const [e, n] = [parts.string(), parts.string()];
    const key = jwk({ kty: 'RSA', e: e.toString('base64url'), n: unsigned(n, n.length).toString('base64url') });
    if ((key.asymmetricKeyDetails?.modulusLength ?? 0) < RSA_BITS_AT_LEAST) throw new RangeError('weak key');
    return { type, key };
  }
  throw new RangeError('unknown key type');
};

const HASHES: Readonly<Record<string, string>> = { 'rsa-sha2-256': 'sha256', 'rsa-sha2-512': 'sha512' };

const verifyBlob = (signer: SshKey, data: Uint8Array, signature: Uint8Array): boolean => {
  const parts = reader(signature);
  const format = parts.text();
  const blob = parts.string();
  if (signer.type === 'ssh-rsa') {
    const hash = HASHES[format];
    return hash !== undefined && verify(hash, data, signer.key, blob);
  }
  if (format !== signer.type) return false;
  let signed = data;
  if (signer.application) {
    // PROTOCOL.u2f: the device signs flags and a counter along with the digests.
    const flags = parts.take(1);
    const counter = parts.take(4);
    if (((flags[0] as number) & USER_PRESENT) === 0) return false;
    const sha256 = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest();
    signed = concatBytes(sha256(signer.application), flags, counter, sha256(data));
  }
  if (!signer.curve) return verify(null, signed, signer.key, blob);
  const numbers = reader(blob);
  const { width, hash } = signer.curve;
  const rs = Buffer.concat([unsigned(numbers.string(), width), unsigned(numbers.string(), width)]);
  return verify(hash, signed, { key: signer.key, dsaEncoding: 'ieee-p1363' }, rs);
};

/** The key of a line like `ssh-ed25519 AAAA… comment`, as bytes; undefined where it is none. */
export const parseSshKey = (line: string): Uint8Array | undefined => {
  const [type, text = ''] = line.trim().split(/\s+/);
  const blob = parseBase64(text);
  try {
    return blob && type !== undefined && decodeKey(blob).type === type ? blob : undefined;
  } catch {
    return undefined;
  }
};

const ED25519 = 'ssh-ed25519';

/** RFC 8709 section 4. */
const blobOf = (key: KeyObject): Uint8Array => {
  const { x = '' } = createPublicKey(key).export({ format: 'jwk' });
  return concatBytes(field(utf8(ED25519)), field(Buffer.from(x, 'base64url')));
};

/** The public half of an Ed25519 key as a line for `signers`, or for git's allowed signers. */
export const formatSshKey = (key: KeyObject): string => `${ED25519} ${formatBase64(blobOf(key))}`;

/** What the signature covers: the payload only by its digest. */
const signedBytes = (namespace: Uint8Array, reserved: Uint8Array, hash: string, payload: Uint8Array): Uint8Array =>
  concatBytes(
    utf8('SSHSIG'),
    field(namespace),
    field(reserved),
    field(utf8(hash)),
    field(createHash(hash).update(payload).digest()),
  );

const NAMESPACE = 'git';

/** Signs a commit with an Ed25519 private key, armoured as git puts it into the commit. */
export const signSsh = (key: KeyObject, payload: Uint8Array): string => {
  const none = new Uint8Array();
  const signature = sign(null, signedBytes(utf8(NAMESPACE), none, 'sha512', payload), key);
  const bytes = concatBytes(
    utf8('SSHSIG'),
    Uint8Array.of(0, 0, 0, 1),
    field(blobOf(key)),
    field(utf8(NAMESPACE)),
    field(none),
    field(utf8('sha512')),
    field(concatBytes(field(utf8(ED25519)), field(signature))),
  );
  const lines = formatBase64(bytes).match(/.{1,70}/g) ?? [];
  return ['-----BEGIN SSH SIGNATURE-----', ...lines, '-----END SSH SIGNATURE-----'].join('\n');
};

const badForm: Refusal = refuse('source/signature-form', 'The SSH signature cannot be read.');

/** The blob of the key that signed, once the signature was found to fit; whether it is a signer's is for the caller. */
export const verifySshSignature = (armoured: string, payload: Uint8Array): Outcome<Uint8Array> => {
  const match = /^-----BEGIN SSH SIGNATURE-----\s([A-Za-z0-9+/=\s]+)-----END SSH SIGNATURE-----\s*$/.exec(armoured);
  const bytes =
    match && armoured.length < 100_000 ? parseBase64((match[1] as string).replaceAll(/\s/g, '')) : undefined;
  if (!bytes) return badForm;
  try {
    const parts = reader(bytes);
    if (!equalBytes(parts.take(6), utf8('SSHSIG')) || parts.uint32() !== 1) return badForm;
    const blob = parts.string();
    const namespace = parts.string();
    const reserved = parts.string();
    const hash = parts.text();
    const signature = parts.string();
    if (!parts.atEnd() || (hash !== 'sha256' && hash !== 'sha512')) return badForm;
    if (namespace.toString('latin1') !== NAMESPACE) {
      return refuse('source/signature-namespace', 'The SSH signature was made for something other than git.');
    }
    return verifyBlob(decodeKey(blob), signedBytes(namespace, reserved, hash, payload), signature)
      ? accept(new Uint8Array(blob))
      : refuse('source/signature-wrong', 'The SSH signature does not fit the commit.');
  } catch {
    return badForm;
  }
};

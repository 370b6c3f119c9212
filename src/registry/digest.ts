// registry.db carries a digest of itself in its table `meta`. SQLite finds a page that makes no sense, but not a byte that
// changed within a row; the digest finds each. It is the SHA-256 of the whole file with zeros where the digest stands, so
// the file stays one file and any SQLite reads it.

import { createHash, randomBytes } from 'node:crypto';

const PREFIX = 'sha256:';
const HEX_DIGITS = 64;
const FORM = /^sha256:[0-9a-f]{64}$/;

/** A text of the form of a digest that stands nowhere else, to be replaced by `stampDigest`. */
export const makePlaceholder = (): string => PREFIX + randomBytes(HEX_DIGITS / 2).toString('hex');

/** SQLite may have left a second copy in a part of the page that is free now. */
const placesOf = (bytes: Buffer, text: string): readonly number[] => {
  const places: number[] = [];
  for (let at = bytes.indexOf(text); at >= 0; at = bytes.indexOf(text, at + text.length)) places.push(at);
  return places;
};

const viewOf = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);

const digestAround = (view: Buffer, places: readonly number[]): string => {
  for (const at of places) view.fill(0, at, at + PREFIX.length + HEX_DIGITS);
  return PREFIX + createHash('sha256').update(view).digest('hex');
};

/** Puts the digest of the bytes into the bytes, in place of the placeholder. */
export const stampDigest = (bytes: Uint8Array, placeholder: string): void => {
  const view = viewOf(bytes);
  const places = placesOf(view, placeholder);
  if (places.length === 0) throw new Error('the placeholder of the digest is not in the file');
  const digest = digestAround(view, places);
  for (const at of places) view.write(digest, at, 'latin1');
};

/** Whether the bytes are those that were stamped with this digest. They are changed meanwhile, and are as before at the end. */
export const fitsDigest = (bytes: Uint8Array, digest: string): boolean => {
  if (!FORM.test(digest)) return false;
  const view = viewOf(bytes);
  const places = placesOf(view, digest);
  const found = digestAround(view, places);
  for (const at of places) view.write(digest, at, 'latin1');
  return found === digest;
};

// Bytes and their text forms: hex, base64 (RFC 4648 section 4) and base32 (section 6), all strict: a text that another
// encoder would not have written is refused with undefined.

export const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Throws on invalid UTF-8; a byte order mark is kept. */
export const utf8Text = (bytes: Uint8Array): string =>
  new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);

export const concatBytes = (...parts: readonly Uint8Array[]): Uint8Array => {
  let sizeBytes = 0;
  for (const part of parts) sizeBytes += part.length;
  const out = new Uint8Array(sizeBytes);
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
};

/** Compares in a time that depends on the lengths only. */
export const equalBytes = (a: Uint8Array, b: Uint8Array): boolean => {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let i = 0; i < a.length; i++) difference |= (a[i] as number) ^ (b[i] as number);
  return difference === 0;
};

const view = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);

export const formatHex = (bytes: Uint8Array): string => view(bytes).toString('hex');

export const parseHex = (text: string): Uint8Array | undefined =>
  text.length % 2 === 0 && /^[0-9a-fA-F]*$/.test(text) ? new Uint8Array(Buffer.from(text, 'hex')) : undefined;

export const formatBase64 = (bytes: Uint8Array): string => view(bytes).toString('base64');

export const parseBase64 = (text: string): Uint8Array | undefined => {
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text ? new Uint8Array(bytes) : undefined;
};

export const formatBase64Url = (bytes: Uint8Array): string => view(bytes).toString('base64url');

export const parseBase64Url = (text: string): Uint8Array | undefined => {
  const bytes = Buffer.from(text, 'base64url');
  return bytes.toString('base64url') === text ? new Uint8Array(bytes) : undefined;
};

const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

/** Upper case, without padding. */
export const formatBase32 = (bytes: Uint8Array): string => {
  let out = '';
  let bits = 0;
  let held = 0;
  for (const byte of bytes) {
    held = (held << 8) | byte;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      out += BASE32[(held >>> bits) & 31];
    }
    held &= (1 << bits) - 1;
  }
  return bits > 0 ? out + BASE32[(held << (5 - bits)) & 31] : out;
};

export const parseBase32 = (text: string): Uint8Array | undefined => {
  const out: number[] = [];
  let bits = 0;
  let held = 0;
  for (const letter of text) {
    const value = BASE32.indexOf(letter);
    if (value < 0) return undefined;
    held = (held << 5) | value;
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      out.push((held >>> bits) & 255);
      held &= (1 << bits) - 1;
    }
  }
  const bytes = new Uint8Array(out);
  return formatBase32(bytes) === text ? bytes : undefined;
};

// Tolerant reading of what clients send: unknown fields are ignored, a zero value or a value of another type counts as
// absent, sizes and counts are bounded. Clients write Go's encoding/json (v1); field names are matched in the exact case
// that clients use. Nothing here throws on input.

import { parsePrefixBits, formatPrefix, parseAddress } from '../base/address.ts';
import type { Prefix } from '../base/address.ts';
import type { Json } from '../base/canonical.ts';
import type { Brand } from '../base/ids.ts';
import { accept, refuse } from '../base/outcome.ts';
import type { Outcome } from '../base/outcome.ts';

export type JsonObject = { readonly [key: string]: Json | undefined };

/** `192.0.2.1:41641` or `[2001:db8::1]:41641`, canonical, never with a zone. */
export type AddrPort = Brand<string, 'AddrPort'>;

/** No message of a client is near this: the largest is a map request with a long Hostinfo. */
export const MAX_MESSAGE_BYTES = 1 << 20;
const MAX_DEPTH = 32;
const MAX_TEXT = 4096;

/** Depth of nesting, counted before parsing: a deep document is cheap to send and dear to walk. */
const isDeep = (bytes: Uint8Array): boolean => {
  let depth = 0;
  let quoted = false;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i];
    if (quoted) {
      if (byte === 0x5c) i++;
      else if (byte === 0x22) quoted = false;
    } else if (byte === 0x22) quoted = true;
    else if (byte === 0x7b || byte === 0x5b) {
      if (++depth > MAX_DEPTH) return true;
    } else if (byte === 0x7d || byte === 0x5d) depth--;
  }
  return false;
};

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** One JSON object, and nothing else. */
export const decodeObject = (bytes: Uint8Array): Outcome<JsonObject> => {
  if (bytes.length > MAX_MESSAGE_BYTES) return refuse('wire/too-large', 'The request is too large.');
  if (isDeep(bytes)) return refuse('wire/malformed', 'The request is nested too deeply.');
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    return isObject(value) ? accept(value) : refuse('wire/malformed', 'The request is not a JSON object.');
  } catch {
    return refuse('wire/malformed', 'The request is not valid JSON.');
  }
};

/** The text of a field; absent when empty, of another type or longer than `max`. */
export const readText = (from: JsonObject, field: string, max = MAX_TEXT): string | undefined => {
  const value = from[field];
  return typeof value === 'string' && value !== '' && value.length <= max ? value : undefined;
};

export const readFlag = (from: JsonObject, field: string): boolean => from[field] === true;

/** opt.Bool: true, false, or unset. */
export const readOptionalFlag = (from: JsonObject, field: string): boolean | undefined => {
  const value = from[field];
  return typeof value === 'boolean' ? value : undefined;
};

/** A safe integer that is not zero. */
export const readInteger = (from: JsonObject, field: string): number | undefined => {
  const value = from[field];
  return typeof value === 'number' && Number.isSafeInteger(value) && value !== 0 ? value : undefined;
};

export const readObject = (from: JsonObject, field: string): JsonObject | undefined => {
  const value = from[field];
  return isObject(value) ? value : undefined;
};

/** What `parse` makes of the field's text; absent when it makes nothing of it, as it does of keys that are all zero. */
export const readParsed = <T>(
  from: JsonObject,
  field: string,
  parse: (text: string) => T | undefined,
): T | undefined => {
  const text = readText(from, field);
  return text === undefined ? undefined : parse(text);
};

/** The members that `parse` understands, at most `max` of them; the rest is dropped. */
export const readList = <T>(
  from: JsonObject,
  field: string,
  parse: (value: Json) => T | undefined,
  max: number,
): readonly T[] | undefined => {
  const value = from[field];
  if (!Array.isArray(value)) return undefined;
  const out: T[] = [];
  for (const item of value as readonly Json[]) {
    if (out.length >= max) break;
    const parsed = parse(item);
    if (parsed !== undefined) out.push(parsed);
  }
  return out.length > 0 ? out : undefined;
};

export const textItem =
  <T>(parse: (text: string) => T | undefined) =>
  (value: Json): T | undefined =>
    typeof value === 'string' && value.length <= MAX_TEXT ? parse(value) : undefined;

/** RFC 3339 to milliseconds since 1970; Go's zero time is absent. */
export const parseTime = (text: string): number | undefined => {
  if (
    !/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$/.test(text) ||
    text.startsWith('0001-01-01T00:00:00')
  )
    return undefined;
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? undefined : ms;
};

/** Milliseconds since 1970 to RFC 3339 in UTC. */
export const formatTime = (ms: number): string => new Date(ms).toISOString();

/** Any prefix; host bits are cleared, as clients may leave them. */
export const parseLoosePrefix = (text: string): Prefix | undefined => {
  const bits = parsePrefixBits(text);
  return bits && formatPrefix(bits);
};

/** Absent also for addresses with a zone: they mean something on one link only. */
export const parseAddrPort = (text: string): AddrPort | undefined => {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text);
  if (!match) return undefined;
  const port = Number(match[3]);
  const address = parseAddress((match[1] ?? match[2]) as string);
  if (address === undefined || port > 65535) return undefined;
  return (address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`) as AddrPort;
};

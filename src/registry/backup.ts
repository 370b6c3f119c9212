// A backup is one file: a line that says what it is, a line of JSON about it, and the files it holds. With the server's
// keys in it everything but the first two lines is under a passphrase; those are protected against change.
//
//   tailplane backup 1\n
//   {"createdMs":…,"tailplane":"…","schema":…,"nodes":…,"sealed":…,"sha256":"…"}\n     SHA-256 of all that follows
//   [{"name":"registry.db","sizeBytes":…},…]\n  and the contents, one after the other

import { sha256 } from '@noble/hashes/sha2.js';
import { concatBytes, formatHex, utf8 } from '../base/bytes.ts';
import { accept, refuse, type Outcome } from '../base/outcome.ts';
import type { Secret } from '../base/secret.ts';
import type { Random } from '../keys/crypto.ts';
import { openWithPassphrase, sealUnderPassphrase } from '../keys/passphrase.ts';

export interface BackupHead {
  readonly createdMs: number;
  /** The version of Tailplane that made it. */
  readonly tailplane: string;
  readonly schema: number;
  readonly nodes: number;
  readonly sealed: boolean;
}

export interface BackupEntry {
  /** `registry.db`, or `keys/<file>` for a key of the server. */
  readonly name: string;
  readonly bytes: Uint8Array;
}

const MAGIC = 'tailplane backup 1\n';
const MAX_LINE_BYTES = 64 * 1024;
const NAME = /^(?:registry\.db|keys\/[a-z0-9][a-z0-9.-]{0,63})$/;

const contentOf = (entries: readonly BackupEntry[]): Uint8Array =>
  concatBytes(
    utf8(`${JSON.stringify(entries.map(({ name, bytes }) => ({ name, sizeBytes: bytes.length })))}\n`),
    ...entries.map(({ bytes }) => bytes),
  );

/** The bound part of the head: what the seal protects. */
const associatedOf = ({ createdMs, tailplane, schema, nodes }: BackupHead): Uint8Array =>
  utf8(JSON.stringify([MAGIC, createdMs, tailplane, schema, nodes]));

/** Seals everything if there is a passphrase; keys of the server are only taken with one. */
export const encodeBackup = async (
  head: Omit<BackupHead, 'sealed'>,
  entries: readonly BackupEntry[],
  seal: { readonly passphrase: Secret<string>; readonly random: Random } | undefined,
): Promise<Uint8Array> => {
  if (!seal && entries.some(({ name }) => name !== 'registry.db')) throw new TypeError('keys go under a passphrase');
  const full: BackupHead = { ...head, sealed: seal !== undefined };
  const content = contentOf(entries);
  const body = seal ? await sealUnderPassphrase(seal.random, seal.passphrase, content, associatedOf(full)) : content;
  return concatBytes(utf8(`${MAGIC}${JSON.stringify({ ...full, sha256: formatHex(sha256(body)) })}\n`), body);
};

const NOT_A_BACKUP = refuse('registry/backup-form', 'This is not a backup made by `tailplane backup`.');
const DAMAGED = refuse(
  'registry/backup-damaged',
  'The backup is damaged or incomplete: its checksum is wrong. Take another.',
);

const lineAt = (bytes: Uint8Array, start: number): { readonly text: string; readonly end: number } | undefined => {
  const end = bytes.indexOf(0x0a, start);
  if (end < 0 || end - start > MAX_LINE_BYTES) return undefined;
  return { text: Buffer.from(bytes.subarray(start, end)).toString('utf8'), end: end + 1 };
};

const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
};

const headOf = (value: unknown): (BackupHead & { readonly sha256: string }) | undefined => {
  const head = value as Partial<BackupHead & { sha256: string }> | null | undefined;
  const isHead =
    typeof head?.createdMs === 'number' &&
    typeof head.tailplane === 'string' &&
    typeof head.schema === 'number' &&
    typeof head.nodes === 'number' &&
    typeof head.sealed === 'boolean' &&
    typeof head.sha256 === 'string';
  return isHead ? (head as BackupHead & { sha256: string }) : undefined;
};

/** Whether these are the bytes of a registry.db, as the automatic copies are. */
export const isRegistryFile = (bytes: Uint8Array): boolean =>
  Buffer.from(bytes.subarray(0, 16)).toString('latin1') === 'SQLite format 3\0';

/** What a backup says about itself, and its checked body. */
export const readBackupHead = (
  bytes: Uint8Array,
): Outcome<{ readonly head: BackupHead; readonly body: Uint8Array }> => {
  const magic = lineAt(bytes, 0);
  if (!magic?.text.startsWith('tailplane backup ')) return NOT_A_BACKUP;
  if (`${magic.text}\n` !== MAGIC) {
    return refuse('registry/backup-newer', 'The backup was made by a newer version of Tailplane.');
  }
  const line = lineAt(bytes, magic.end);
  const head = line && headOf(parseJson(line.text));
  if (!head) return DAMAGED;
  const body = bytes.subarray(line.end);
  return formatHex(sha256(body)) === head.sha256 ? accept({ head, body }) : DAMAGED;
};

/** The files in a backup's body. */
export const readBackupEntries = async (
  head: BackupHead,
  body: Uint8Array,
  passphrase: Secret<string> | undefined,
): Promise<Outcome<readonly BackupEntry[]>> => {
  let content: Uint8Array | undefined = body;
  if (head.sealed) {
    content = passphrase && (await openWithPassphrase(passphrase, body, associatedOf(head)));
    if (!content) return refuse('registry/backup-passphrase', 'The passphrase does not open this backup.');
  }
  const line = lineAt(content, 0);
  const list = line && parseJson(line.text);
  if (!line || !Array.isArray(list)) return DAMAGED;
  const entries: BackupEntry[] = [];
  let at = line.end;
  for (const item of list as unknown[]) {
    const { name, sizeBytes } = (item ?? {}) as { name?: unknown; sizeBytes?: unknown };
    if (typeof name !== 'string' || !NAME.test(name) || typeof sizeBytes !== 'number') return DAMAGED;
    entries.push({ name, bytes: content.subarray(at, at + sizeBytes) });
    at += sizeBytes;
  }
  return at === content.length && entries.some(({ name }) => name === 'registry.db') ? accept(entries) : DAMAGED;
};

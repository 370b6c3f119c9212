// A raw commit object, byte for byte: what it says, its signature, and the payload that was signed, which is the object
// without its gpgsig headers (git's commit.c, parse_buffer_signed_by_header). Names in it may be in any encoding.

import { parseRevision, type Revision } from '../base/ids.ts';
import type { SourceCommit } from './tree.ts';

export interface RawCommit {
  readonly tree: string;
  readonly parents: readonly string[];
  readonly author: SourceCommit['author'];
  readonly committer: SourceCommit['author'];
  readonly message: string;
  /** Armoured, without the leading blanks of the header. More than one means that nobody knows which one counts. */
  readonly signatures: readonly string[];
  readonly payload: Uint8Array;
}

const HEADERS_LIMIT = 10_000;

const parsePerson = (text: string): SourceCommit['author'] => {
  const match = /^(.*?) ?<([^>]*)> (-?\d{1,12}) [+-]\d{4}$/s.exec(text);
  if (!match) return { name: text, email: '', atMs: 0 };
  return { name: match[1] as string, email: match[2] as string, atMs: Number(match[3]) * 1000 };
};

/** Undefined for bytes that are no commit. */
export const parseCommit = (bytes: Uint8Array): RawCommit | undefined => {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const payload: Buffer[] = [];
  const signatures: string[] = [];
  const parents: string[] = [];
  let tree = '';
  let author = parsePerson('');
  let committer = author;
  let inSignature = false;
  let at = 0;
  for (let count = 0; at < buffer.length && buffer[at] !== 10; count++) {
    const newline = buffer.indexOf(10, at);
    if (newline < 0 || count > HEADERS_LIMIT) return undefined;
    const line = buffer.subarray(at, newline + 1);
    at = newline + 1;
    const text = line.subarray(0, -1).toString('utf8');
    if (text.startsWith(' ')) {
      if (inSignature) signatures.push(`${signatures.pop() ?? ''}\n${text.slice(1)}`);
      else payload.push(line);
      continue;
    }
    const space = text.indexOf(' ');
    const key = space < 0 ? text : text.slice(0, space);
    const value = space < 0 ? '' : text.slice(space + 1);
    inSignature = key === 'gpgsig' || key === 'gpgsig-sha256';
    if (inSignature) {
      signatures.push(value);
      continue;
    }
    payload.push(line);
    if (key === 'tree') tree = value;
    else if (key === 'parent') parents.push(value);
    else if (key === 'author') author = parsePerson(value);
    else if (key === 'committer') committer = parsePerson(value);
  }
  payload.push(buffer.subarray(at));
  if (!parseRevision(tree) || parents.some((parent) => !parseRevision(parent))) return undefined;
  const message = buffer.subarray(Math.min(at + 1, buffer.length)).toString('utf8');
  return { tree, parents, author, committer, message, signatures, payload: Buffer.concat(payload) };
};

/** What a new commit says. */
export interface NewCommit {
  readonly tree: string;
  readonly parents: readonly string[];
  /** Author and committer in one. */
  readonly author: { readonly name: string; readonly email: string };
  readonly atSeconds: number;
  readonly message: string;
}

/** The bytes of a commit; `sign` gets them as they are without the signature. */
export const formatCommit = (commit: NewCommit, sign: ((payload: Uint8Array) => string) | undefined): Uint8Array => {
  // What would end a name early is left out, as git does it.
  const [name, email] = [commit.author.name, commit.author.email].map((text) =>
    // oxlint-disable-next-line no-control-regex
    text.replaceAll(/[<>\u0000-\u001f]/g, '').trim(),
  );
  const person = `${name} <${email}> ${commit.atSeconds} +0000`;
  const parents = commit.parents.map((parent) => `parent ${parent}\n`).join('');
  const head = `tree ${commit.tree}\n${parents}author ${person}\ncommitter ${person}\n`;
  const rest = `\n${commit.message.replaceAll('\0', '').trimEnd()}\n`;
  const signature = sign?.(Buffer.from(head + rest));
  const header = signature === undefined ? '' : `gpgsig ${signature.replaceAll('\n', '\n ')}\n`;
  return Buffer.from(head + header + rest);
};

const signatureKind = ({ signatures }: RawCommit): SourceCommit['signature'] => {
  const [text] = signatures;
  if (text === undefined) return 'none';
  if (text.startsWith('-----BEGIN SSH SIGNATURE-----')) return 'ssh';
  return text.startsWith('-----BEGIN PGP ') ? 'openpgp' : 'x509';
};

export const describeCommit = (id: Revision, raw: RawCommit): SourceCommit => ({
  id,
  parents: raw.parents as readonly string[] as readonly Revision[],
  author: raw.author,
  committer: raw.committer,
  subject: raw.message.slice(0, 1000).split('\n', 1)[0] ?? '',
  message: raw.message,
  signature: signatureKind(raw),
});

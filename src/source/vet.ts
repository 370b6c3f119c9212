// Whether a range of commits is signed by people who were trusted before it. The signers are those of the last good
// commit, and a signer whom a commit of the range removes counts no more from that commit on: nobody approves their own
// return. Signatures: SSH (OpenSSH's PROTOCOL.sshsig) and OpenPGP (RFC 9580).

import { createMessage, readKey, readSignature, verify, type PublicKey } from 'openpgp';
import { formatBase64 } from '../base/bytes.ts';
import type { Revision } from '../base/ids.ts';
import { accept, refuse, type Outcome, type Refusal } from '../base/outcome.ts';
import type { RawCommit } from './commit.ts';
import { parseSshKey, verifySshSignature } from './sshsig.ts';

/** One entry of `signers` in tailnet.json5. */
export interface Signer {
  /** Who it is, for reports. */
  readonly name: string;
  /** `ssh-ed25519 AAAA…` or an ASCII-armoured OpenPGP public key. */
  readonly key: string;
  /** The signature's own time (of the commit) must lie in here. */
  readonly validFromMs?: number;
  readonly validUntilMs?: number;
}

/** The verdict on one commit. */
export interface Vetted {
  readonly commit: Revision;
  readonly signer?: string;
  readonly refusal?: Refusal;
}

/** A signer whose key was read. */
interface Trusted extends Signer {
  /** The same for the same key, however it is written: the SSH blob or the OpenPGP fingerprint. */
  readonly identity: string;
  readonly pgp?: PublicKey;
}

const readSigner = async (signer: Signer): Promise<Trusted | undefined> => {
  if (!signer.key.includes('-----BEGIN PGP')) {
    const blob = parseSshKey(signer.key);
    return blob && { ...signer, identity: formatBase64(blob) };
  }
  try {
    const pgp = await readKey({ armoredKey: signer.key });
    // A private key in the repository would be worse than none; it is not used.
    return pgp.isPrivate() ? undefined : { ...signer, pgp, identity: pgp.getFingerprint() };
  } catch {
    return undefined;
  }
};

const readSigners = async (signers: readonly Signer[]): Promise<readonly Trusted[]> =>
  (await Promise.all(signers.map(readSigner))).filter((signer) => signer !== undefined);

/** Who made a signature that fits, and when; the time of an SSH signature is the commit's, as in git's allowed signers. */
interface Made {
  readonly by: Trusted;
  readonly atMs: number;
}

const unknownSigner = refuse('source/unknown-signer', 'The commit is signed by a key that is not a signer.');

const vetOpenPgp = async (armoured: string, raw: RawCommit, signers: readonly Trusted[]): Promise<Outcome<Made>> => {
  try {
    const signature = await readSignature({ armoredSignature: armoured });
    const [packet] = signature.packets;
    if (!packet || signature.packets.length !== 1) {
      return refuse('source/signature-form', 'The OpenPGP signature is not one single signature.');
    }
    const by = signers.find(({ pgp }) => pgp && pgp.getKeys(packet.issuerKeyID).length > 0);
    if (!by?.pgp || !packet.created) return unknownSigner;
    const message = await createMessage({ binary: raw.payload });
    // Judged at the time of the signature: a commit stays signed when its key expires later.
    const { signatures } = await verify({ message, signature, verificationKeys: by.pgp, date: packet.created });
    const [result] = signatures;
    await result?.verified;
    return result
      ? accept({ by, atMs: packet.created.getTime() })
      : refuse('source/signature-form', 'The OpenPGP signature is empty.');
  } catch (error) {
    const text = error instanceof Error ? error.message : '';
    if (/expired|not yet valid|in the future|creation time/i.test(text)) {
      return refuse(
        'source/signature-expired',
        'The OpenPGP signature is from outside the time in which its key is valid.',
      );
    }
    if (/revoked/i.test(text)) return refuse('source/signature-expired', 'The OpenPGP key is revoked.');
    if (/digest did not match|verification failed|signature verification/i.test(text)) {
      return refuse('source/signature-wrong', 'The OpenPGP signature does not fit the commit.');
    }
    return refuse('source/signature-form', 'The OpenPGP signature cannot be read, or its algorithm is too weak.');
  }
};

const vetSsh = (armoured: string, raw: RawCommit, signers: readonly Trusted[]): Outcome<Made> => {
  const key = verifySshSignature(armoured, raw.payload);
  if (!key.ok) return key;
  const identity = formatBase64(key.value);
  const by = signers.find((signer) => signer.identity === identity);
  return by ? accept({ by, atMs: raw.committer.atMs }) : unknownSigner;
};

const vetCommit = async (raw: RawCommit, signers: readonly Trusted[]): Promise<Outcome<Trusted>> => {
  const [armoured, second] = raw.signatures;
  if (armoured === undefined) return refuse('source/unsigned', 'The commit is not signed.');
  if (second !== undefined) return refuse('source/signature-form', 'The commit has more than one signature.');
  const made = armoured.startsWith('-----BEGIN PGP SIGNATURE-----')
    ? await vetOpenPgp(armoured, raw, signers)
    : vetSsh(armoured, raw, signers);
  if (!made.ok) return made;
  const { by, atMs } = made.value;
  if ((by.validFromMs ?? -Infinity) > atMs || (by.validUntilMs ?? Infinity) < atMs) {
    return refuse(
      'source/signature-expired',
      `The signature of ${by.name} is from outside the time in which the key is valid.`,
    );
  }
  return accept(by);
};

export interface VetPorts {
  readonly readRaw: (commit: Revision) => Promise<Outcome<RawCommit>>;
  readonly parentsOf: (commit: Revision) => readonly Revision[];
  /** The signers that a commit's own tailnet.json5 lists; the bare text where it cannot be parsed. */
  readonly listedBy: (commit: Revision) => Promise<readonly Signer[] | string>;
}

/** Who is still a signer after a commit. */
const keptBy = async (
  listed: readonly Signer[] | string,
  trusted: readonly Trusted[],
): Promise<ReadonlySet<string>> => {
  if (typeof listed !== 'string') return new Set((await readSigners(listed)).map(({ identity }) => identity));
  // A commit with a slip in its file must neither remove everybody nor hide a removal: the key's own text decides.
  const longest = (key: string): string => key.split(/\s+/).reduce((a, b) => (b.length > a.length ? b : a), '');
  return new Set(trusted.filter(({ key }) => listed.includes(longest(key))).map(({ identity }) => identity));
};

/** Vets commits, parents first; all are looked at, so that a report can name every one that is wrong. */
export const vetRange = async (
  commits: readonly Revision[],
  signers: readonly Signer[],
  { readRaw, parentsOf, listedBy }: VetPorts,
): Promise<Outcome<readonly Vetted[]>> => {
  const trusted = await readSigners(signers);
  const all = new Set(trusted.map(({ identity }) => identity));
  /** By commit of the range: who still counts after it. */
  const left = new Map<Revision, ReadonlySet<string>>();
  const out: Vetted[] = [];
  for (const commit of commits) {
    const raw = await readRaw(commit);
    if (!raw.ok) return raw;
    let counting: ReadonlySet<string> = all;
    for (const parent of parentsOf(commit)) counting = counting.intersection(left.get(parent) ?? all);
    const verdict = await vetCommit(raw.value, trusted);
    if (!verdict.ok) out.push({ commit, refusal: verdict });
    else if (counting.has(verdict.value.identity)) out.push({ commit, signer: verdict.value.name });
    else {
      const reason = `The commit is signed by ${verdict.value.name}, whom an earlier commit removed from the signers.`;
      out.push({ commit, refusal: refuse('source/signer-removed', reason) });
    }
    left.set(commit, counting.intersection(await keptBy(await listedBy(commit), trusted)));
  }
  return accept(out);
};

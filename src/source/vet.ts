// Whether a range of commits is signed by people who were trusted before it. The signers are those of the last good
// commit, and a signer whom a commit of the range removes counts no more from that commit on: nobody approves their own
// return. Signatures: SSH (OpenSSH's PROTOCOL.sshsig) and OpenPGP (RFC 9580).

import type { Revision } from '../base/ids.ts';
import type { Refusal } from '../base/outcome.ts';

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

// The port of everything that yields a tailnet's files: a plain folder, a local repository, a remote over HTTPS or SSH.
// A source reports what it finds and decides nothing; whether a commit is taken is up to the reconcile loop.

import type { KeyObject } from 'node:crypto';
import type { Revision } from '../base/ids.ts';
import type { Outcome, Refusal } from '../base/outcome.ts';
import type { Credential } from './credential.ts';
import type { Proxy } from './proxy.ts';
import type { SourceCommit, SourceTree } from './tree.ts';
import type { Signer, Vetted } from './vet.ts';

export type SourceKind = 'folder' | 'repository' | 'https' | 'ssh';

export interface SourceStatus {
  readonly kind: SourceKind;
  /** The path or URL, without credentials. */
  readonly location: string;
  readonly branch?: string;
  readonly folder?: string;
  /** `starting` until the first answer; `failing` while the last attempt was refused. */
  readonly state: 'starting' | 'current' | 'failing' | 'closed';
  /** The newest revision that was read whole. */
  readonly revision?: Revision;
  /** When the origin was last asked, and when it next will be. */
  readonly checkedAtMs?: number;
  readonly nextCheckAtMs?: number;
  /** Attempts that failed in a row, and why the last one did. */
  readonly failures: number;
  readonly refusal?: Refusal;
}

export interface Source {
  readonly kind: SourceKind;
  /** The newest tree, without asking the origin when one is at hand. */
  read(): Promise<Outcome<SourceTree>>;
  /** Asks the origin now and gives the newest tree. Calls that overlap share one attempt. */
  sync(): Promise<Outcome<SourceTree>>;
  /** Calls back when the newest tree changed or an attempt was refused for a new reason. Gives the way to stop. */
  watch(onChange: (seen: Outcome<SourceTree>) => void): () => void;
  status(): SourceStatus;
  /** What only a repository can do; absent for a plain folder. */
  readonly history?: History;
  close(): Promise<void>;
}

export interface History {
  /** The tree of a commit, given by its id, at least seven digits of it, or `HEAD`. */
  readAt(revision: string): Promise<Outcome<SourceTree>>;
  /** Commits from the newest on, first parents first. */
  log(limit: number): Promise<Outcome<readonly SourceCommit[]>>;
  /** Every commit that `to` has and `from` has not, oldest first; refused if `to` does not descend from `from`. */
  between(from: Revision, to: Revision): Promise<Outcome<readonly SourceCommit[]>>;
  /** Checks the signature of every commit of that range by the signers of `from`; see vet.ts. */
  vet(from: Revision | undefined, to: Revision, signers: readonly Signer[]): Promise<Outcome<readonly Vetted[]>>;
  /** Commits new contents of tailnet files on top of the newest tree: to the branch, or to a branch to propose. */
  propose(edit: ProposedEdit): Promise<Outcome<Proposal>>;
}

export interface ProposedEdit {
  /** New contents by file name. */
  readonly files: ReadonlyMap<string, Uint8Array>;
  readonly message: string;
  readonly author: { readonly name: string; readonly email: string };
  /** A new branch to push; absent: the followed branch itself. */
  readonly branch?: string;
}

export interface Proposal {
  readonly commit: Revision;
  readonly branch: string;
  /** Where a person opens the pull request, where the host is known. */
  readonly openUrl?: string;
}

export interface SourceSettings {
  /** Default: the branch that the remote's HEAD names. A path with a branch is followed as a repository. */
  readonly branch?: string;
  /** Sub-folder of the repository that holds tailnet.json5. */
  readonly folder?: string;
  /** Fetch only so many commits; default all, because blame and rollback need them. */
  readonly depth?: number;
  /** Where clones are kept. */
  readonly dataDir: string;
  readonly pollMs?: number;
  readonly credential?: Credential;
  /** PEM of the authority that signed the host's certificate, in addition to the well-known ones. */
  readonly caPem?: string;
  /** For HTTPS; where it is absent, the host is reached directly. */
  readonly proxy?: Proxy;
  /** For SSH: the private key file and the pinned host keys (known_hosts form). */
  readonly identityFile?: string;
  readonly knownHostsFile?: string;
  /** The program that speaks SSH and its first arguments; default `ssh`. */
  readonly sshCommand?: readonly string[];
  /** Ed25519: signs the commits that `propose` makes. */
  readonly signingKey?: KeyObject;
  readonly limits?: Partial<SourceLimits>;
  /** Hears of bugs that showed themselves; the attempt itself is refused with `source/fault`. */
  readonly onFault?: (fault: unknown) => void;
}

export interface SourceLimits {
  readonly connectMs: number;
  readonly idleMs: number;
  /** For one whole fetch. */
  readonly totalMs: number;
  /** For everything received in one fetch. */
  readonly fetchBytes: number;
  /** Commits from the branch's tip to its root. */
  readonly commits: number;
  /** Updates after which the clone is made anew, because isomorphic-git never collects garbage. */
  readonly updatesPerClone: number;
}

export const DEFAULT_LIMITS: SourceLimits = {
  connectMs: 10_000,
  idleMs: 20_000,
  totalMs: 120_000,
  fetchBytes: 256 * 1024 * 1024,
  commits: 100_000,
  updatesPerClone: 50,
};

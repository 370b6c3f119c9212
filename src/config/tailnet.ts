// tailnet.json5: what the tailnet is called, which addresses it hands out, what a node gets by default, and how far one
// commit may go. The one file that every tailnet folder has.

import type { Prefix } from '../base/address.ts';
import type { Span } from '../base/diagnostic.ts';

export interface TailnetSettings {
  /** The organisation's name, usually its domain: `example.com`. Clients show it as the tailnet. */
  readonly name: string;
  /** What clients show beside the name; the name itself where it is not given. */
  readonly displayName: string;
  /** MagicDNS base domain in lower case without the trailing dot; a node is `<name>.<baseDomain>`. */
  readonly baseDomain: string;
  /** Domains that `user:*@domain` and `localpart:*@domain` of the policy may name. */
  readonly domains: readonly string[];
  /** Where nodes get their addresses from. */
  readonly addresses: { readonly ipv4: Prefix; readonly ipv6: Prefix };
  readonly nodes: NodeDefaults;
  readonly features: Features;
  readonly guard: GuardLimits;
  readonly invariants: readonly Invariant[];
  readonly signatures: { readonly required: boolean; readonly signers: readonly Signer[] };
}

export interface NodeDefaults {
  /** Life of a node key from its login; null means that keys don't expire. */
  readonly keyExpiryMs: number | null;
  /** How long an ephemeral node may be silent before it is removed. */
  readonly ephemeralTimeoutMs: number;
  /** `manual`: a new node waits for an administrator, whatever it joined by, unless its key is preapproved. */
  readonly approval: 'automatic' | 'manual';
  /** What clients do about their own updates where their user has not decided. */
  readonly autoUpdate: boolean;
}

export interface Features {
  /** Files between the devices of one person, and where grants say so between people. */
  readonly taildrop: boolean;
  /** Nodes may run the SSH server that the policy's `ssh` section governs. */
  readonly ssh: boolean;
  /** Nodes may ask for certificates of their MagicDNS names. */
  readonly https: boolean;
  /** Clients may use Tailnet Lock. */
  readonly tailnetLock: boolean;
}

/** What one commit may take away before it is held for a second look. */
export interface GuardLimits {
  /** Held when more than this share of the reachable pairs is lost, and at least so many of them. */
  readonly lostAccess: { readonly percent: number; readonly atLeastPairs: number };
  /** Held when every administrator loses access. */
  readonly administrators: boolean;
  /** Held when every exit node or subnet router in use is lost. */
  readonly routers: boolean;
  /** Held when one person loses all their nodes. */
  readonly userNodes: boolean;
}

/** Access that no commit may break; the same form as a test of the policy. */
export interface Invariant {
  readonly src: string;
  readonly proto?: string;
  readonly accept: readonly string[];
  readonly deny: readonly string[];
  readonly why?: string;
  readonly at: Span;
}

/** Whose signature on a commit counts. */
export interface Signer {
  /** Who it is, for reports. */
  readonly name: string;
  /** `ssh-ed25519 AAAA…`, or an armoured OpenPGP public key. */
  readonly key: string;
  /** The commit's own time must lie in here. */
  readonly validFromMs?: number;
  readonly validUntilMs?: number;
  readonly at: Span;
}

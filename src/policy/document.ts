// The policy file as typed values with their places: what `readPolicy` makes of the located tree, and the ground on which
// the compiler, the evaluator and the linter stand. Nothing here is resolved against people or nodes yet.

import type { Prefix } from '../base/address.ts';
import type { Json } from '../base/canonical.ts';
import type { Span } from '../base/diagnostic.ts';
import type { IpSet } from '../base/ipset.ts';
import type { Tag } from '../base/ids.ts';
import type { PortRange } from '../wire/filter.ts';
import type { PolicyDerpMap } from './derpmap.ts';
import type { Assertion } from './posture.ts';
import type { Selector } from './selector.ts';

export interface PolicyDocument {
  /** The whole file. */
  readonly at: Span;
  /** Absent where the file has no such key: with neither of the two, everything is allowed. */
  readonly acls?: readonly AccessRule[];
  readonly grants?: readonly AccessRule[];
  /** By `group:name`. */
  readonly groups: ReadonlyMap<string, Group>;
  readonly hosts: ReadonlyMap<string, Host>;
  /** By `ipset:name`, resolved. */
  readonly ipsets: ReadonlyMap<string, Ipset>;
  readonly tagOwners: ReadonlyMap<Tag, TagOwners>;
  readonly autoApprovers: AutoApprovers;
  readonly ssh: readonly SshAccessRule[];
  readonly nodeAttrs: readonly NodeAttributes[];
  /** By `posture:name`. */
  readonly postures: ReadonlyMap<string, Posture>;
  readonly defaultSrcPosture: readonly string[];
  readonly tests: readonly AccessTest[];
  readonly sshTests: readonly SshTest[];
  /** Relays; where derp.json5 declares the same region, that one counts. */
  readonly derpMap?: PolicyDerpMap;
  readonly randomizeClientPort: boolean;
  readonly disableIPv4: boolean;
  readonly oneCgnatRoute: '' | 'mac-always' | 'mac-never';
}

export interface Group {
  readonly name: string;
  readonly at: Span;
  readonly members: readonly Selector[];
}

export interface Host {
  readonly name: string;
  readonly at: Span;
  /** Canonical address or prefix. */
  readonly literal: string;
}

export interface Ipset {
  readonly name: string;
  readonly at: Span;
  readonly set: IpSet;
}

export interface TagOwners {
  readonly tag: Tag;
  readonly at: Span;
  readonly owners: readonly Selector[];
}

export interface Posture {
  readonly name: string;
  readonly at: Span;
  /** All must hold. */
  readonly assertions: readonly Assertion[];
}

/** An entry of `acls` or `grants`. */
export interface AccessRule {
  readonly section: 'acls' | 'grants';
  /** From 0, as in the file. */
  readonly index: number;
  readonly at: Span;
  readonly sources: readonly Selector[];
  /** Names of postures of which one must hold, the default ones included; empty: none is asked for. */
  readonly srcPosture: readonly string[];
  readonly destinations: readonly Destination[];
  /** What traffic is allowed, one entry a protocol in the order written. An ACL has exactly one. */
  readonly traffic: readonly Traffic[];
  /** Capability name to its values, in the order written; empty for ACLs. */
  readonly app: readonly { readonly name: string; readonly values: readonly Json[]; readonly at: Span }[];
  readonly via: readonly Tag[];
}

export interface Destination {
  readonly selector: Selector;
  /** An ACL's ports for this destination. Absent in grants, where `traffic` has them. */
  readonly ports?: readonly PortRange[];
}

export interface Traffic {
  /** IANA number; null: TCP, UDP and ICMP. */
  readonly protocol: number | null;
  /** Empty in an ACL, where the destinations have them. */
  readonly ports: readonly PortRange[];
}

export interface SshAccessRule {
  readonly index: number;
  readonly at: Span;
  readonly action: 'accept' | 'check';
  /** How long a check holds; 0: always check anew. Accept rules have it too and don't use it. */
  readonly checkPeriodMs: number;
  readonly sources: readonly Selector[];
  readonly srcPosture: readonly string[];
  readonly destinations: readonly Selector[];
  readonly users: readonly SshLogin[];
  readonly acceptEnv: readonly string[];
  readonly recorders: readonly Tag[];
  readonly enforceRecorder: boolean;
}

/** Whom one may log in as. */
export type SshLogin =
  | { readonly kind: 'login'; readonly name: string }
  | { readonly kind: 'nonroot' }
  /** The part before the @ of a source user's own login, for logins of the domain. */
  | { readonly kind: 'localpart'; readonly domain: string };

export interface NodeAttributes {
  readonly index: number;
  readonly at: Span;
  readonly targets: readonly Selector[];
  readonly attributes: readonly string[];
  readonly app: readonly { readonly name: string; readonly values: readonly Json[] }[];
  /** Where new nodes' IPv4 addresses are taken from. */
  readonly ipPool: readonly Prefix[];
}

export interface AutoApprovers {
  /** By prefix, in the order of the file. */
  readonly routes: readonly { readonly prefix: Prefix; readonly approvers: readonly Selector[]; readonly at: Span }[];
  readonly exitNode: readonly Selector[];
  readonly services: readonly { readonly name: string; readonly approvers: readonly Selector[]; readonly at: Span }[];
}

/** An entry of `tests`. Its fields are kept as text: a malformed test is a failed test, not a malformed policy. */
export interface AccessTest {
  readonly index: number;
  readonly at: Span;
  readonly source: string;
  readonly protocol: string;
  readonly postureAttributes: ReadonlyMap<string, Json>;
  readonly accept: readonly TestTarget[];
  readonly deny: readonly TestTarget[];
}

export interface TestTarget {
  readonly text: string;
  readonly at: Span;
}

export interface SshTest {
  readonly index: number;
  readonly at: Span;
  readonly source: string;
  readonly postureAttributes: ReadonlyMap<string, Json>;
  readonly destinations: readonly TestTarget[];
  readonly accept: readonly TestTarget[];
  readonly check: readonly TestTarget[];
  readonly deny: readonly TestTarget[];
}

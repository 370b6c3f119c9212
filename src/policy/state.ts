// The state behind a population, as types: which classes there are, what each holds, and the answers that are kept until a
// change touches them. The files that work on it import it from here and not from each other.

import type { Address, Family, Prefix } from '../base/address.ts';
import type { NodeId, UserId } from '../base/ids.ts';
import type { IpRange, IpSet } from '../base/ipset.ts';
import type { CapMap, PortRange } from '../wire/filter.ts';
import type { SshPolicy, SshRule } from '../wire/ssh.ts';
import type { Bitset } from './bitset.ts';
import type { ClassTraits } from './classes.ts';
import type { AddressAtom, CompiledPolicy, CompiledRule, CompiledSshRule, SourceSet } from './compile.ts';
import type { PolicyNode, PolicyUser } from './facts.ts';

/** A source set and the classes that it lets in. */
export interface SetState {
  readonly set: SourceSet;
  /** Classes whose nodes it names: their addresses are listed. */
  readonly identity: Bitset;
  /** Those, and classes whose addresses lie in its literals or ranges. */
  readonly nodes: Bitset;
  /** Those, and routers with a subnet that overlaps its literals or ranges. */
  readonly touch: Bitset;
  /** Classes that enforce a rule with these sources. */
  readonly receivers: Bitset;
  /** Source texts as the service words them, and in few bytes; made on demand. */
  hosted?: readonly string[] | undefined;
  compact?: readonly string[] | undefined;
}

export interface NodeClass extends ClassTraits {
  readonly index: number;
  readonly members: Set<NodeId>;
  readonly byOwner: Map<UserId, Set<NodeId>>;
  /** Source sets that touch the class. */
  readonly sets: readonly number[];
  /** Rules that the class enforces, those between a user's own devices apart; ascending. */
  readonly rules: readonly number[];
  /** A rule between a user's own devices names the class as a source. */
  readonly selfSource: boolean;
  /** Made on demand. */
  visible?: Bitset;
  kept?: readonly KeptRule[];
  capMap?: CapMap;
  /** Where no rule looks further than the class. */
  ssh?: SshPolicy | undefined;
  /** Where a rule names the owner's own devices. */
  readonly sshOf: Map<UserId, SshPolicy>;
  /** Whom the viewers see: by owner where their own devices are more than the class sees, else under null. */
  readonly peerSets: Map<UserId | null, NodeSet>;
  /** The router of a subnet for the viewers of the class; see routers.ts. */
  readonly routerChoices: Map<Prefix, { readonly epoch: number; readonly router: NodeId | undefined }>;
}

export interface NodeEntry {
  node: PolicyNode;
  cls: NodeClass;
  /** By what the viewer reaches through the node. */
  readonly views: Map<string, PeerView>;
  /** Where a rule names the node itself. */
  ssh?: SshPolicy | undefined;
}

export interface Membership {
  readonly policy: CompiledPolicy;
  readonly nodes: Map<NodeId, NodeEntry>;
  /** Holes are undefined and used again. */
  readonly classes: (NodeClass | undefined)[];
  readonly sets: readonly SetState[];
  /** SSH rules in the order of clients, those with `check` first, with the classes that are destinations. */
  readonly ssh: readonly { readonly compiled: CompiledSshRule; readonly destinations: Bitset }[];
  /** Rules between a user's own devices, ascending. */
  readonly selfRules: readonly CompiledRule[];
  /** The classes of a user's untagged devices. */
  readonly classesOf: Map<UserId, Set<NodeClass>>;
  readonly byAddress: Map<Address, NodeId>;
  readonly addresses: AddressBook;
  readonly routes: RouteTable;
  readonly userOf: (id: UserId) => PolicyUser | undefined;
  /** Rules between a user's own devices; made on demand. */
  readonly ownRules: Map<UserId, readonly OwnRule[]>;
  /** SSH rules that are the same on all their destinations; made on demand. */
  readonly sharedSsh: Map<CompiledSshRule, readonly SshRule[]>;
  /** Which rules of the service's form fall together; made on demand. */
  mergePlan?: MergePlan | undefined;
  classFor(node: PolicyNode): NodeClass;
  dropClass(cls: NodeClass): void;
  /** Classes whose nodes see those of the class. */
  visibleOf(cls: NodeClass): Bitset;
}

export type PortRule = CompiledRule & { readonly kind: 'ports' };

/** A destination that the nodes of a class keep. */
export type KeptPart =
  | { readonly kind: 'own'; readonly ports: readonly PortRange[] }
  | { readonly kind: 'any'; readonly ports: readonly PortRange[] }
  | { readonly kind: 'internet'; readonly ports: readonly PortRange[] }
  | { readonly kind: 'address'; readonly atom: AddressAtom; readonly ports: readonly PortRange[] };

export interface KeptRule {
  readonly rule: PortRule;
  readonly parts: readonly KeptPart[];
}

/**
 * Which rules have the same source texts and protocol, over the whole policy: they fall together at the place of the
 * first of them, also on nodes that don't enforce the first. Steered rules, like those between a user's own devices,
 * exist on their nodes only and don't hold a place for others.
 */
export interface MergePlan {
  groupOf(sources: number, protocol: number | null): MergeGroup;
  find(content: Content, protocol: number | null): MergeGroup | undefined;
}

export interface MergeGroup {
  readonly id: number;
  /** The place of the first rule; Infinity where there are steered ones only. */
  readonly first: number;
}

/** What a source set comes to: classes whose nodes are listed whole, and all other texts. */
export interface Content {
  readonly bits: Bitset;
  readonly texts: string;
}

/** Devices of one user in some classes. */
export interface Kin {
  readonly classes: readonly NodeClass[];
  /** The classes have no nodes of anybody else. */
  readonly isWhole: boolean;
  /** Tells kins of one user apart. */
  readonly key: string;
  hosted(): readonly string[];
  compact(): readonly string[];
}

export interface OwnRule {
  readonly rule: CompiledRule;
  /** The devices that the rule lets in. */
  readonly from: Kin;
  /** The classes whose nodes enforce it. */
  readonly holders: ReadonlySet<NodeClass>;
}

export interface Route {
  readonly prefix: Prefix;
  readonly set: IpSet;
  /** Those alive before all others, the longest alive first, then the eldest. */
  routers: readonly PolicyNode[];
  epoch: number;
  /** Source sets with a literal or range that overlaps the subnet. */
  readonly overlapping: readonly number[];
}

export interface RouteTable {
  /** Every approved subnet, sorted, and its addresses. */
  prefixes(): { readonly texts: readonly string[]; readonly set: IpSet };
  add(node: PolicyNode, routes: readonly Prefix[]): void;
  remove(node: PolicyNode, routes: readonly Prefix[]): void;
  routersOf(prefix: Prefix): readonly PolicyNode[];
  get(prefix: Prefix): Route | undefined;
}

/** A set of nodes held as classes: membership in constant time, and iteration over the members only. */
export interface NodeSet {
  readonly size: number;
  has(id: NodeId): boolean;
  [Symbol.iterator](): IterableIterator<NodeId>;
}

/**
 * How one node looks to another. Viewers that see the same get the same object until the peer changes, so what is
 * encoded from it can be kept by its identity.
 */
export interface PeerView {
  readonly node: PolicyNode;
  /** IPv4 first. */
  readonly addresses: readonly Address[];
  /** Host prefixes of `addresses`, then the routes that this viewer reaches through the node. */
  readonly allowedIPs: readonly Prefix[];
  readonly primaryRoutes: readonly Prefix[];
  readonly capMap: CapMap;
}

export interface TextRange extends IpRange {
  readonly text: string;
}

export interface AddressBook {
  insert(entry: NodeEntry): void;
  remove(entry: NodeEntry): void;
  /** Ranges of the addresses of the classes: disjoint, sorted, not adjacent, with their texts. */
  rangesOf(classes: Bitset, family: Family): readonly TextRange[];
}

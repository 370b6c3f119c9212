// One node in the live tailnet: what its peers are shown, and when each part of that last changed. A change is stamped with
// a number that only grows; a stream that was last written at number n needs what is stamped above n, in its present state.

import type { CapMap } from '../wire/filter.ts';
import type { Address, Prefix } from '../base/address.ts';
import { hostPrefix } from '../base/address.ts';
import type { NodeId } from '../base/ids.ts';
import type { PeerView } from '../policy/population.ts';
import { peerHostinfoOf } from '../wire/hostinfo.ts';
import type { Hostinfo } from '../wire/hostinfo.ts';
import { formatNode, formatPeerChange } from '../wire/node.ts';
import type { Node, PeerChange } from '../wire/node.ts';
import type { AddrPort } from '../wire/reading.ts';
import type { UserProfile } from '../wire/user.ts';
import { PATCHABLE } from './cost.ts';
import type { Patchable } from './cost.ts';
import { encodeMember } from './fragment.ts';
import type { Member } from './fragment.ts';
import type { ResolvedNode } from './resolve.ts';

/** How a viewer sees a node beside what all viewers see alike. */
export type Look = Pick<PeerView, 'addresses' | 'allowedIPs' | 'primaryRoutes' | 'capMap'>;

export interface Entry {
  readonly id: NodeId;
  /** A place in the bit sets of the tailnet; free again when the node is removed. */
  readonly slot: number;
  node: ResolvedNode;
  online: boolean;
  /** The owner as peers see it, and its place in sets of profiles. */
  owner: UserProfile;
  ownerIndex: number;
  hostinfo: Hostinfo;
  /** The last that was known: clients can't be told that a home or a version is unknown again. */
  homeDerp: number;
  capver: number;
  /** How viewers see it unless it has routes. */
  common: Look;
  /** Has approved routes: what a viewer gets of them depends on the viewer. */
  routed: boolean;
  /** Stamps. */
  changedAt: number;
  replacedAt: number;
  patchedAt: number[];
  /** JSON of the node by look, and frames of those that are sent alone. */
  readonly texts: Map<string, string>;
  readonly fragments: Map<string, Member>;
  /** JSON of patches by their contents. */
  readonly patches: Map<number, string>;
  /** Neighbours in the order of change; see order.ts. */
  newer: Entry | null;
  older: Entry | null;
}

const SUBDOMAINS: CapMap = Object.freeze({ 'dns-subdomain-resolve': null });
const NO_CAPS: CapMap = Object.freeze({});

/** What others must know of a node's attributes: whether the names under its own lead to it too. */
export const shownCaps = (caps: CapMap): CapMap =>
  Object.hasOwn(caps, 'dns-subdomain-resolve') ? SUBDOMAINS : NO_CAPS;

/** The look of a node without routes. */
export const commonLook = (addresses: readonly Address[], capMap = NO_CAPS): Look => ({
  addresses,
  allowedIPs: addresses.map(hostPrefix),
  primaryRoutes: [],
  capMap,
});

/** What a viewer that doesn't use IPv4 sees instead. */
export const withoutIpv4 = (look: Look): Look => ({
  ...look,
  addresses: look.addresses.filter((address) => address.includes(':')),
  allowedIPs: look.allowedIPs.filter((prefix) => prefix.includes(':')),
});

const lookKeys = new WeakMap<Look, string>();

/** Equal for equal looks. The policy room gives the same object to all viewers that see the same, so it is made once. */
export const lookKey = (look: Look): string => {
  let key = lookKeys.get(look);
  if (key === undefined) {
    key = JSON.stringify([look.addresses, look.allowedIPs, look.primaryRoutes, look.capMap]);
    lookKeys.set(look, key);
  }
  return key;
};

export const createEntry = (
  slot: number,
  node: ResolvedNode,
  online: boolean,
  owner: UserProfile,
  ownerIndex: number,
): Entry => ({
  id: node.record.id,
  slot,
  node,
  online,
  owner,
  ownerIndex,
  hostinfo: peerHostinfoOf(node.hostinfo),
  homeDerp: node.record.homeDerp,
  capver: node.record.capver,
  common: commonLook(node.addresses),
  routed: false,
  changedAt: 0,
  replacedAt: 0,
  patchedAt: PATCHABLE.map(() => 0),
  texts: new Map(),
  fragments: new Map(),
  patches: new Map(),
  newer: null,
  older: null,
});

const same = (a: unknown, b: unknown): boolean => a === b || JSON.stringify(a) === JSON.stringify(b);

/** What differs for peers between the entry and a newer state of its node, its look aside. */
export const compare = (
  entry: Entry,
  { record, fqdn, tags, hostinfo }: ResolvedNode,
  owner: UserProfile,
): { readonly replaced: boolean; readonly patched: readonly Patchable[] } => {
  const before = entry.node.record;
  const patched: Patchable[] = [];
  if (!same(before.endpoints, record.endpoints)) patched.push('endpoints');
  if (record.homeDerp !== 0 && record.homeDerp !== entry.homeDerp) patched.push('home');
  if (!entry.online && before.lastSeenMs !== record.lastSeenMs) patched.push('online');
  if (record.capver !== 0 && record.capver !== entry.capver) patched.push('capver');
  if (before.nodeKey !== record.nodeKey) patched.push('key');
  if (before.keySignature !== record.keySignature) patched.push('signature');
  if (before.discoKey !== record.discoKey) patched.push('disco');
  if (before.expiresMs !== record.expiresMs) patched.push('expiry');
  const replaced =
    fqdn !== entry.node.fqdn ||
    !same(tags, entry.node.tags) ||
    owner.ID !== entry.owner.ID ||
    before.createdMs !== record.createdMs ||
    (hostinfo !== entry.node.hostinfo && !same(peerHostinfoOf(hostinfo), entry.hostinfo));
  return { replaced, patched };
};

/** The node on the wire. `User` and what only the node itself is told are the caller's. */
export const wireNode = (entry: Entry, look: Look): Node => {
  const { record, fqdn, tags } = entry.node;
  return {
    ID: entry.id,
    StableID: record.stableId,
    Name: `${fqdn}.`,
    User: entry.owner.ID,
    Key: record.nodeKey,
    ...(record.expiresMs !== null && { keyExpiryMs: record.expiresMs }),
    ...(record.keySignature !== null && { KeySignature: record.keySignature }),
    ...(record.discoKey !== null && { DiscoKey: record.discoKey }),
    Addresses: look.addresses.map(hostPrefix) as readonly Prefix[],
    AllowedIPs: look.allowedIPs,
    Endpoints: record.endpoints as readonly AddrPort[],
    HomeDERP: entry.homeDerp,
    Hostinfo: entry.hostinfo,
    createdMs: record.createdMs,
    Cap: entry.capver,
    Tags: tags,
    PrimaryRoutes: look.primaryRoutes,
    ...(!entry.online && record.lastSeenMs > 0 && { lastSeenMs: record.lastSeenMs }),
    Online: entry.online,
    MachineAuthorized: true,
    CapMap: look.capMap,
    Expired: false,
  };
};

/** JSON of the node as a peer. `key` names the look. */
export const peerText = (entry: Entry, key: string, look: () => Look): string => {
  let text = entry.texts.get(key);
  if (text === undefined) {
    text = formatNode(wireNode(entry, look()));
    entry.texts.set(key, text);
  }
  return text;
};

/** The same as a frame, for peers that are sent alone. */
export const peerFragment = (entry: Entry, key: string, look: () => Look): Member => {
  let fragment = entry.fragments.get(key);
  if (fragment === undefined) {
    fragment = encodeMember(peerText(entry, key, look));
    entry.fragments.set(key, fragment);
  }
  return fragment;
};

/** What is stamped after `since`, as bits in the order of PATCHABLE. */
export const patchedSince = ({ patchedAt }: Entry, since: number): number => {
  let bits = 0;
  for (let i = 0; i < patchedAt.length; i++) if ((patchedAt[i] as number) > since) bits |= 1 << i;
  return bits;
};

/**
 * JSON of the patch with the given contents, as bits in the order of PATCHABLE; several objects with commas between, or
 * empty. Clients from v1.98 on drop a patch that has a disco key together with Online:false and a LastSeen that isn't newer
 * than theirs (controlclient/map.go, removeUnwantedDiscoUpdates), so the two never share an object.
 */
export const patchText = (entry: Entry, contents: number): string => {
  let text = entry.patches.get(contents);
  if (text === undefined) {
    text = makePatch(entry, contents);
    entry.patches.set(contents, text);
  }
  return text;
};

const makePatch = (entry: Entry, contents: number): string => {
  const { record } = entry.node;
  const [endpoints, home, online, capver, key, signature, disco, expiry] = PATCHABLE.map(
    (_, i) => ((contents >>> i) & 1) === 1,
  );
  const NodeID = entry.id;
  const state: PeerChange = {
    NodeID,
    ...(endpoints && { Endpoints: record.endpoints as readonly AddrPort[] }),
    ...(home && entry.homeDerp !== 0 && { DERPRegion: entry.homeDerp }),
    ...(online && { Online: entry.online }),
    ...(online && !entry.online && record.lastSeenMs > 0 && { lastSeenMs: record.lastSeenMs }),
  };
  const identity: PeerChange = {
    NodeID,
    ...(capver && entry.capver !== 0 && { Cap: entry.capver }),
    ...(key && { Key: record.nodeKey }),
    ...(signature && { KeySignature: record.keySignature ?? '' }),
    ...(disco && record.discoKey !== null && { DiscoKey: record.discoKey }),
    ...(expiry && { keyExpiryMs: record.expiresMs }),
  };
  const parts = online && !entry.online ? [identity, state] : [{ ...identity, ...state }];
  return parts
    .filter((part) => Object.keys(part).length > 1)
    .map(formatPeerChange)
    .join();
};

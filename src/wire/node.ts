// tailcfg.Node and tailcfg.PeerChange as JSON text, with the rules on absence that decide whether clients work: keys and
// times that are not known are left out (an empty text would end the client's session), lists that may be emptied are
// always written, because a missing list means «as before» once the client turns a node into a patch
// (controlclient/map.go, peerChangeDiff).

import type { Prefix } from '../base/address.ts';
import type { NodeId, StableId, Tag, UserId } from '../base/ids.ts';
import type { DiscoKey, MachineKey, NodeKey } from '../keys/text.ts';
import type { CapabilityVersion } from './capability.ts';
import type { CapMap } from './filter.ts';
import type { Hostinfo } from './hostinfo.ts';
import { formatTime } from './reading.ts';
import type { AddrPort } from './reading.ts';

export interface Node {
  readonly ID: NodeId;
  readonly StableID: StableId;
  /** Fully qualified with the trailing dot. */
  readonly Name: string;
  readonly User: UserId;
  readonly Key: NodeKey;
  /** Milliseconds. Absent: never. */
  readonly keyExpiryMs?: number;
  /** Base64: Tailnet Lock's signature of Key. */
  readonly KeySignature?: string;
  /** The client's own node only: peers don't use it, and it doesn't compress. */
  readonly Machine?: MachineKey;
  readonly DiscoKey?: DiscoKey;
  readonly Addresses: readonly Prefix[];
  readonly AllowedIPs: readonly Prefix[];
  readonly Endpoints: readonly AddrPort[];
  /** 0: unknown. */
  readonly HomeDERP: number;
  readonly Hostinfo: Hostinfo;
  readonly createdMs: number;
  readonly Cap: CapabilityVersion;
  readonly Tags: readonly Tag[];
  readonly PrimaryRoutes: readonly Prefix[];
  /** Milliseconds; of a node that is offline. */
  readonly lastSeenMs?: number;
  readonly Online: boolean;
  readonly MachineAuthorized: boolean;
  readonly CapMap: CapMap;
  readonly Expired: boolean;
}

/** The address that stands for a relay region in the string form of the home region. */
const DERP_MAGIC = '127.3.3.40';

/** One object of JSON. */
export const formatNode = (node: Node): string =>
  JSON.stringify({
    ID: node.ID,
    StableID: node.StableID,
    Name: node.Name,
    User: node.User,
    Key: node.Key,
    KeyExpiry: node.keyExpiryMs === undefined ? undefined : formatTime(node.keyExpiryMs),
    KeySignature: node.KeySignature,
    Machine: node.Machine,
    DiscoKey: node.DiscoKey,
    Addresses: node.Addresses,
    AllowedIPs: node.AllowedIPs,
    Endpoints: node.Endpoints,
    DERP: node.HomeDERP === 0 ? undefined : `${DERP_MAGIC}:${node.HomeDERP}`,
    HomeDERP: node.HomeDERP === 0 ? undefined : node.HomeDERP,
    Hostinfo: node.Hostinfo,
    Created: formatTime(node.createdMs),
    Cap: node.Cap === 0 ? undefined : node.Cap,
    Tags: node.Tags.length === 0 ? undefined : node.Tags,
    PrimaryRoutes: node.PrimaryRoutes.length === 0 ? undefined : node.PrimaryRoutes,
    LastSeen: node.lastSeenMs === undefined ? undefined : formatTime(node.lastSeenMs),
    Online: node.Online,
    MachineAuthorized: node.MachineAuthorized ? true : undefined,
    CapMap: Object.keys(node.CapMap).length === 0 ? undefined : node.CapMap,
    Expired: node.Expired ? true : undefined,
  });

/** A field that is absent stays as it was. */
export interface PeerChange {
  readonly NodeID: NodeId;
  /** Can't go back to 0. */
  readonly DERPRegion?: number;
  /** An empty list clears. */
  readonly Endpoints?: readonly AddrPort[];
  readonly Online?: boolean;
  readonly lastSeenMs?: number;
  // Each of the following makes the client rebuild its whole netmap.
  readonly Cap?: CapabilityVersion;
  readonly CapMap?: CapMap;
  readonly Key?: NodeKey;
  readonly KeySignature?: string;
  readonly DiscoKey?: DiscoKey;
  /** Milliseconds; null: never. */
  readonly keyExpiryMs?: number | null;
}

/** Go's zero time, which clears a time. */
const ZERO_TIME = '0001-01-01T00:00:00Z';

/** One object of JSON. */
export const formatPeerChange = (change: PeerChange): string => {
  const { lastSeenMs, keyExpiryMs, ...plain } = change;
  return JSON.stringify({
    ...plain,
    LastSeen: lastSeenMs === undefined ? undefined : formatTime(lastSeenMs),
    KeyExpiry: keyExpiryMs === undefined ? undefined : keyExpiryMs === null ? ZERO_TIME : formatTime(keyExpiryMs),
  });
};

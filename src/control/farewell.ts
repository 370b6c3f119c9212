// The last message to a node that was removed, or to a copy of one. A client that only loses its stream asks for its map forever; one that is told
// that its key has ended asks its person to log in again (protocol: controlclient/auto.go; ipnlocal reads KeyExpiry of
// the self node).

import { hostPrefix } from '../base/address.ts';
import { utf8 } from '../base/bytes.ts';
import type { NodeRecord } from '../registry/record.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { encodeMessage, encodeRawFrame } from '../wire/framing.ts';
import { formatNode } from '../wire/node.ts';
import type { MapSource } from './ports.ts';

/** Long enough ago that no clock is behind it, and not the zero time, which would mean «never». */
const ENDED_MS = Date.UTC(2000, 0, 1);

export const farewellOf = (
  record: NodeRecord,
  netmap: Pick<MapSource, 'accountOf'>,
  snapshot: Snapshot,
  /** What the client is to show as the reason. */
  reason?: string,
): Uint8Array => {
  const addresses = record.addresses.map(hostPrefix);
  const health = reason === undefined ? '' : `,"Health":${JSON.stringify([reason])}`;
  const self = formatNode({
    ID: record.id,
    StableID: record.stableId,
    Name: `${record.name}.${snapshot.tailnet.baseDomain}.`,
    User: netmap.accountOf(record).User.ID,
    Key: record.nodeKey,
    Machine: record.machineKey,
    keyExpiryMs: ENDED_MS,
    Addresses: addresses,
    AllowedIPs: addresses,
    Endpoints: [],
    HomeDERP: 0,
    Hostinfo: {},
    createdMs: record.createdMs,
    Cap: record.capver,
    Tags: record.tags,
    PrimaryRoutes: [],
    Online: true,
    MachineAuthorized: record.authorized,
    CapMap: {},
    Expired: true,
  });
  return encodeMessage(encodeRawFrame(utf8(`{"Node":${self}${health}}`)));
};

// Names of applications that clients ask a connector for: each domain becomes a route of their DNS to the PeerAPI of the
// connectors that they see. The connector answers, advertises the addresses that it found, and carries the traffic to them.

import { familyOf } from '../base/address.ts';
import type { NodeId } from '../base/ids.ts';
import { APP_CONNECTORS, isConnectorOf, readApps } from '../policy/connectors.ts';
import type { CapMap } from '../wire/filter.ts';
import type { Resolver } from '../wire/dns.ts';
import type { ResolvedNode } from './resolve.ts';
import type { World } from './world.ts';

/** A machine that is asked. */
export interface Connector {
  readonly tags: readonly string[];
  readonly createdMs: number;
  /** Where it answers, by family; empty where it doesn't. */
  readonly url4: string;
  readonly url6: string;
}

/** Enough to get an answer when some are gone: a client asks them all at once. */
const MOST_CONNECTORS = 4;

export const connectorOf = ({
  record,
  authorized,
  addresses,
  hostinfo,
  policyNode,
  tags,
}: ResolvedNode): Connector | undefined => {
  if (policyNode.connector !== true || !authorized) return undefined;
  const urlOf = (family: 4 | 6): string => {
    const port = hostinfo.Services?.find(({ Proto }) => Proto === `peerapi${family}`)?.Port;
    const address = addresses.find((address) => familyOf(address) === family);
    if (port === undefined || address === undefined) return '';
    return `http://${family === 6 ? `[${address}]` : address}:${port}/dns-query`;
  };
  return { tags, createdMs: record.createdMs, url4: urlOf(4), url6: urlOf(6) };
};

/** Takes over what the node is now, or that it is gone. True where that makes a difference. */
export const noteConnector = (
  connectors: Map<NodeId, Connector>,
  id: NodeId,
  node: ResolvedNode | undefined,
): boolean => {
  const before = connectors.get(id);
  const now = node && connectorOf(node);
  if (!before && !now) return false;
  if (now) connectors.set(id, now);
  else connectors.delete(id);
  return JSON.stringify(before) !== JSON.stringify(now);
};

/** Routes of DNS by suffix; undefined where there are none. A connector doesn't ask others for what it is to answer. */
export const appRoutesOf = (
  { connectors, population, entries }: World,
  viewer: NodeId,
  caps: CapMap,
): Readonly<Record<string, readonly Resolver[]>> | undefined => {
  if (connectors.size === 0) return undefined;
  const apps = readApps(caps[APP_CONNECTORS]);
  if (apps.length === 0) return undefined;
  const v6Only = 'disable-ipv4' in caps;
  const own = connectors.has(viewer) ? (entries.get(viewer)?.node.tags ?? []) : [];
  const seen = [...connectors]
    .filter(([id]) => population.node(id) !== undefined && population.sees(viewer, id))
    .sort(([a, x], [b, y]) => x.createdMs - y.createdMs || a - b);
  const routes: Record<string, readonly Resolver[]> = {};
  for (const app of apps) {
    if (isConnectorOf(app, own)) continue;
    const resolvers = seen
      .flatMap(([, { tags, url4, url6 }]) => (isConnectorOf(app, tags) ? [v6Only ? url6 : url4 || url6] : []))
      .filter((url) => url !== '')
      .slice(0, MOST_CONNECTORS)
      .map((Addr) => ({ Addr }));
    if (resolvers.length === 0) continue;
    for (const domain of app.domains) routes[`${domain.replace(/^\*\./, '')}.`] ??= resolvers;
  }
  return Object.keys(routes).length > 0 ? routes : undefined;
};

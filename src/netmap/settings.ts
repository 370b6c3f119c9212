// The parts of a map that come from the snapshot alone: DNS, relays, and what the server lets every node do.

import type { CapMap } from '../wire/filter.ts';
import type { DnsConfig, Resolver } from '../wire/dns.ts';
import type { DerpMap, DerpNode, DerpRegion } from '../wire/derp.ts';
import type { Nameserver } from '../config/dns.ts';
import { isNamed } from '../config/derp.ts';
import type { DerpNode as DeclaredDerpNode, DerpRegion as DeclaredRegion } from '../config/derp.ts';
import { hasExitPriorities } from '../snapshot/lookup.ts';
import { relayRegions, scoreOf } from '../snapshot/relays.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { nextDnsAddress, profileNameservers, type NextDns } from './nextdns.ts';
import { flattenRecords } from './records.ts';
import type { NodeAddresses } from './records.ts';

/** Whom a node asks for which names: the same for every node but for what NextDNS is told, and the app connectors that it sees. */
export const resolversOf = (
  { dns, tailnet }: Snapshot,
  personal: NextDns = {},
  apps: DnsConfig['Routes'] = {},
): Pick<DnsConfig, 'Resolvers' | 'FallbackResolvers' | 'Routes'> => {
  const resolverOf = ({ address, useWithExitNode }: Pick<Nameserver, 'address' | 'useWithExitNode'>): Resolver => ({
    Addr: nextDnsAddress(address, personal),
    ...(useWithExitNode && { UseWithExitNode: true }),
  });
  const declared =
    personal.profile === undefined ? dns.nameservers : profileNameservers(dns.nameservers, personal.profile);
  const override = personal.profile !== undefined || dns.overrideLocalDns;
  const nameservers = declared.map(resolverOf);
  const routes: Record<string, readonly Resolver[]> = {};
  for (const { suffix, nameservers } of dns.splitDns) routes[`${suffix}.`] = nameservers.map(resolverOf);
  Object.assign(routes, apps);
  if (dns.magicDns) routes[`${tailnet.baseDomain}.`] = [];
  return {
    ...(nameservers.length > 0 && (override ? { Resolvers: nameservers } : { FallbackResolvers: nameservers })), // prettier-ignore
    ...(Object.keys(routes).length > 0 && { Routes: routes }),
  };
};

/** What a node answers by itself: the same for every node. */
export const answersOf = ({ dns, tailnet }: Snapshot, nodeAddresses: NodeAddresses): DnsConfig => {
  const records = flattenRecords(dns.extraRecords, nodeAddresses);
  const domains = dns.magicDns ? [tailnet.baseDomain, ...dns.searchDomains] : dns.searchDomains;
  return {
    ...(domains.length > 0 && { Domains: [...new Set(domains)] }),
    ...(dns.magicDns && { Proxied: true }),
    ...(records.length > 0 && { ExtraRecords: records }),
    // An exit node must not ask the world for names of the tailnet.
    ExitNodeFilteredSet: [`.${tailnet.baseDomain}`],
  };
};

/** The two together, as most nodes are sent them; `CertDomains` is added for each. */
export const dnsConfigOf = (snapshot: Snapshot, nodeAddresses: NodeAddresses = () => []): DnsConfig => ({
  ...answersOf(snapshot, nodeAddresses),
  ...resolversOf(snapshot),
});

const derpNodeOf = (regionId: number, node: DeclaredDerpNode): DerpNode => ({
  Name: node.name,
  RegionID: regionId,
  HostName: node.hostName,
  ...(node.certName !== undefined && { CertName: node.certName }),
  ...(node.ipv4 !== undefined && { IPv4: node.ipv4 }),
  ...(node.ipv6 !== undefined && { IPv6: node.ipv6 }),
  STUNPort: node.stunPort ?? -1,
  ...(node.stunOnly && { STUNOnly: true }),
  DERPPort: node.derpPort,
  ...(node.canPort80 && { CanPort80: true }),
});

const derpRegionOf = (region: DeclaredRegion): DerpRegion => ({
  RegionID: region.id,
  RegionCode: region.code,
  RegionName: region.name,
  ...(region.latitude !== undefined && { Latitude: region.latitude }),
  ...(region.longitude !== undefined && { Longitude: region.longitude }),
  ...(region.noHome === true && { NoMeasureNoHome: true }),
  Nodes: region.nodes.map((node) => derpNodeOf(region.id, node)),
});

/** A region that there never is. Clients ignore its score, but a map that differs makes them measure again. */
const NO_REGION = 0;

/** The declared regions, and the embedded one where the snapshot wants it; without those that are `hidden` (codes or ids). */
export const derpMapOf = (
  { derp, derpmap, policy }: Snapshot,
  embedded: DerpRegion | null,
  hidden: readonly string[] = [],
  fetched: readonly DeclaredRegion[] = [],
  again = false,
): DerpMap => {
  const regions: Record<string, DerpRegion> = {};
  const scores: Record<string, number> = again ? { [NO_REGION]: 1 } : {};
  const offer = (id: number, code: string, score: number | undefined, region: DerpRegion): void => {
    if (hidden.some((name) => isNamed({ id, code }, name))) return;
    regions[id] = region;
    if (score !== undefined) scores[id] = score;
  };
  for (const region of relayRegions({ derp, derpmap, policy: policy.document?.derpMap, fetched })) {
    offer(region.id, region.code, region.score, derpRegionOf(region));
  }
  if (derp.embedded && embedded !== null) {
    const { RegionID: id, RegionCode: code } = embedded;
    offer(id, code, scoreOf(derp, { id, code }), embedded);
  }
  // Sent even when empty: an absent one would leave the scores of the map before.
  return { Regions: regions, HomeParams: { RegionScore: scores }, omitDefaultRegions: true };
};

/** What the server offers to every node; the policy adds what it and the owner's role give. Keys whose value is null only count by being there. */
export const baselineCaps = (snapshot: Snapshot, certificates: boolean): CapMap => {
  const { tailnet } = snapshot;
  return {
    ...(tailnet.features.taildrop && { 'https://tailscale.com/cap/file-sharing': null }),
    ...(tailnet.features.ssh && { 'https://tailscale.com/cap/ssh': null, 'ssh-env-vars': null }),
    ...(tailnet.features.tailnetLock && { 'https://tailscale.com/cap/tailnet-lock': null }),
    ...(tailnet.features.https && certificates && { https: null }),
    // A client keeps the first word on it for ever, so `false` is not said: it would stand in the way of a later `true`.
    ...(tailnet.nodes.autoUpdate && { 'default-auto-update': [true] }),
    'store-appc-routes': null,
    'suggest-exit-node-ui': null,
    // Without it, clients suggest the exit node of the nearest relay and don't look at priorities.
    ...(hasExitPriorities(snapshot) && { 'traffic-steering': null }),
    'tailnet-display-name': [tailnet.displayName],
  };
};

// NextDNS has a profile for each customer, named in the URL that clients ask, and may be told which device asks. The policy
// chooses a profile for a node by the attribute `nextdns:PROFILE`, and keeps the device to itself by
// `nextdns:no-device-info`.

import { isNextDnsProfile } from '../config/doh.ts';
import type { DnsSettings, Nameserver } from '../config/dns.ts';
import type { ResolvedNode } from '../snapshot/resolve.ts';
import type { RegisteredNode } from '../snapshot/resolve.ts';
import type { CapMap } from '../wire/filter.ts';

/** What is different for one node. */
export interface NextDns {
  readonly profile?: string;
  /** A query string about the device. */
  readonly device?: string;
}

const BASE = 'https://dns.nextdns.io/';
const ATTRIBUTE = 'nextdns:';
const NO_DEVICE = 'nextdns:no-device-info';

const isNextDns = ({ address }: Nameserver): boolean => address.startsWith(BASE);

export const usesNextDns = ({ nameservers, splitDns }: DnsSettings): boolean =>
  [nameservers, ...splitDns.map(({ nameservers }) => nameservers)].some((list) => list.some(isNextDns));

/** `declared`: dns.json5 names NextDNS. Undefined where the node has nothing of its own. */
export const nextDnsOf = (
  caps: CapMap,
  declared: boolean,
  { label, addresses, hostinfo }: ResolvedNode<RegisteredNode>,
): NextDns | undefined => {
  const names = Object.keys(caps);
  // The first in the policy, where it gives several. One that clients can't ask would leave the node without DNS.
  const profile = names
    .flatMap((name) => (name.startsWith(ATTRIBUTE) ? [name.slice(ATTRIBUTE.length)] : []))
    .find(isNextDnsProfile);
  const tells = (declared || profile !== undefined) && !names.includes(NO_DEVICE);
  if (profile === undefined && !tells) return undefined;
  const device = new URLSearchParams({
    device_name: label,
    ...(hostinfo.OS !== undefined && { device_model: hostinfo.OS }),
    ...(addresses[0] !== undefined && { device_ip: addresses[0] }),
  }).toString();
  return { ...(profile !== undefined && { profile }), ...(tells && { device }) };
};

/** The profile takes the place of all global nameservers, and the exit node's rule of a NextDNS among them. */
export const profileNameservers = (
  declared: readonly Nameserver[],
  profile: string,
): readonly Pick<Nameserver, 'address' | 'useWithExitNode'>[] => [
  { address: `${BASE}${profile}`, useWithExitNode: declared.some((one) => isNextDns(one) && one.useWithExitNode) },
];

/** The address with what NextDNS may know about the device. */
export const nextDnsAddress = (address: string, { device }: NextDns): string =>
  device === undefined || !address.startsWith(BASE) || address.includes('?') ? address : `${address}?${device}`;

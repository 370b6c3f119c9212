// Extra DNS records as clients take them. They serve addresses alone (dnsConfigForNetmap in ipnlocal), so an alias is sent
// as the addresses of what it leads to: other records, or a node.

import { familyOf } from '../base/address.ts';
import type { Address } from '../base/address.ts';
import type { ExtraRecord } from '../config/dns.ts';
import type { DnsRecord } from '../wire/dns.ts';

/** Addresses of the node with that name, in lower case and without the trailing dot; none where there is none. */
export type NodeAddresses = (fqdn: string) => readonly Address[];

const namesOf = (records: readonly ExtraRecord[]): Map<string, ExtraRecord[]> =>
  Map.groupBy(records, ({ name }) => name);

/** Names outside the records that aliases lead to: nodes, as a snapshot allows nothing else. */
export const aliasedNodes = (records: readonly ExtraRecord[]): ReadonlySet<string> => {
  const names = namesOf(records);
  return new Set(records.flatMap(({ type, value }) => (type === 'CNAME' && !names.has(value) ? [value] : [])));
};

export const flattenRecords = (records: readonly ExtraRecord[], nodeAddresses: NodeAddresses): readonly DnsRecord[] => {
  const names = namesOf(records);
  const addressesOf = (name: string, seen: ReadonlySet<string>): readonly Address[] => {
    if (seen.has(name)) return [];
    const beyond = new Set(seen).add(name);
    const known = names.get(name);
    if (!known) return nodeAddresses(name);
    return known.flatMap(({ type, value }) => (type === 'CNAME' ? addressesOf(value, beyond) : [value as Address]));
  };
  return records.flatMap(({ name, type, value }) => {
    const addresses = type === 'CNAME' ? addressesOf(value, new Set([name])) : [value as Address];
    return addresses.map((address): DnsRecord => ({
      Name: name,
      Type: familyOf(address) === 4 ? 'A' : 'AAAA',
      Value: address,
    }));
  });
};

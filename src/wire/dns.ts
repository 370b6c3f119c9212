// tailcfg.DNSConfig and its parts. `{}` wipes a client's DNS, absence leaves it (protocol: tailcfg/tailcfg.go, dnstype).

import type { Address } from '../base/address.ts';

export interface Resolver {
  /** `1.1.1.1`, `1.1.1.1:53`, a DoH URL that clients know, or `http://100.x.y.z:port/dns-query`. */
  readonly Addr: string;
  readonly BootstrapResolution?: readonly Address[];
  readonly UseWithExitNode?: boolean;
}

export interface DnsRecord {
  readonly Name: string;
  /** Absent: A or AAAA by the value's family. */
  readonly Type?: 'A' | 'AAAA';
  readonly Value: string;
}

export interface DnsConfig {
  /** Global resolvers; absent leaves the system's own in place. */
  readonly Resolvers?: readonly Resolver[];
  /** Suffix to resolvers; an empty list or null means that the client answers the suffix itself. */
  readonly Routes?: Readonly<Record<string, readonly Resolver[] | null>>;
  readonly FallbackResolvers?: readonly Resolver[];
  /** Search domains, without the trailing dot. */
  readonly Domains?: readonly string[];
  /** MagicDNS. */
  readonly Proxied?: boolean;
  /** Names that this node may ask certificates for, without the trailing dot. */
  readonly CertDomains?: readonly string[];
  readonly ExtraRecords?: readonly DnsRecord[];
  readonly ExitNodeFilteredSet?: readonly string[];
}

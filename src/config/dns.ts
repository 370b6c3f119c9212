// dns.json5: what clients resolve, and where.

import type { Address } from '../base/address.ts';
import type { Span } from '../base/diagnostic.ts';

export interface DnsSettings {
  readonly magicDns: boolean;
  /** The global nameservers replace those of the device; else they help only where the device has none. */
  readonly overrideLocalDns: boolean;
  readonly nameservers: readonly Nameserver[];
  /** By suffix, lower case, without dots at the ends. No nameservers: the suffix is answered from the tailnet alone. */
  readonly splitDns: readonly {
    readonly suffix: string;
    readonly nameservers: readonly Nameserver[];
    readonly at: Span;
  }[];
  /** Lower case, without dots at the ends; the base domain comes before them by itself. */
  readonly searchDomains: readonly string[];
  readonly extraRecords: readonly ExtraRecord[];
}

export interface Nameserver {
  /** `1.1.1.1`, `1.1.1.1:5353`, `[2606:4700::1111]:53` or `https://…`. */
  readonly address: string;
  readonly useWithExitNode: boolean;
  readonly at: Span;
}

export interface ExtraRecord {
  /** Fully qualified, lower case, without the trailing dot. */
  readonly name: string;
  readonly type: 'A' | 'AAAA' | 'CNAME';
  readonly value: Address | string;
  readonly at: Span;
}

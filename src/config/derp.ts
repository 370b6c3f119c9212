// derp.json5: the relay map. Field names are ours; the control room writes them as tailcfg.DERPMap does.

import type { Address } from '../base/address.ts';
import type { Span } from '../base/diagnostic.ts';

export interface DerpSettings {
  /** Offer the relay that runs inside the server. */
  readonly embedded: boolean;
  readonly regions: readonly DerpRegion[];
}

export interface DerpRegion {
  /** 1 to 65535; 900 to 998 is the usual choice for one's own, 999 is the embedded relay's. */
  readonly id: number;
  readonly code: string;
  readonly name: string;
  readonly latitude?: number;
  readonly longitude?: number;
  /** Latency multiplier above 0: under 1 draws nodes to the region, over 1 keeps them away. */
  readonly score?: number;
  /** In the order in which clients try them. */
  readonly nodes: readonly DerpNode[];
  readonly at: Span;
}

export interface DerpNode {
  /** Unique in the map, for example `900a`. */
  readonly name: string;
  readonly hostName: string;
  /** Another name that the certificate carries, or `sha256-raw:<hex>` of a self-signed one. */
  readonly certName?: string;
  /** A fixed address, or `none` to keep clients from the family; absent: by DNS. */
  readonly ipv4?: Address | 'none';
  readonly ipv6?: Address | 'none';
  readonly derpPort: number;
  /** null: the node answers no STUN. */
  readonly stunPort: number | null;
  readonly stunOnly: boolean;
  readonly canPort80: boolean;
  readonly at: Span;
}

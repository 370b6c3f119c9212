// tailcfg.DERPMap: the relays. `Regions` replaces the whole map; there is no delta per region (tailcfg/derpmap.go).

export interface DerpNode {
  /** Unique in the map, for example `900a`. */
  readonly Name: string;
  readonly RegionID: number;
  readonly HostName: string;
  /** The certificate's name if it differs, or `sha256-raw:` and the SHA-256 of the leaf certificate in hex. */
  readonly CertName?: string;
  /** A fixed address, or `none`. */
  readonly IPv4?: string;
  readonly IPv6?: string;
  /** Absent: 3478. -1: no STUN. */
  readonly STUNPort?: number;
  readonly STUNOnly?: boolean;
  /** Absent: 443. Always TLS. */
  readonly DERPPort?: number;
  readonly InsecureForTests?: boolean;
  readonly CanPort80?: boolean;
}

export interface DerpRegion {
  readonly RegionID: number;
  readonly RegionCode: string;
  readonly RegionName: string;
  readonly Latitude?: number;
  readonly Longitude?: number;
  readonly Avoid?: boolean;
  readonly NoMeasureNoHome?: boolean;
  /** In order of priority, never empty. */
  readonly Nodes: readonly DerpNode[];
}

export interface DerpMap {
  readonly Regions: Readonly<Record<string, DerpRegion>>;
  readonly HomeParams?: { readonly RegionScore?: Readonly<Record<string, number>> };
  readonly omitDefaultRegions?: boolean;
}

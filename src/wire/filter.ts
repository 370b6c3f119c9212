// Packet filter rules exactly as on the wire (tailcfg.FilterRule, protocol: wgengine/filter/tailcfg.go).
// A rule has DstPorts or CapGrant, never both. `Bits`, `SrcBits` and `Caps` don't exist here: the first two make a client
// throw its whole filter away.

import type { Json } from '../base/canonical.ts';

export interface PortRange {
  readonly First: number;
  readonly Last: number;
}

export interface NetPortRange {
  /** `*`, an address, a prefix without host bits, or `a-b`. */
  readonly IP: string;
  readonly Ports: PortRange;
}

/** Capability name to its values; null is a bare key. */
export type CapMap = Readonly<Record<string, readonly Json[] | null>>;

export interface CapGrant {
  readonly Dsts: readonly string[];
  readonly CapMap: CapMap;
}

export interface FilterRule {
  /** `*`, addresses, prefixes, `a-b`, or `cap:<name>`. */
  readonly SrcIPs: readonly string[];
  readonly DstPorts?: readonly NetPortRange[];
  /** Absent: TCP, UDP, ICMPv4 and ICMPv6. */
  readonly IPProto?: readonly number[];
  readonly CapGrant?: readonly CapGrant[];
}

export const ALL_PORTS: PortRange = Object.freeze({ First: 0, Last: 65535 });

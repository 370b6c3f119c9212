// Ports and protocols of rules. Lists keep their order and their duplicates, since the filter shows both.

import type { PortRange } from '../wire/filter.ts';
import { ALL_PORTS } from '../wire/filter.ts';
import { quote } from './problems.ts';

/** A value, or why there is none in the service's words. */
export type Parsed<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly problem: string };

const good = <T>(value: T): Parsed<T> => ({ ok: true, value });
const bad = (problem: string): { ok: false; problem: string } => ({ ok: false, problem });

/** IANA numbers by name; names in any other case are unknown. */
const PROTOCOLS: ReadonlyMap<string, number> = new Map([
  ['icmp', 1],
  ['igmp', 2],
  ['ipv4', 4],
  ['ip-in-ip', 4],
  ['tcp', 6],
  ['egp', 8],
  ['igp', 9],
  ['udp', 17],
  ['gre', 47],
  ['esp', 50],
  ['ah', 51],
  ['ipv6-icmp', 58],
  ['sctp', 132],
  ['fc', 133],
]);

export const TCP = 6;
export const UDP = 17;
export const ICMP = 1;
export const ICMP_V6 = 58;
export const SCTP = 132;

/** What a filter rule without a protocol lets through (wgengine/filter: defaultProtocols). */
export const DEFAULT_PROTOCOLS: ReadonlySet<number> = new Set([TCP, UDP, ICMP, ICMP_V6]);

/** Whether ports mean anything for the protocol. */
export const hasPorts = (protocol: number): boolean => protocol === TCP || protocol === UDP || protocol === SCTP;

/** `tcp`, `6`; the empty text means unspecified. */
export const parseProtocol = (text: string): Parsed<number | null> => {
  if (text === '') return good(null);
  const named = PROTOCOLS.get(text);
  if (named !== undefined) return good(named);
  if (/^[1-9]\d{0,2}$/.test(text) && Number(text) <= 255) return good(Number(text));
  return bad(`unknown protocol ${quote(text)}`);
};

const isPort = (text: string): boolean => /^\d{1,5}$/.test(text) && Number(text) <= 65535;

const parsePortRange = (text: string): Parsed<PortRange> => {
  if (text === '*') return good(ALL_PORTS);
  const dash = text.indexOf('-', 1);
  const first = dash < 0 ? text : text.slice(0, dash);
  const last = dash < 0 ? text : text.slice(dash + 1);
  if (!isPort(first)) return bad(`port range ${quote(text)}: invalid first integer`);
  if (!isPort(last)) return bad(`port range ${quote(text)}: invalid last integer`);
  if (Number(first) === 0) {
    return bad(`port range ${quote(text)}: first port must be >0, or use '*' for wildcard`);
  }
  if (Number(first) > Number(last)) return bad(`port range ${quote(text)}: first port is greater than last port`);
  return good({ First: Number(first), Last: Number(last) });
};

/** `*`, `22`, `8000-8100`, or several with commas. */
export const parsePorts = (text: string): Parsed<readonly PortRange[]> => {
  const ranges: PortRange[] = [];
  for (const item of text.split(',')) {
    const range = parsePortRange(item.trim());
    if (!range.ok) return range;
    ranges.push(range.value);
  }
  return good(ranges);
};

export interface IpEntry {
  readonly protocol: number | null;
  readonly ports: readonly PortRange[];
}

/** An entry of a grant's `ip`: ports alone, or `protocol:ports`. */
export const parseIpEntry = (text: string): Parsed<IpEntry> => {
  const colon = text.indexOf(':');
  const protocol = colon < 0 ? good(null) : parseProtocol(text.slice(0, colon));
  if (!protocol.ok) return protocol;
  const ports = parsePorts(text.slice(colon + 1));
  if (!ports.ok) return ports;
  const problem = portsProblem(protocol.value, ports.value);
  return problem === undefined ? good({ protocol: protocol.value, ports: ports.value }) : bad(problem);
};

/** A protocol without ports can't be limited to some of them. */
export const portsProblem = (protocol: number | null, ports: readonly PortRange[]): string | undefined =>
  protocol === null || hasPorts(protocol) || ports.every((range) => range === ALL_PORTS)
    ? undefined
    : `protocol ${protocol} has no ports; use '*'`;

/**
 * An ACL destination into its selector and its ports: at the last colon, so that `fd7a::1:22` is port 22 of `fd7a::1`;
 * brackets around an IPv6 address are taken off.
 */
export const splitDestination = (text: string): { readonly selector: string; readonly ports: string } | undefined => {
  const colon = text.lastIndexOf(':');
  if (colon < 0) return undefined;
  const host = text.slice(0, colon);
  const bracketed = /^\[([^\]]*)\](\/\d+)?$/.exec(host);
  return {
    selector: bracketed ? `${bracketed[1] ?? ''}${bracketed[2] ?? ''}` : host,
    ports: text.slice(colon + 1),
  };
};

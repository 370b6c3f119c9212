// What a selector means, asked of one node or one address at a time and straight from the document. The evaluator and the
// tests of a policy stand on this; the filter compiler doesn't, so that each can be held against the other.

import { ipSetOfRanges, setHasAddress, type IpRange, type IpSet } from '../base/ipset.ts';
import { isExitRoute, prefixRange, type Address, type Prefix } from '../base/address.ts';
import type { Json } from '../base/canonical.ts';
import type { PolicyDocument } from './document.ts';
import type { PolicyUser } from './facts.ts';
import { DEFAULT_PROTOCOLS, hasPorts, ICMP, ICMP_V6 } from './ports.ts';
import { assertionHolds } from './posture.ts';
import { TAILNET_SET } from './ranges.ts';
import type { PortRange } from '../wire/filter.ts';
import { ALL_PORTS } from '../wire/filter.ts';
import type { Selector, SelectorKind } from './selector.ts';

/** Somebody who acts or is acted on: a device with its owner or tags, or (with neither) a bare address. */
export interface Subject {
  /** False for an address that no node has. */
  readonly isNode: boolean;
  /** Null for tagged devices and bare addresses. */
  readonly owner: PolicyUser | null;
  /** An untagged device whose owner nobody knows is still somebody's. */
  readonly untagged: boolean;
  readonly tags: readonly string[];
  readonly addresses: readonly Address[];
  readonly posture: ReadonlyMap<string, Json> | undefined;
}

export interface Matching {
  /** Whether the selector names the device itself: by owner, tag or kind, not by address. */
  identifies(selector: SelectorKind, subject: Subject): boolean;
  /** The addresses that an address selector stands for, or undefined for other kinds. */
  addressesOf(selector: SelectorKind): IpSet | undefined;
  /** Whether one of the named postures holds; true where none is asked for. */
  hasPosture(names: readonly string[], subject: Subject): boolean;
  /** Whether traffic from the address of the subject counts as coming from one of the sources, posture apart. */
  comesFrom(sources: readonly Selector[], subject: Subject, address: Address | undefined): boolean;
}

export const createMatching = (document: PolicyDocument | null, subnets: IpSet): Matching => {
  const groups = new Map<string, ReadonlySet<string>>();
  for (const { name, members } of document?.groups.values() ?? []) {
    groups.set(
      name,
      new Set(members.flatMap((member) => (member.kind === 'user' ? [member.login.toLowerCase()] : []))),
    );
  }
  const matching: Matching = {
    identifies: (selector, { isNode, owner, untagged, tags }) => {
      switch (selector.kind) {
        case 'user':
          return owner?.login.toLowerCase() === selector.login.toLowerCase();
        case 'group':
          return owner !== null && groups.get(selector.name)?.has(owner.login.toLowerCase()) === true;
        case 'domain':
          return owner?.login.slice(owner.login.lastIndexOf('@') + 1) === selector.domain;
        case 'role':
          return owner?.role === selector.role || (selector.role === 'admin' && owner?.role === 'owner');
        case 'member':
          return untagged;
        case 'tagged':
          return isNode && !untagged;
        case 'tag':
          return tags.includes(selector.tag);
        default:
          return false;
      }
    },
    addressesOf: (selector) => {
      if (selector.kind === 'address') return ipSetOfRanges([selector.range]);
      return selector.kind === 'ipset' ? document?.ipsets.get(selector.name)?.set : undefined;
    },
    hasPosture: (names, { posture }) =>
      names.length === 0 ||
      names.some((name) =>
        document?.postures.get(name)?.assertions.every((assertion) => assertionHolds(assertion, posture)),
      ),
    comesFrom: (sources, subject, address) =>
      sources.some((selector) => {
        if (selector.kind === 'danger-all' || matching.identifies(selector, subject)) return true;
        if (selector.kind === 'any') {
          return subject.isNode || (address !== undefined && isInside(address, TAILNET_SET, subnets));
        }
        const set = address === undefined ? undefined : matching.addressesOf(selector);
        return set !== undefined && address !== undefined && setHasAddress(set, address);
      }),
  };
  return matching;
};

const isInside = (address: Address, ...sets: readonly IpSet[]): boolean =>
  sets.some((set) => setHasAddress(set, address));

/** Approved subnets, without exit routes. */
export const subnetsOf = (routes: Iterable<Prefix>): IpSet =>
  ipSetOfRanges([...new Set(routes)].flatMap((route): IpRange[] => (isExitRoute(route) ? [] : [prefixRange(route)])));

/**
 * Whether an allowance for `protocol` (null: unspecified) and `ports` lets a packet in, as wgengine/filter decides: an
 * opening of any kind lets ICMP in, and protocols without ports need all of them open.
 */
export const letsIn = (
  allowed: number | null,
  ports: readonly PortRange[],
  packet: { readonly protocol: number; readonly port: number },
): { readonly protocol: boolean; readonly port: boolean } => {
  if (packet.protocol === ICMP || packet.protocol === ICMP_V6) return { protocol: true, port: ports.length > 0 };
  const protocol = allowed === null ? DEFAULT_PROTOCOLS.has(packet.protocol) : allowed === packet.protocol;
  const port = hasPorts(packet.protocol)
    ? ports.some(({ First, Last }) => First <= packet.port && packet.port <= Last)
    : ports.some(({ First, Last }) => First === ALL_PORTS.First && Last === ALL_PORTS.Last);
  return { protocol, port };
};

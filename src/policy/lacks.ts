// What a rule lacks to apply: to a packet, or to a login. Nothing lacking means that it applies; for a denial the rules that
// lack least are named.

import { isExitRoute, prefixRange, type Address } from '../base/address.ts';
import type { Span } from '../base/diagnostic.ts';
import type { UserId } from '../base/ids.ts';
import { addressRange, setHasAddress, setTouches, type IpSet } from '../base/ipset.ts';
import type { PortRange } from '../wire/filter.ts';
import type { AccessRule, Destination, SshAccessRule } from './document.ts';
import type { PolicyNode, PolicyUser } from './facts.ts';
import { letsIn, type Matching, type Subject } from './matching.ts';
import { INTERNET_SET, TAILNET_SET } from './ranges.ts';
import type { SelectorKind } from './selector.ts';

export interface RuleReference {
  readonly section: 'acls' | 'grants' | 'ssh' | 'default';
  /** From 0. */
  readonly index: number;
  /** Absent for the allow-all of a policy that has no rules. */
  readonly at?: Span;
}

export type Lack = 'source' | 'posture' | 'destination' | 'via' | 'protocol' | 'port' | 'user' | 'recorder';

/** A rule that nearly allowed it. */
export interface NearMiss extends RuleReference {
  /** What kept the rule from applying. */
  readonly lacks: readonly Lack[];
  /** One sentence. */
  readonly explanation: string;
}

/** How many near misses a denial names. */
const NEAREST = 3;

export const refer = ({ section, index, at }: AccessRule): RuleReference => ({ section, index, at });
export const referSsh = ({ index, at }: SshAccessRule): RuleReference => ({ section: 'ssh', index, at });

export interface Packet {
  readonly source: Address;
  readonly from: PolicyNode | undefined;
  readonly destination: Address;
  /** The node that takes it in: the destination itself, a subnet router or an exit node. */
  readonly enforcer: PolicyNode;
  readonly port: number;
  readonly protocol: number;
}

export interface Context {
  readonly matching: Matching;
  readonly subnets: IpSet;
  readonly subjectOf: (node: PolicyNode) => Subject;
}

export const subjectOf = (node: PolicyNode, userOf: (id: UserId) => PolicyUser | undefined): Subject => {
  const untagged = node.tags.length === 0 && node.user !== null;
  return {
    isNode: true,
    owner: (untagged && node.user !== null ? userOf(node.user) : undefined) ?? null,
    untagged,
    tags: node.tags,
    addresses: node.addresses,
    posture: node.posture,
  };
};

const bareAddress = (address: Address): Subject => ({
  isNode: false,
  owner: null,
  untagged: false,
  tags: [],
  addresses: [address],
  posture: undefined,
});

const senderOf = (context: Context, { source, from }: Packet): Subject =>
  from ? context.subjectOf(from) : bareAddress(source);

export const isAnySource = ({ subnets }: Context, { source, from }: Packet): boolean =>
  from !== undefined || setHasAddress(TAILNET_SET, source) || setHasAddress(subnets, source);

/** A posture is asked of nodes; what comes from outside the tailnet's own addresses has none and isn't asked. */
const passesPosture = (
  { matching }: Context,
  rule: { readonly srcPosture: readonly string[] },
  packet: Packet,
  sender: Subject,
): boolean =>
  rule.srcPosture.length === 0 ||
  (sender.isNode ? matching.hasPosture(rule.srcPosture, sender) : !setHasAddress(TAILNET_SET, packet.source));

const overlapsRoutes = (set: IpSet, node: PolicyNode): boolean =>
  node.approvedRoutes.some((route) => !isExitRoute(route) && setTouches(set, prefixRange(route)));

/** What of a destination the packet lacks. */
const destinationLacks = (
  context: Context,
  rule: AccessRule,
  selector: SelectorKind,
  packet: Packet,
  sender: Subject,
): Lack[] => {
  const { matching } = context;
  const { enforcer, destination } = packet;
  const steered = rule.via.length > 0;
  const isVia = !steered || rule.via.some((tag) => enforcer.tags.includes(tag));
  const isOwn = enforcer.addresses.includes(destination);
  const wrong: Lack[] = ['destination'];
  switch (selector.kind) {
    case 'any':
      return steered ? wrong : [];
    case 'internet': {
      const leadsOut = enforcer.connector === true || enforcer.approvedRoutes.some(isExitRoute);
      const fits = leadsOut && setHasAddress(INTERNET_SET, destination);
      return fits ? (isVia ? [] : ['via']) : wrong;
    }
    case 'self': {
      const to = context.subjectOf(enforcer);
      const sameUser = to.untagged && sender.untagged && packet.from?.user === enforcer.user;
      return isOwn && sameUser ? [] : wrong;
    }
    default: {
      const set = matching.addressesOf(selector);
      if (!set) return !steered && isOwn && matching.identifies(selector, context.subjectOf(enforcer)) ? [] : wrong;
      if (!setHasAddress(set, destination)) return wrong;
      const routed = overlapsRoutes(set, enforcer);
      if (steered) return routed ? (isVia ? [] : ['via']) : wrong;
      return routed || enforcer.addresses.some((address) => setTouches(set, addressRange(address))) ? [] : wrong;
    }
  }
};

/** The openings of a rule at one destination. */
const openingsAt = (
  rule: AccessRule,
  { ports }: Destination,
): readonly { readonly protocol: number | null; readonly ports: readonly PortRange[] }[] =>
  rule.traffic.map((traffic) => ({ protocol: traffic.protocol, ports: ports ?? traffic.ports }));

/** What the rule lacks to let the packet in; empty: it does. */
export const lacksOf = (context: Context, rule: AccessRule, packet: Packet): readonly Lack[] => {
  const sender = senderOf(context, packet);
  const lacks: Lack[] = [];
  if (!context.matching.comesFrom(rule.sources, sender, packet.source)) lacks.push('source');
  else if (!passesPosture(context, rule, packet, sender)) lacks.push('posture');
  let fewest: readonly Lack[] = ['destination', 'protocol', 'port'];
  for (const destination of rule.destinations) {
    const wrong = destinationLacks(context, rule, destination.selector, packet, sender);
    for (const { protocol, ports } of openingsAt(rule, destination)) {
      const opening = letsIn(protocol, ports, packet);
      const all: Lack[] = [...wrong];
      if (!opening.protocol) all.push('protocol');
      if (!opening.port) all.push('port');
      if (all.length < fewest.length) fewest = all;
    }
  }
  return [...lacks, ...fewest];
};

/** Whether the packet is the recording of an SSH session: from a destination of the rule to port 80 of a recorder. */
export const recordsTo = (context: Context, rule: SshAccessRule, packet: Packet): boolean => {
  if (packet.from === undefined || !packet.enforcer.addresses.includes(packet.destination)) return false;
  const opening = letsIn(6, [{ First: 80, Last: 80 }], packet);
  if (!opening.protocol || !opening.port || !rule.recorders.some((tag) => packet.enforcer.tags.includes(tag)))
    return false;
  const recorded = context.subjectOf(packet.from);
  return rule.destinations.some((selector) =>
    selector.kind === 'self'
      ? rule.sources.some((source) => context.matching.identifies(source, recorded))
      : context.matching.identifies(selector, recorded),
  );
};

export const sshLacks = (
  matching: Matching,
  rule: SshAccessRule,
  from: Subject,
  to: Subject,
  user: string,
): readonly Lack[] => {
  const lacks: Lack[] = [];
  if (!rule.sources.some((source) => matching.identifies(source, from))) lacks.push('source');
  else if (!matching.hasPosture(rule.srcPosture, from)) lacks.push('posture');
  const sameUser = from.untagged && to.untagged && from.owner !== null && from.owner.id === to.owner?.id;
  const isDestination = rule.destinations.some((selector) =>
    selector.kind === 'self' ? sameUser : matching.identifies(selector, to),
  );
  if (!isDestination) lacks.push('destination');
  if (!mayBe(rule, from.owner, user)) lacks.push('user');
  return lacks;
};

/** Whether the rule lets the person log in under the name. */
export const mayBe = (rule: SshAccessRule, person: PolicyUser | null, name: string): boolean =>
  rule.users.some((user) => {
    if (user.kind === 'login') return user.name === name;
    if (user.kind === 'nonroot') return name !== 'root';
    return person !== null && person.login === `${name}@${user.domain}`;
  });

export const nearestOf = (misses: readonly NearMiss[]): readonly NearMiss[] =>
  misses.toSorted((a, b) => a.lacks.length - b.lacks.length).slice(0, NEAREST);

const LACKS: Record<Lack, string> = {
  source: 'does not name this source',
  posture: 'asks for a device posture that this source does not have',
  destination: 'does not name this destination',
  via: 'steers this traffic through other routers',
  protocol: 'is for another protocol',
  port: 'does not open this port',
  user: 'does not allow this user',
  recorder: 'demands a session recorder, and there is none',
};

export const explainLacks = (what: string, lacks: readonly Lack[]): string => {
  const texts = lacks.map((lack) => LACKS[lack]);
  const last = texts.pop();
  return `${what} ${texts.length > 0 ? `${texts.join(', ')} and ` : ''}${last}.`;
};

export const explain = ({ section, index }: AccessRule, lacks: readonly Lack[]): string =>
  explainLacks(`${section} rule ${index + 1}`, lacks);

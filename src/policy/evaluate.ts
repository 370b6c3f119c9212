// May this reach that, and which line says so? Answered from the document itself, without the filter compiler, so that the
// two can be held against each other. For a denial it names the rules that came nearest and what each lacked.

import { familyOf, isExitRoute, prefixContains, prefixRange, type Address } from '../base/address.ts';
import { addressRange, setHasAddress, setTouches, type IpSet } from '../base/ipset.ts';
import type { Span } from '../base/diagnostic.ts';
import type { NodeId, UserId } from '../base/ids.ts';
import type { Json } from '../base/canonical.ts';
import type { CompiledPolicy } from './compile.ts';
import type { AccessRule, Destination, SshAccessRule } from './document.ts';
import type { PolicyNode, PolicyUser } from './facts.ts';
import { createMatching, letsIn, subnetsOf, type Matching, type Subject } from './matching.ts';
import { INTERNET_SET, TAILNET_SET } from './ranges.ts';
import type { SelectorKind } from './selector.ts';
import { ALL_PORTS, type PortRange } from '../wire/filter.ts';

/** A node, or an address that may belong to a node, to a subnet or to the internet. */
export type Party = { readonly node: NodeId } | { readonly address: Address };

export interface RuleReference {
  readonly section: 'acls' | 'grants' | 'ssh' | 'default';
  /** From 0. */
  readonly index: number;
  /** Absent for the allow-all of a policy that has no rules. */
  readonly at?: Span;
}

export type Lack = 'source' | 'posture' | 'destination' | 'via' | 'protocol' | 'port' | 'user';

/** A rule that nearly allowed it. */
export interface NearMiss extends RuleReference {
  /** What kept the rule from applying. */
  readonly lacks: readonly Lack[];
  /** One sentence. */
  readonly explanation: string;
}

export type Verdict =
  | { readonly allowed: true; readonly rule: RuleReference }
  | { readonly allowed: false; readonly nearest: readonly NearMiss[] };

export type SshVerdict =
  | { readonly action: 'accept' | 'check'; readonly checkPeriodMs: number; readonly rule: RuleReference }
  | { readonly action: 'deny'; readonly nearest: readonly NearMiss[] };

export interface CapabilityVerdict {
  /** Null for a capability that has no values. */
  readonly values: readonly Json[] | null;
  readonly rules: readonly RuleReference[];
}

export interface Evaluator {
  /**
   * `protocol` is an IANA number. Ports count for TCP, UDP and SCTP only. A destination address that no node has is
   * enforced by the subnet routers that carry it, or by the exit nodes; one of them letting it in is enough.
   */
  evaluate(source: Party, destination: Party, port: number, protocol: number): Verdict;
  evaluateSsh(source: NodeId, destination: NodeId, user: string): SshVerdict;
  /** Every login that some rule gives, with the rule that decides it; `*` is every login but root. */
  evaluateSshLogins(source: NodeId, destination: NodeId): ReadonlyMap<string, SshVerdict>;
  /** Every capability that `source` has on `destination`, with the rules that give it. */
  evaluateCapabilities(source: NodeId, destination: NodeId): ReadonlyMap<string, CapabilityVerdict>;
}

/** How many near misses a denial names. */
const NEAREST = 3;

const COMPANIONS: readonly (readonly [string, string])[] = [
  ['tailscale.com/cap/drive', 'tailscale.com/cap/drive-sharer'],
  ['tailscale.com/cap/relay', 'tailscale.com/cap/relay-target'],
];

/** Rules in the order in which they count. */
export const accessRulesOf = ({ document }: CompiledPolicy): readonly AccessRule[] | null =>
  document && (document.acls ?? document.grants) ? [...(document.grants ?? []), ...(document.acls ?? [])] : null;

const refer = ({ section, index, at }: AccessRule): RuleReference => ({ section, index, at });
const referSsh = ({ index, at }: SshAccessRule): RuleReference => ({ section: 'ssh', index, at });
const ALLOW_ALL: RuleReference = Object.freeze({ section: 'default', index: 0 });

interface Packet {
  readonly source: Address;
  readonly from: PolicyNode | undefined;
  readonly destination: Address;
  /** The node that takes it in: the destination itself, a subnet router or an exit node. */
  readonly enforcer: PolicyNode;
  readonly port: number;
  readonly protocol: number;
}

export const createEvaluator = (
  policy: CompiledPolicy,
  nodes: Iterable<PolicyNode>,
  userOf: (id: UserId) => PolicyUser | undefined,
): Evaluator => {
  const { document } = policy;
  const byId = new Map<NodeId, PolicyNode>();
  const byAddress = new Map<Address, PolicyNode>();
  const routers: PolicyNode[] = [];
  for (const node of nodes) {
    byId.set(node.id, node);
    for (const address of node.addresses) byAddress.set(address, node);
    if (node.approvedRoutes.length > 0) routers.push(node);
  }
  const subnets = subnetsOf(routers.flatMap(({ approvedRoutes }) => approvedRoutes));
  const matching = createMatching(document, subnets);
  const rules = accessRulesOf(policy);
  // The first that matches decides, and checks come before all else.
  const sshRules = (document?.ssh ?? []).toSorted(
    (a, b) => Number(b.action === 'check') - Number(a.action === 'check'),
  );
  const context: Context = { matching, subnets, subjectOf: (node) => subjectOf(node, userOf) };

  const nodeOf = (id: NodeId): PolicyNode => {
    const node = byId.get(id);
    if (!node) throw new RangeError(`no such node: ${id}`);
    return node;
  };

  /** The packets that stand for the question: one a family between nodes, one a router for a subnet. */
  const packetsOf = (source: Party, destination: Party, port: number, protocol: number): Packet[] => {
    const sources = 'node' in source ? nodeOf(source.node).addresses : [source.address];
    const destinations = 'node' in destination ? nodeOf(destination.node).addresses : [destination.address];
    return sources.flatMap((from) =>
      destinations
        .filter((to) => familyOf(to) === familyOf(from))
        .flatMap((to) =>
          enforcersOf(to).map((enforcer) => ({
            source: from,
            from: byAddress.get(from),
            destination: to,
            enforcer,
            port,
            protocol,
          })),
        ),
    );
  };

  const enforcersOf = (destination: Address): readonly PolicyNode[] => {
    const own = byAddress.get(destination);
    if (own) return [own];
    const carries = (exit: boolean) => (node: PolicyNode) =>
      node.approvedRoutes.some((route) => isExitRoute(route) === exit && prefixContains(route, destination));
    const subnet = routers.filter(carries(false));
    return subnet.length > 0 ? subnet : routers.filter(carries(true));
  };

  const evaluateSsh = (source: NodeId, destination: NodeId, user: string): SshVerdict => {
    const from = context.subjectOf(nodeOf(source));
    const to = context.subjectOf(nodeOf(destination));
    const misses: NearMiss[] = [];
    for (const rule of sshRules) {
      const lacks = sshLacks(matching, rule, from, to, user);
      if (lacks.length === 0) {
        const checkPeriodMs = rule.action === 'check' ? rule.checkPeriodMs : 0;
        return { action: rule.action, checkPeriodMs, rule: referSsh(rule) };
      }
      misses.push({ ...referSsh(rule), lacks, explanation: explainLacks(`ssh rule ${rule.index + 1}`, lacks) });
    }
    return { action: 'deny', nearest: nearestOf(misses) };
  };

  return {
    evaluate: (source, destination, port, protocol) => {
      const packets = packetsOf(source, destination, port, protocol);
      if (rules === null) {
        const open = packets.some(
          (packet) => letsIn(null, [ALL_PORTS], packet).protocol && isAnySource(context, packet),
        );
        return open ? { allowed: true, rule: ALLOW_ALL } : { allowed: false, nearest: [] };
      }
      const misses: NearMiss[] = [];
      for (const rule of rules) {
        let fewest: readonly Lack[] | undefined;
        for (const packet of packets) {
          const lacks = lacksOf(context, rule, packet);
          if (lacks.length === 0) return { allowed: true, rule: refer(rule) };
          if (fewest === undefined || lacks.length < fewest.length) fewest = lacks;
        }
        if (fewest) misses.push({ ...refer(rule), lacks: fewest, explanation: explain(rule, fewest) });
      }
      const recorder = document?.ssh.find((rule) => packets.some((packet) => recordsTo(context, rule, packet)));
      if (recorder) return { allowed: true, rule: referSsh(recorder) };
      return { allowed: false, nearest: nearestOf(misses) };
    },
    evaluateSsh,
    evaluateSshLogins: (source, destination) => {
      const person = context.subjectOf(nodeOf(source)).owner;
      const logins = new Set<string>();
      for (const { users } of sshRules) {
        for (const user of users) {
          if (user.kind === 'login') logins.add(user.name);
          else if (user.kind === 'nonroot') logins.add('*');
          else if (person?.login.endsWith(`@${user.domain}`) === true) {
            logins.add(person.login.slice(0, -user.domain.length - 1));
          }
        }
      }
      const verdicts = new Map<string, SshVerdict>();
      for (const login of logins) {
        const verdict = evaluateSsh(source, destination, login);
        if (verdict.action !== 'deny') verdicts.set(login, verdict);
      }
      return verdicts;
    },
    evaluateCapabilities: (source, destination) =>
      capabilitiesOf(context, rules ?? [], nodeOf(source), nodeOf(destination)),
  };
};

interface Context {
  readonly matching: Matching;
  readonly subnets: IpSet;
  readonly subjectOf: (node: PolicyNode) => Subject;
}

const subjectOf = (node: PolicyNode, userOf: (id: UserId) => PolicyUser | undefined): Subject => {
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

const isAnySource = ({ subnets }: Context, { source, from }: Packet): boolean =>
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
      const fits = enforcer.approvedRoutes.some(isExitRoute) && setHasAddress(INTERNET_SET, destination);
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
const lacksOf = (context: Context, rule: AccessRule, packet: Packet): readonly Lack[] => {
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
const recordsTo = (context: Context, rule: SshAccessRule, packet: Packet): boolean => {
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

const sshLacks = (
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

const capabilitiesOf = (
  context: Context,
  rules: readonly AccessRule[],
  source: PolicyNode,
  destination: PolicyNode,
): ReadonlyMap<string, CapabilityVerdict> => {
  const { matching } = context;
  const found = new Map<string, { values: readonly Json[] | null; rules: RuleReference[] }>();
  const add = (name: string, values: readonly Json[] | null, rule: AccessRule): void => {
    const known = found.get(name);
    if (!known) found.set(name, { values, rules: [refer(rule)] });
    else {
      if (known.values || values) known.values = [...(known.values ?? []), ...(values ?? [])];
      known.rules.push(refer(rule));
    }
  };
  const isSource = (rule: AccessRule, node: PolicyNode): boolean => {
    const subject = context.subjectOf(node);
    return (
      matching.hasPosture(rule.srcPosture, subject) &&
      node.addresses.some((address) => matching.comesFrom(rule.sources, subject, address))
    );
  };
  const names = (selector: SelectorKind, node: PolicyNode): boolean => {
    if (selector.kind === 'any') return true;
    const set = matching.addressesOf(selector);
    if (set) return node.addresses.some((address) => setHasAddress(set, address));
    return matching.identifies(selector, context.subjectOf(node));
  };
  const sameUser = isUntagged(source) && isUntagged(destination) && source.user === destination.user;
  for (const rule of rules) {
    if (rule.app.length === 0 || rule.via.length > 0) continue;
    const selectors = rule.destinations.map(({ selector }) => selector);
    const holds = (by: PolicyNode, on: PolicyNode): number =>
      isSource(rule, by)
        ? Number(selectors.some((one) => one.kind !== 'self' && names(one, on))) +
          Number(sameUser && selectors.some(({ kind }) => kind === 'self'))
        : 0;
    for (let times = holds(source, destination); times > 0; times--) {
      for (const { name, values } of rule.app) add(name, values, rule);
    }
    for (const [name, companion] of COMPANIONS) {
      if (!rule.app.some((capability) => capability.name === name)) continue;
      for (let times = holds(destination, source); times > 0; times--) add(companion, null, rule);
    }
  }
  return found;
};

const isUntagged = (node: PolicyNode): boolean => node.tags.length === 0 && node.user !== null;

const nearestOf = (misses: readonly NearMiss[]): readonly NearMiss[] =>
  misses.toSorted((a, b) => a.lacks.length - b.lacks.length).slice(0, NEAREST);

const LACKS: Record<Lack, string> = {
  source: 'does not name this source',
  posture: 'asks for a device posture that this source does not have',
  destination: 'does not name this destination',
  via: 'steers this traffic through other routers',
  protocol: 'is for another protocol',
  port: 'does not open this port',
  user: 'does not allow this user',
};

const explainLacks = (what: string, lacks: readonly Lack[]): string => {
  const texts = lacks.map((lack) => LACKS[lack]);
  const last = texts.pop();
  return `${what} ${texts.length > 0 ? `${texts.join(', ')} and ` : ''}${last}.`;
};

const explain = ({ section, index }: AccessRule, lacks: readonly Lack[]): string =>
  explainLacks(`${section} rule ${index + 1}`, lacks);

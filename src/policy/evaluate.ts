// May this reach that, and which line says so? Answered from the document itself, without the filter compiler, so that the
// two can be held against each other. For a denial it names the rules that came nearest and what each lacked.

import { familyOf, isExitRoute, prefixContains, type Address } from '../base/address.ts';
import type { Json } from '../base/canonical.ts';
import type { NodeId, UserId } from '../base/ids.ts';
import { setHasAddress } from '../base/ipset.ts';
import { ALL_PORTS } from '../wire/filter.ts';
import type { CompiledPolicy } from './compile.ts';
import type { AccessRule } from './document.ts';
import type { PolicyNode, PolicyUser } from './facts.ts';
import {
  explain,
  explainLacks,
  isAnySource,
  lacksOf,
  nearestOf,
  recordsTo,
  refer,
  referSsh,
  sshLacks,
  subjectOf,
  type Context,
  type Lack,
  type NearMiss,
  type Packet,
  type RuleReference,
} from './lacks.ts';
import { createMatching, letsIn, subnetsOf } from './matching.ts';
import type { SelectorKind } from './selector.ts';

export type { Lack, NearMiss, RuleReference };

/** A node, or an address that may belong to a node, to a subnet or to the internet. */
export type Party = { readonly node: NodeId } | { readonly address: Address };

export type Verdict =
  | { readonly allowed: true; readonly rule: RuleReference }
  | {
      readonly allowed: false;
      readonly nearest: readonly NearMiss[];
      /** Why no rule could have helped, as a sentence; absent where one could. */
      readonly reason?: string;
    };

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

const COMPANIONS: readonly (readonly [string, string])[] = [
  ['tailscale.com/cap/drive', 'tailscale.com/cap/drive-sharer'],
  ['tailscale.com/cap/relay', 'tailscale.com/cap/relay-target'],
];

/** Rules in the order in which they count. */
export const accessRulesOf = ({ document }: CompiledPolicy): readonly AccessRule[] | null =>
  document && (document.acls ?? document.grants) ? [...(document.grants ?? []), ...(document.acls ?? [])] : null;

const UNCARRIED = 'No node has this address, and no approved route holds it.';
const UNOPENED = 'A policy without rules opens TCP, UDP and ICMP to sources in the tailnet.';
const ALLOW_ALL: RuleReference = Object.freeze({ section: 'default', index: 0 });

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
        const isRecorded = [...byId.values()].some(({ tags }) => tags.some((tag) => rule.recorders.includes(tag)));
        if (rule.enforceRecorder && rule.recorders.length > 0 && !isRecorded) {
          // The rule decides, so those after it don't.
          const explanation = explainLacks(`ssh rule ${rule.index + 1}`, ['recorder']);
          return { action: 'deny', nearest: [{ ...referSsh(rule), lacks: ['recorder'], explanation }] };
        }
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
        if (open) return { allowed: true, rule: ALLOW_ALL };
        return { allowed: false, nearest: [], reason: packets.length === 0 ? UNCARRIED : UNOPENED };
      }
      if (packets.length === 0) return { allowed: false, nearest: [], reason: UNCARRIED };
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
      if (rules.length === 0) return { allowed: false, nearest: [], reason: 'The policy has no rules.' };
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

// Where a difference comes from: the lines of the files that make it. The evaluator names the rule that decides; if the other
// side has the same rule, what the rule names is looked at, then people, tags and routes around it.

import { prefixContains } from '../base/address.ts';
import type { Span } from '../base/diagnostic.ts';
import type { NodeId } from '../base/ids.ts';
import { formatRange, ipSetRanges } from '../base/ipset.ts';
import type { NodeSelector } from '../config/selector.ts';
import { bitsOf, type Bitset } from '../policy/bitset.ts';
import type { AccessRule, NodeAttributes, PolicyDocument, SshAccessRule } from '../policy/document.ts';
import { createEvaluator, type Evaluator, type Party as Asked, type RuleReference } from '../policy/evaluate.ts';
import type { Selector } from '../policy/selector.ts';
import type { ResolvedNode } from '../snapshot/resolve.ts';
import type { Comparison, Direction } from './comparison.ts';
import type { ReviewedNode, ReviewedTailnet } from './tailnet.ts';
import type { Unit } from './units.ts';

/** A place in the files that makes the difference. */
export interface Cause {
  /** Which revision the place is in: what was added stands in the new one, what was taken away in the old one. */
  readonly side: 'before' | 'after';
  readonly at: Span;
  /** A few words: `rule 3 of grants`, `group:ops`. */
  readonly what: string;
}

const textOf = (tailnet: ReviewedTailnet, at: Span): string =>
  (tailnet.snapshot.policyFile?.text ?? '').slice(at.start.offset, at.end.offset).replace(/\s+/g, ' ');

/** Whether an entry of nodes.json5 or routes.json5 means the node. */
const matchesNode = (selector: NodeSelector, { record, owner, tags }: ResolvedNode<ReviewedNode>): boolean => {
  if (selector.by === 'id') return record.stableId === selector.id;
  if (selector.name !== undefined && record.name !== selector.name) return false;
  return selector.by === 'owner' ? owner?.toLowerCase() === selector.owner.toLowerCase() : tags.includes(selector.tag);
};

type Rule = AccessRule | SshAccessRule;

const ruleOf = (document: PolicyDocument | null, { section, index }: RuleReference): Rule | undefined =>
  section === 'default' ? undefined : document?.[section]?.[index];

const rulesOf = (document: PolicyDocument | null): readonly Rule[] =>
  document ? [...(document.grants ?? []), ...(document.acls ?? []), ...document.ssh] : [];

const selectorsOf = (rule: Rule): readonly Selector[] => [
  ...rule.sources,
  ...rule.destinations.map((destination) => ('selector' in destination ? destination.selector : destination)),
];

interface Definition {
  readonly name: string;
  readonly at: Span;
  readonly parts: readonly { readonly text: string; readonly at: Span }[];
}

/** What a selector leans on: a group with its members, an ip set, a host. */
const definitionOf = (document: PolicyDocument | null, selector: Selector): Definition | undefined => {
  if (selector.kind === 'group') {
    const group = document?.groups.get(selector.name);
    return group && { name: group.name, at: group.at, parts: group.members };
  }
  if (selector.kind === 'ipset') {
    const ipset = document?.ipsets.get(selector.name);
    return (
      ipset && {
        name: ipset.name,
        at: ipset.at,
        parts: ipSetRanges(ipset.set).map((range) => ({ text: formatRange(range), at: ipset.at })),
      }
    );
  }
  if (selector.kind === 'address' && selector.host !== undefined) {
    const host = document?.hosts.get(selector.host);
    return host && { name: host.name, at: host.at, parts: [{ text: host.literal, at: host.at }] };
  }
  return undefined;
};

/** Parts that only one side has; the whole where the other side has the name for nothing or only for more. */
const differences = (mine: Definition, theirs: Definition | undefined): readonly { what: string; at: Span }[] => {
  const whole = { what: mine.name, at: mine.at };
  if (!theirs) return [whole];
  const others = new Set(theirs.parts.map(({ text }) => text));
  const own = mine.parts.filter(({ text }) => !others.has(text));
  if (own.length > 0) return own.map(({ text, at }) => ({ what: `${text} in ${mine.name}`, at }));
  return mine.parts.length === theirs.parts.length ? [] : [whole];
};

/** Outside of the policy: a person who comes or goes, a declared tag, an approved route. */
const declaredCauses = (
  party: Asked,
  here: ReviewedTailnet,
  there: ReviewedTailnet,
  side: Cause['side'],
): readonly Cause[] => {
  if ('address' in party) {
    const carriers = ({ nodes }: ReviewedTailnet) =>
      [...nodes.values()].filter(({ approvedRoutes }) =>
        approvedRoutes.some((route) => prefixContains(route, party.address)),
      );
    if (carriers(there).length > 0) return [];
    return carriers(here).flatMap((node) =>
      here.snapshot.routes.flatMap(({ node: selector, at, subnets, exitNode }) =>
        matchesNode(selector, node) && (exitNode || subnets.some((route) => prefixContains(route, party.address)))
          ? [{ side, at, what: `the route of ${node.record.standsFor ?? node.label}` }]
          : [],
      ),
    );
  }
  const [mine, theirs] = [here.nodes.get(party.node), there.nodes.get(party.node)];
  if (mine && !theirs && mine.owner !== null) {
    const owner = here.snapshot.userByLogin.get(mine.owner.toLowerCase());
    return owner?.at ? [{ side, at: owner.at, what: owner.login }] : [];
  }
  if (mine && theirs && mine.tags.join() !== theirs.tags.join()) {
    return here.snapshot.nodes.flatMap(({ node: selector, at, tags }) =>
      tags && matchesNode(selector, mine) ? [{ side, at, what: `tags of ${mine.record.standsFor ?? mine.label}` }] : [],
    );
  }
  return [];
};

interface Found {
  readonly causes: readonly Cause[];
  /** Something differs there; else it is only the rule that says so now. */
  readonly certain: boolean;
}

/**
 * Why the side allows it and the other doesn't: the rule, if the other side hasn't the same; else what the rule names and
 * the other side defines otherwise; else the rule all the same, because people, nodes or routes have changed around it.
 */
const causesOf = (
  rule: Rule,
  parties: readonly Asked[],
  here: ReviewedTailnet,
  there: ReviewedTailnet,
  side: Cause['side'],
): Found => {
  const own: Cause = {
    side,
    at: rule.at,
    what: `rule ${rule.index + 1} of ${'section' in rule ? rule.section : 'ssh'}`,
  };
  const text = textOf(here, rule.at);
  const kept = rulesOf(there.side.policy.document).some((other) => textOf(there, other.at) === text);
  if (!kept) return { causes: [own], certain: true };
  const definitions = selectorsOf(rule).flatMap((selector) => {
    const mine = definitionOf(here.side.policy.document, selector);
    if (!mine) return [];
    const theirs = definitionOf(there.side.policy.document, selector);
    return differences(mine, theirs).map(({ what, at }) => ({ side, at, what }));
  });
  if (definitions.length > 0) return { causes: definitions, certain: true };
  const declared = parties.flatMap((party) => declaredCauses(party, here, there, side));
  return declared.length > 0 ? { causes: declared, certain: true } : { causes: [own], certain: false };
};

const firstOf = (unit: Unit, tailnet: ReviewedTailnet, skip?: NodeId): Asked | undefined => {
  if (unit.kind === 'addresses') return { address: unit.sample };
  const node = unit.members.find((id) => id !== skip && tailnet.nodes.has(id));
  return node === undefined ? undefined : { node };
};

/** How many units on either side of a group the evaluator is asked about. */
export const SAMPLES = 5;

export type Pair = readonly [source: number, destination: number];

export const samplePairs = (sources: Bitset, destinations: Bitset): readonly Pair[] => {
  const some = (set: Bitset): number[] => [...bitsOf(set)].slice(0, SAMPLES);
  return some(destinations).flatMap((destination) => some(sources).map((source): Pair => [source, destination]));
};

/** Finds the lines behind a change, from some pairs of units that it concerns. */
export interface Tracer {
  access(direction: Direction, pairs: readonly Pair[], port: number, protocol: number): readonly Cause[];
  /** What opens shells on either side may be the cause: a rule that came, or a stricter one that went. */
  shells(pairs: readonly Pair[], login: string, isLess: boolean): readonly Cause[];
  capability(direction: Direction, pairs: readonly Pair[], name: string): readonly Cause[];
  attribute(direction: Direction, name: string): readonly Cause[];
}

const inOrder = (causes: Iterable<Cause>): readonly Cause[] => {
  const found = new Map<string, Cause>();
  for (const cause of causes) found.set(`${cause.side} ${cause.at.file} ${cause.at.start.offset}`, cause);
  return [...found.values()].sort(
    (a, b) => (a.side < b.side ? 1 : a.side > b.side ? -1 : 0) || a.at.start.offset - b.at.start.offset,
  );
};

export const createTracer = ({ before, after, units }: Comparison): Tracer => {
  const evaluators = new Map<Direction, Evaluator>();
  const evaluatorOf = (direction: Direction): Evaluator => {
    let evaluator = evaluators.get(direction);
    if (!evaluator) {
      const { policy, nodes, userOf } = (direction === 'gained' ? after : before).side;
      evaluators.set(direction, (evaluator = createEvaluator(policy, nodes.values(), userOf)));
    }
    return evaluator;
  };
  const sidesOf = (direction: Direction) =>
    direction === 'gained' ? ([after, before, 'after'] as const) : ([before, after, 'before'] as const);

  /** Traces the rules that decide about each pair. */
  const trace = (
    direction: Direction,
    pairs: readonly Pair[],
    rulesFor: (from: Asked, to: Asked) => readonly RuleReference[],
  ): Found => {
    const [here, there, side] = sidesOf(direction);
    const causes: Cause[] = [];
    let certain = false;
    for (const [source, destination] of pairs) {
      const to = firstOf(units[destination] as Unit, here);
      const from = firstOf(units[source] as Unit, here, to && 'node' in to ? to.node : undefined);
      if (!from || !to) continue;
      for (const reference of rulesFor(from, to)) {
        const rule = ruleOf(here.side.policy.document, reference);
        if (!rule) continue;
        const found = causesOf(rule, [from, to], here, there, side);
        causes.push(...found.causes);
        certain ||= found.certain;
      }
    }
    return { causes, certain };
  };

  return {
    access: (direction, pairs, port, protocol) =>
      inOrder(
        trace(direction, pairs, (from, to) => {
          const verdict = evaluatorOf(direction).evaluate(from, to, port, protocol);
          return verdict.allowed ? [verdict.rule] : [];
        }).causes,
      ),
    shells: (pairs, login, isLess) => {
      const found = (['gained', 'lost'] as const).map((direction) =>
        trace(direction, pairs, (from, to) => {
          if (!('node' in from) || !('node' in to)) return [];
          const verdict = evaluatorOf(direction).evaluateSsh(from.node, to.node, login);
          return verdict.action === 'deny' ? [] : [verdict.rule];
        }),
      );
      const ordered = isLess ? found.toReversed() : found;
      const first = ordered.find(({ causes }) => causes.length > 0);
      // What stands in the new files explains itself; the old ones are named where nothing new is to be seen.
      return inOrder((found.find((one) => one.certain) ?? first)?.causes ?? []);
    },
    capability: (direction, pairs, name) =>
      inOrder(
        trace(direction, pairs, (from, to) =>
          'node' in from && 'node' in to
            ? (evaluatorOf(direction).evaluateCapabilities(from.node, to.node).get(name)?.rules ?? [])
            : [],
        ).causes,
      ),
    attribute: (direction, name) => {
      const [here, there, side] = sidesOf(direction);
      const entries = ({ side: { policy } }: ReviewedTailnet): readonly NodeAttributes[] =>
        policy.document?.nodeAttrs ?? [];
      const kept = new Set(entries(there).map(({ at }) => textOf(there, at)));
      return entries(here).flatMap(({ at, index, attributes, app }) => {
        const gives = attributes.includes(name) || app.some((one) => one.name === name);
        return gives && !kept.has(textOf(here, at)) ? [{ side, at, what: `entry ${index + 1} of nodeAttrs` }] : [];
      });
    },
  };
};

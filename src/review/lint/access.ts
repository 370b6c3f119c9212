// Rules about who reaches what: rules that say nothing, say it twice, or say far more than their author thinks.

import type { AccessRule, Destination, Traffic } from '../../policy/document.ts';
import { appsOf } from '../../policy/connectors.ts';
import type { PolicyDocument } from '../../policy/document.ts';
import type { Selector } from '../../policy/selector.ts';
import type { PortRange } from '../../wire/filter.ts';
import type { Span } from '../../base/diagnostic.ts';
import { portsCover, type Coverage } from './coverage.ts';
import type { LintFinding, LintRule } from './rule.ts';
import { SENSITIVE } from '../services.ts';

const TCP = 6;
const ALL: PortRange = { First: 0, Last: 65_535 };
/** Comparing rules in pairs stops being cheap somewhere; a policy this long has other problems. */
const RULES_LIMIT = 2_000;

export const accessRules = (policy: PolicyDocument): readonly AccessRule[] => [
  ...(policy.grants ?? []),
  ...(policy.acls ?? []),
];

/** What a rule lets through to one destination: protocols with ports. */
export const trafficTo = (rule: AccessRule, destination: Destination): readonly Traffic[] =>
  destination.ports === undefined
    ? rule.traffic
    : rule.traffic.map(({ protocol }) => ({ protocol, ports: destination.ports as readonly PortRange[] }));

/** Null stands for TCP, UDP and ICMP. */
const protocolCovers = (outer: number | null, inner: number | null): boolean =>
  outer === inner || (outer === null && (inner === 6 || inner === 17));

const trafficCovers = (outer: readonly Traffic[], inner: readonly Traffic[]): boolean =>
  inner.every((one) =>
    outer.some(({ protocol, ports }) => protocolCovers(protocol, one.protocol) && portsCover(ports, one.ports)),
  );

const isPlain = (rule: AccessRule): boolean => rule.srcPosture.length === 0 && rule.via.length === 0;

const ruleCovers = (outer: AccessRule, inner: AccessRule, { covers }: Coverage): boolean =>
  isPlain(outer) &&
  inner.app.length === 0 &&
  inner.via.length === 0 &&
  inner.sources.every((source) => outer.sources.some((wider) => covers(wider, source, 'source'))) &&
  inner.destinations.every((destination) =>
    outer.destinations.some(
      (wider) =>
        covers(wider.selector, destination.selector, 'destination') &&
        trafficCovers(trafficTo(outer, wider), trafficTo(inner, destination)),
    ),
  );

const describeRule = ({ section, index }: AccessRule): string => `${section}[${index}]`;

const shadowedRule: LintRule = {
  code: 'lint/shadowed-rule',
  severity: 'warning',
  *check({ policy, coverage }) {
    const rules = (policy ? accessRules(policy) : []).filter(
      ({ sources, destinations }) => sources.length > 0 && destinations.length > 0,
    );
    if (rules.length > RULES_LIMIT) return;
    for (const [i, rule] of rules.entries()) {
      // Of two equal rules the first one is kept.
      const wider = rules.find(
        (other, j) => j !== i && ruleCovers(other, rule, coverage) && (j < i || !ruleCovers(rule, other, coverage)),
      );
      if (!wider) continue;
      yield {
        span: rule.at,
        message: `${describeRule(rule)} changes nothing: ${describeRule(wider)} allows all of it.`,
        help: 'Remove it, or narrow the other one.',
        related: [{ span: wider.at, message: 'allows all of it' }],
      };
    }
  },
};

const emptyRule: LintRule = {
  code: 'lint/empty-rule',
  severity: 'warning',
  *check({ policy }) {
    for (const rule of policy ? accessRules(policy) : []) {
      const missing = rule.sources.length === 0 ? 'source' : rule.destinations.length === 0 ? 'destination' : undefined;
      if (missing === undefined) continue;
      yield {
        span: rule.at,
        message: `${describeRule(rule)} has no ${missing}, so it allows nothing.`,
        help: 'Complete it, or remove it.',
        fix: { kind: 'remove', at: rule.at },
      };
    }
  },
};

const noRules: LintRule = {
  code: 'lint/no-rules',
  severity: 'warning',
  *check({ policy, policyRoot }) {
    if (!policy || !policyRoot || policy.acls || policy.grants) return;
    yield {
      span: { ...policyRoot.span, end: policyRoot.span.start },
      message: 'The policy has neither `grants` nor `acls`, so everybody reaches everything.',
      help: 'Write `"grants": []` to deny everything, or the grants that you mean.',
    };
  },
};

const allTraffic = (traffic: readonly Traffic[]): boolean =>
  traffic.some(({ protocol, ports }) => protocol === null && portsCover(ports, [ALL]));

const allowAll: LintRule = {
  code: 'lint/allow-all',
  severity: 'warning',
  *check({ policy }) {
    for (const rule of policy ? accessRules(policy) : []) {
      const source = rule.sources.find(({ kind }) => kind === 'any' || kind === 'danger-all');
      const open = rule.destinations.find(({ selector }) => selector.kind === 'any');
      if (!source || !open || !isPlain(rule) || !allTraffic(trafficTo(rule, open))) continue;
      yield {
        span: open.selector.at,
        message: `${describeRule(rule)} lets everybody reach everything.`,
        help: 'All other rules are without effect while it stands. Name who may reach what.',
      };
    }
  },
};

const sensitivePort: LintRule = {
  code: 'lint/sensitive-port',
  severity: 'warning',
  *check({ policy }) {
    for (const rule of policy ? accessRules(policy) : []) {
      const source = rule.sources.find(({ kind }) => kind === 'any');
      if (!source || rule.srcPosture.length > 0) continue;
      for (const destination of rule.destinations) {
        if (destination.selector.kind === 'self' || destination.selector.kind === 'internet') continue;
        const traffic = trafficTo(rule, destination);
        if (destination.selector.kind === 'any' && allTraffic(traffic)) continue;
        const open = Object.entries(SENSITIVE).find(([port]) =>
          trafficCovers(traffic, [{ protocol: TCP, ports: [{ First: Number(port), Last: Number(port) }] }]),
        );
        if (!open) continue;
        yield {
          span: destination.selector.at,
          message: `Everybody reaches port ${open[0]} (${open[1]}) of \`${destination.selector.text}\`.`,
          help: 'Name the people or tags that need it instead of `*`.',
        };
      }
    }
  },
};

const dangerAll: LintRule = {
  code: 'lint/danger-all',
  severity: 'warning',
  *check({ policy }) {
    for (const rule of policy ? accessRules(policy) : []) {
      for (const source of rule.sources) {
        if (source.kind !== 'danger-all') continue;
        yield {
          span: source.at,
          message: 'This lets in packets from any address, also from outside of the tailnet.',
          help: 'Write `*` for everything in the tailnet.',
        };
      }
    }
  },
};

/** Lists of selectors in which an entry can be needless. */
const selectorLists = function* (
  policy: PolicyDocument,
): Iterable<{ readonly list: readonly Selector[]; readonly side: 'source' | 'destination' }> {
  for (const rule of accessRules(policy)) {
    yield { list: rule.sources, side: 'source' };
    if (rule.section === 'grants')
      yield { list: rule.destinations.map(({ selector }) => selector), side: 'destination' };
  }
  for (const rule of policy.ssh) {
    yield { list: rule.sources, side: 'source' };
    yield { list: rule.destinations, side: 'destination' };
  }
  for (const { members } of policy.groups.values()) yield { list: members, side: 'source' };
  for (const { owners } of policy.tagOwners.values()) yield { list: owners, side: 'source' };
};

const repeatedSelector: LintRule = {
  code: 'lint/repeated-selector',
  severity: 'warning',
  *check({ policy }) {
    for (const { list } of policy ? selectorLists(policy) : []) {
      const seen = new Map<string, Span>();
      for (const { text, at } of list) {
        const first = seen.get(text);
        if (first === undefined) seen.set(text, at);
        else {
          yield {
            span: at,
            message: `\`${text}\` stands in this list twice.`,
            help: 'Remove one of the two.',
            related: [{ span: first, message: 'first given here' }],
            fix: { kind: 'remove', at },
          };
        }
      }
    }
  },
};

const redundantSelector: LintRule = {
  code: 'lint/redundant-selector',
  severity: 'info',
  *check({ policy, coverage }) {
    for (const { list, side } of policy ? selectorLists(policy) : []) {
      if (list.length > 200) continue;
      for (const inner of list) {
        const outer = list.find(
          (other) =>
            other.text !== inner.text && coverage.covers(other, inner, side) && !coverage.covers(inner, other, side),
        );
        if (!outer) continue;
        yield {
          span: inner.at,
          message: `\`${inner.text}\` adds nothing beside \`${outer.text}\`.`,
          help: 'Remove it, or remove the wider one.',
          related: [{ span: outer.at, message: 'holds it already' }],
        };
      }
    }
  },
};

const chosenByNobody = (selector: Selector, coverage: Coverage, hasDomainRules: boolean): boolean => {
  if (selector.kind !== 'group' && selector.kind !== 'role' && selector.kind !== 'domain') return false;
  if (selector.kind !== 'group' && hasDomainRules) return false;
  return coverage.peopleOf(selector)?.size === 0;
};

const emptySelector: LintRule = {
  code: 'lint/empty-selector',
  severity: 'warning',
  *check({ policy, coverage, folder }) {
    const hasDomainRules = (folder.users?.domainRules.length ?? 0) > 0;
    for (const { list } of policy ? selectorLists(policy) : []) {
      for (const selector of list) {
        if (!chosenByNobody(selector, coverage, hasDomainRules)) continue;
        yield {
          span: selector.at,
          message: `\`${selector.text}\` is nobody.`,
          help:
            selector.kind === 'group'
              ? 'Give the group members, or remove it.'
              : 'No active person of users.json5 is meant by it.',
        };
      }
    }
  },
};

const isUndeclaredAddress = (selector: Selector, declared: ReadonlySet<string>): boolean =>
  selector.kind === 'address' &&
  selector.range.first === selector.range.last &&
  !declared.has(selector.literal) &&
  // 4via6: an IPv4 address behind a router.
  !selector.literal.startsWith('fd7a:115c:a1e0:b1a:') &&
  // The ranges of the tailnet, as clients know them.
  (selector.literal.startsWith('fd7a:115c:a1e0:') ||
    /^100\.(?:6[4-9]|[7-9]\d|1[01]\d|12[0-7])\./.test(selector.literal));

const undeclaredAddress: LintRule = {
  code: 'lint/undeclared-address',
  severity: 'info',
  *check({ policy, folder }) {
    if (!folder.nodes) return;
    const declared = new Set<string>(folder.nodes.flatMap(({ addresses = [] }) => addresses));
    for (const { list } of policy ? selectorLists(policy) : []) {
      for (const selector of list) {
        if (!isUndeclaredAddress(selector, declared)) continue;
        yield {
          span: selector.at,
          message: `\`${selector.text}\` is an address of the tailnet that no node of nodes.json5 keeps.`,
          help: 'Another node may have it one day. Use a tag, or declare the address.',
        };
      }
    }
  },
};

const internetWithoutExit: LintRule = {
  code: 'lint/internet-without-exit-node',
  severity: 'info',
  *check({ policy, folder }) {
    if (!policy || !folder.routes) return;
    if (policy.autoApprovers.exitNode.length > 0 || folder.routes.some(({ exitNode }) => exitNode)) return;
    // It opens what app connectors find.
    if (appsOf(policy).length > 0) return;
    for (const rule of accessRules(policy)) {
      for (const { selector } of rule.destinations) {
        if (selector.kind !== 'internet') continue;
        yield {
          span: selector.at,
          message: 'No exit node is approved, so this opens nothing.',
          help: 'Approve one in routes.json5 or in `autoApprovers.exitNode`.',
        };
      }
    }
  },
};

const viaWithoutRouter: LintRule = {
  code: 'lint/via-without-router',
  severity: 'warning',
  *check({ policy, policyRoot, folder }) {
    if (!policy || !policyRoot || !folder.routes) return;
    const approved = new Set<string>(folder.routes.flatMap(({ node }) => (node.by === 'tag' ? [node.tag] : [])));
    for (const { approvers } of policy.autoApprovers.routes) for (const { text } of approvers) approved.add(text);
    for (const { text } of policy.autoApprovers.exitNode) approved.add(text);
    const byName = folder.routes.some(({ node }) => node.by === 'id');
    for (const rule of accessRules(policy)) {
      const lonely = rule.via.filter((tag) => !approved.has(tag));
      if (byName || lonely.length === 0 || lonely.length < rule.via.length) continue;
      yield {
        span: rule.at,
        message: `No node with \`${lonely.join('`, `')}\` is approved as a router, so ${describeRule(rule)} opens nothing.`,
        help: 'Approve its routes in routes.json5 or in `autoApprovers`.',
      } satisfies LintFinding;
    }
  },
};

export const ACCESS_RULES: readonly LintRule[] = [
  noRules,
  allowAll,
  dangerAll,
  sensitivePort,
  shadowedRule,
  emptyRule,
  emptySelector,
  repeatedSelector,
  redundantSelector,
  undeclaredAddress,
  internetWithoutExit,
  viaWithoutRouter,
];

// What a change means: who gains and who loses access, what else is declared otherwise, how risky it looks, and what the
// guard of the server would do with it. Exact for the nodes it is given; where they are imagined, it says so.

import { canonicalJson } from '../base/canonical.ts';
import type { Span } from '../base/diagnostic.ts';
import type { AccessRule } from '../policy/document.ts';
import { accessRulesOf } from '../policy/evaluate.ts';
import { diffAccess, type AccessChange } from './access.ts';
import { diffCapabilities, type CapabilityChange } from './capabilities.ts';
import { createTracer } from './causes.ts';
import { createComparison, type Comparison } from './comparison.ts';
import { diffDeclared } from './declared.ts';
import { meaningOf, type DeclaredChange } from './differences.ts';
import { guardChange, type GuardFinding, type GuardSide } from './guard.ts';
import { judgeAccess, judgeDeclared, judgeShell, RANK, worst, type Judged, type Risk } from './risk.ts';
import { diffShells, type ShellChange } from './shells.ts';
import { nameOfNode, type ReviewedTailnet } from './tailnet.ts';

export interface Plan {
  readonly schema: 'plan-report.schema.json';
  readonly tailnet: string;
  readonly before: string;
  readonly after: string;
  /** False where the nodes were imagined. */
  readonly exact: boolean;
  /** What the answer leaves open; empty when it is exact. */
  readonly open: readonly string[];
  readonly risk: Risk;
  /** Sentences, the worst first. */
  readonly reasons: readonly string[];
  readonly access: readonly Judged<AccessChange>[];
  readonly shells: readonly Judged<ShellChange>[];
  readonly capabilities: readonly CapabilityChange[];
  readonly declared: readonly Judged<DeclaredChange>[];
  readonly nodes: {
    readonly total: number;
    readonly affected: number;
    readonly added: readonly string[];
    readonly removed: readonly string[];
  };
  readonly guard: readonly GuardFinding[];
}

export interface PlanOptions {
  /** Whether the nodes were imagined from what is declared. */
  readonly imagined: boolean;
}

const guardSide = ({ snapshot, nodes, side }: ReviewedTailnet): GuardSide => ({
  snapshot,
  nodes: [...nodes.values()].map(({ policyNode }) => policyNode),
  userOf: side.userOf,
});

const OPEN_WITHOUT_NODES: readonly string[] = [
  'No list of nodes was given, so one device stands for each person and each tag, and a router for each approved route.',
  'Rules that name addresses of single machines, and what depends on how a machine is (postures), can’t be told that way.',
];

const WITHOUT_EFFECT =
  'The rules are others, but they mean the same for these machines. Machines that join later, or change, may tell.';

/** What of a policy is told by other lines, or means nothing for access. */
const ASIDE = { tests: [], sshTests: [], tagOwners: [], autoApprovers: [] };

/** Whether both say the same about access, word for word. */
const sameRules = (...[before, after]: readonly [ReviewedTailnet, ReviewedTailnet]): boolean => {
  const rulesOf = ({ snapshot: { policy } }: ReviewedTailnet): string =>
    canonicalJson(meaningOf(policy.document && { ...policy.document, ...ASIDE }));
  return rulesOf(before) === rulesOf(after);
};

/** A rule that makes all others needless. Where there is no policy any more, that is said by itself. */
const opensEverything = (...[before, after]: readonly [ReviewedTailnet, ReviewedTailnet]): readonly string[] => {
  const find = ({ snapshot: { policy } }: ReviewedTailnet): AccessRule | undefined =>
    (accessRulesOf(policy) ?? []).find(
      ({ sources, destinations, traffic, srcPosture, via }) =>
        srcPosture.length + via.length === 0 &&
        sources.some(({ kind }) => kind === 'any' || kind === 'danger-all') &&
        destinations.some(
          ({ selector, ports }) =>
            selector.kind === 'any' &&
            traffic.some(
              (one) =>
                one.protocol === null && (ports ?? one.ports).some(({ First, Last }) => First === 0 && Last === 65_535),
            ),
        ),
    );
  const rule = find(after);
  const isOpen = accessRulesOf(before.snapshot.policy) === null || find(before) !== undefined;
  return rule && !isOpen
    ? [
        `every machine reaches every other: rule ${rule.index + 1} of ${rule.section} (${formatAt(rule.at)}) opens everything`,
      ]
    : [];
};

/** Everything that changes between the two. The guard speaks only about nodes that exist. */
export const planChange = (before: ReviewedTailnet, after: ReviewedTailnet, { imagined }: PlanOptions): Plan => {
  const comparison: Comparison = createComparison(before, after);
  const tracer = createTracer(comparison);
  const verdicts: (readonly [Risk, string?])[] = [];
  const judge = <T>(changes: readonly T[], verdictOf: (change: T) => readonly [Risk, string?]): Judged<T>[] =>
    changes.map((change) => {
      const verdict = verdictOf(change);
      verdicts.push(verdict);
      return { ...change, risk: verdict[0] };
    });
  const guard = imagined ? [] : guardChange(guardSide(before), guardSide(after));
  judge(guard, ({ message }) => ['high', message]);
  judge(opensEverything(before, after), (reason) => ['high', reason]);
  const declared = judge(diffDeclared(comparison), judgeDeclared);
  const access = judge(diffAccess(comparison, tracer), judgeAccess).sort((a, b) =>
    a.direction === b.direction ? RANK.indexOf(b.risk) - RANK.indexOf(a.risk) : 0,
  );
  const shells = judge(diffShells(comparison, tracer), judgeShell);
  const capabilities = diffCapabilities(comparison, tracer);
  judge(capabilities, () => ['low']);
  const ordered = verdicts.toSorted((a, b) => RANK.indexOf(b[0]) - RANK.indexOf(a[0]));
  /** An imagined node comes and goes with the person or tag that it stands for, which is told already. */
  const missing = (here: ReviewedTailnet, there: ReviewedTailnet): string[] =>
    imagined ? [] : [...here.nodes.keys()].filter((id) => !there.nodes.has(id)).map((id) => nameOfNode(here, id));
  return {
    schema: 'plan-report.schema.json',
    tailnet: after.snapshot.tailnet.name,
    before: before.snapshot.revision,
    after: after.snapshot.revision,
    exact: !imagined,
    open: [
      ...(sameRules(before, after) || access.length + shells.length + capabilities.length > 0 ? [] : [WITHOUT_EFFECT]),
      ...(imagined ? OPEN_WITHOUT_NODES : []),
    ],
    risk: worst(verdicts.map(([risk]) => risk)),
    reasons: [...new Set(ordered.flatMap(([, reason]) => reason ?? []))],
    access,
    shells,
    capabilities,
    declared,
    nodes: {
      total: after.nodes.size,
      affected: countAffected(comparison),
      added: missing(after, before),
      removed: missing(before, after),
    },
    guard,
  };
};

export const isEmptyPlan = ({ access, shells, capabilities, declared, nodes }: Plan): boolean =>
  access.length + shells.length + capabilities.length + declared.length + nodes.added.length + nodes.removed.length ===
  0;

/** Nodes whose own filter, shells or attributes differ: those that the server would have to tell. */
const countAffected = ({ before, after, units }: Comparison): number => {
  let count = 0;
  const answers = ({ side }: ReviewedTailnet, id: Parameters<typeof side.population.capsFor>[0]): string =>
    JSON.stringify([side.population.compactFilterFor(id), side.population.sshFor(id), side.population.capsFor(id)]);
  for (const unit of units) {
    if (unit.kind !== 'nodes') continue;
    const present = unit.members.filter((id) => before.nodes.has(id) || after.nodes.has(id)).length;
    const same = unit.before && unit.after && answers(before, unit.before.id) === answers(after, unit.after.id);
    if (!same) count += present;
  }
  return count;
};

/** A place in words. */
export const formatAt = ({ file, start }: Span): string => `${file}:${start.line}`;

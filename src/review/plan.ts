// What a change means: who gains and who loses access, what else is declared otherwise, how risky it looks, and what the
// guard of the server would do with it. Exact for the nodes it is given; where they are imagined, it says so.

import { canonicalJson } from '../base/canonical.ts';
import type { Span } from '../base/diagnostic.ts';
import { diffAccess, type AccessChange } from './access.ts';
import { diffCapabilities, type CapabilityChange } from './capabilities.ts';
import { createTracer, type Cause } from './causes.ts';
import { createComparison, type Comparison } from './comparison.ts';
import { diffDeclared, EXIT_NODE, meaningOf, type DeclaredChange } from './declared.ts';
import { guardChange, type GuardFinding, type GuardSide } from './guard.ts';
import { diffShells, type ShellChange } from './shells.ts';
import { nameOfNode, type ReviewedTailnet } from './tailnet.ts';

export type Risk = 'none' | 'low' | 'medium' | 'high';

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
  readonly access: readonly AccessChange[];
  readonly shells: readonly ShellChange[];
  readonly capabilities: readonly CapabilityChange[];
  readonly declared: readonly DeclaredChange[];
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

/** Ports whose services give a machine away, or hold what others want. */
const SENSITIVE: Readonly<Record<number, string>> = {
  22: 'SSH',
  23: 'Telnet',
  445: 'file shares',
  1433: 'SQL Server',
  2375: 'Docker',
  3306: 'MySQL',
  3389: 'remote desktop',
  5432: 'PostgreSQL',
  5900: 'VNC',
  6379: 'Redis',
  6443: 'Kubernetes',
  9200: 'Elasticsearch',
  27017: 'MongoDB',
};

const RANK: readonly Risk[] = ['none', 'low', 'medium', 'high'];
const worst = (risks: readonly Risk[]): Risk =>
  risks.reduce((a, b) => (RANK.indexOf(a) >= RANK.indexOf(b) ? a : b), 'none');

const names = (parties: AccessChange['who']): string => parties.map(({ name }) => name).join(', ');

const opens = (change: AccessChange, port: number): boolean =>
  change.traffic.some(
    ({ protocol, ports }) =>
      protocol === 'tcp' &&
      ports.split(',').some((range) => {
        if (range === '*') return true;
        const [first = 0, last = first] = range.split('-').map(Number);
        return first <= port && port <= last;
      }),
  );

const judgeAccess = (change: AccessChange): readonly [Risk, string?] => {
  if (change.direction === 'lost' || change.what.every(({ kind }) => kind === 'own')) return ['low'];
  if (change.what.some(({ name }) => name === 'the internet'))
    return ['medium', `${names(change.who)} may use exit nodes`];
  const wide = change.who.some(
    ({ kind, name }) => kind === 'everything' || kind === 'people' || name === 'the internet' || name.endsWith('/0'),
  );
  const all = change.traffic.some(({ ports }) => ports === '*');
  const found = Object.entries(SENSITIVE).filter(([port]) => opens(change, Number(port)));
  const service = all ? 'every port' : found.map(([, name]) => name).join(', ');
  if (wide && (all || found.length > 0))
    return ['high', `${names(change.who)} may use ${service} on ${names(change.what)}`];
  if (all || found.length > 0) return ['medium', `${names(change.who)} may use ${service} on ${names(change.what)}`];
  return ['low'];
};

/** A login as people say it. */
export const loginText = (login: string): string => (login === '*' ? 'any user but root' : login);

const judgeShell = ({ to, from, who, what, logins }: ShellChange): readonly [Risk, string?] => {
  if (to === 'deny' || (to === 'check' && from === 'accept')) return ['low'];
  // On machines of one's own, whoever sits there is root anyway.
  if (what.every(({ kind }) => kind === 'own')) return ['low'];
  const root = logins.includes('root');
  const how = from === 'check' ? ' without a confirmation' : '';
  return [
    root ? 'high' : 'medium',
    `${names(who)} may open shells as ${logins.map(loginText).join(', ')} on ${names(what)}${how}`,
  ];
};

const judgeDeclared = ({ area, kind, text }: DeclaredChange): readonly [Risk, string?] => {
  if (area === 'policy' && kind === 'removed' && text.startsWith('the policy file')) return ['high', text];
  if (area === 'people' && /(?:owner|admin)$/.test(text) && kind !== 'removed') return ['medium', text];
  if (area === 'keys' && kind === 'added') return ['medium', text];
  if (area === 'routes' && kind === 'added' && text.includes(EXIT_NODE)) return ['medium', text];
  if (area === 'settings' && /guard|sign|invariants/.test(text)) return ['medium', text];
  return ['low'];
};

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

/** Whether both say the same about access, word for word. */
const sameRules = ({ snapshot: before }: ReviewedTailnet, { snapshot: after }: ReviewedTailnet): boolean =>
  canonicalJson(meaningOf(before.policy.document)) === canonicalJson(meaningOf(after.policy.document));

/** Everything that changes between the two. The guard speaks only about nodes that exist. */
export const planChange = (before: ReviewedTailnet, after: ReviewedTailnet, { imagined }: PlanOptions): Plan => {
  const comparison: Comparison = createComparison(before, after);
  const tracer = createTracer(comparison);
  const access = diffAccess(comparison, tracer);
  const shells = diffShells(comparison, tracer);
  const capabilities = diffCapabilities(comparison, tracer);
  const declared = diffDeclared(comparison);
  const guard = imagined ? [] : guardChange(guardSide(before), guardSide(after));
  const judged = [
    ...guard.map(({ message }) => ['high', message] as const),
    ...access.map(judgeAccess),
    ...shells.map(judgeShell),
    ...capabilities.map(() => ['low'] as const),
    ...declared.map(judgeDeclared),
  ];
  const ordered = [...judged].sort((a, b) => RANK.indexOf(b[0]) - RANK.indexOf(a[0]));
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
    risk: worst(judged.map(([risk]) => risk)),
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

/** A cause in words, with its place. */
export const formatCause = ({ what, at }: Cause): string => `${what} (${formatAt(at)})`;
export const formatAt = ({ file, start }: Span): string => `${file}:${start.line}`;

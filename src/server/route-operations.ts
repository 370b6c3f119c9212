// What an administrator may ask about routes, by the socket: which are advertised, what approves them, down to the line of
// the file, and who carries them now.

import { EXIT_ROUTES, isExitRoute, prefixContains, prefixRange, type Prefix } from '../base/address.ts';
import type { Span } from '../base/diagnostic.ts';
import { accept } from '../base/outcome.ts';
import type { AdminOperation } from '../http/admin.ts';
import type { RouteAnswer, RouteApprovalAnswer, RouteState } from '../http/answers.ts';
import type { ResolvedNode } from '../netmap/resolve.ts';
import { autoApprovalOf } from '../policy/approve.ts';
import { approvalsOf } from '../snapshot/lookup.ts';
import { approves } from '../snapshot/resolve.ts';
import type { Parts } from './parts.ts';

const placeOf = (by: RouteApprovalAnswer['by'], { file, start }: Span): RouteApprovalAnswer => ({
  by,
  file,
  line: start.line,
});

interface Approval {
  readonly prefixes: readonly Prefix[];
  readonly answer: RouteApprovalAnswer;
  /** The entry is for this node and no other. */
  readonly ownEntry: boolean;
}

/** What routes.json5 and the administrators say for the node, whether it advertises that or not. */
const declaredFor = (parts: Parts, { record, owner, tags }: ResolvedNode): Approval[] => [
  ...approvalsOf(parts.snapshot(), { stableId: record.stableId, label: record.name, owner, tags }).map(
    ({ node, subnets, exitNode, at }): Approval => ({
      prefixes: [...subnets, ...(exitNode ? EXIT_ROUTES : [])],
      answer: placeOf('routes.json5', at),
      ownEntry: node.by !== 'tag' || node.name !== undefined,
    }),
  ),
  ...(record.approvedRoutes.length === 0
    ? []
    : [
        {
          prefixes: record.approvedRoutes,
          answer: { by: 'run time', file: null, line: null },
          ownEntry: true,
        } satisfies Approval,
      ]),
];

const stateOf = (parts: Parts, { record, authorized, policyNode }: ResolvedNode, route: Prefix): RouteState => {
  if (!authorized) return 'not let in';
  if (policyNode.alive === false) return parts.tailnet.isOnline(record.id) ? 'silent' : 'offline';
  if (isExitRoute(route)) return 'offered';
  const { primaryRoutes } = parts.tailnet.population.selfView(record.id);
  return primaryRoutes.includes(route) ? 'serving' : 'standing by';
};

/** The routes of one node: those that it advertises, and those that are approved for it alone and not advertised. */
export const routesOf = (parts: Parts, node: ResolvedNode): RouteAnswer[] => {
  const declared = declaredFor(parts, node);
  const autoApproval = autoApprovalOf(parts.snapshot().policy, node, node.person);
  const advertised = node.policyNode.routableIPs;
  const answer = (route: Prefix, approvedBy: readonly RouteApprovalAnswer[], state: RouteState): RouteAnswer => ({
    route,
    exitNode: isExitRoute(route),
    node: node.label,
    stableId: node.record.stableId,
    owner: node.owner,
    tags: node.tags,
    approvedBy,
    state,
  });
  const offered = advertised.map((route) => {
    const auto = autoApproval(route);
    const approvedBy = [
      ...declared.flatMap(({ prefixes, answer }) => (prefixes.some((by) => approves(by, route)) ? [answer] : [])),
      ...(auto ? [placeOf('autoApprovers', auto)] : []),
    ];
    return answer(route, approvedBy, approvedBy.length === 0 ? 'not approved' : stateOf(parts, node, route));
  });
  const missing = declared
    .filter(({ ownEntry }) => ownEntry)
    .flatMap(({ prefixes, answer: by }) =>
      prefixes
        .filter((prefix) => !advertised.some((route) => approves(prefix, route)))
        .map((prefix) => answer(prefix, [by], 'not advertised')),
    );
  return [...offered, ...missing];
};

const RANKS: readonly RouteState[] = [
  'serving',
  'offered',
  'standing by',
  'silent',
  'offline',
  'not let in',
  'not approved',
  'not advertised',
];

/** Subnets in the order of their addresses, the longer first, then who carries them; exit nodes at the end. */
const compareRoutes = (a: RouteAnswer, b: RouteAnswer): number => {
  if (a.exitNode !== b.exitNode) return Number(a.exitNode) - Number(b.exitNode);
  if (!a.exitNode && a.route !== b.route) {
    const [x, y] = [prefixRange(a.route as Prefix), prefixRange(b.route as Prefix)];
    if (x.family !== y.family) return x.family - y.family;
    if (x.first !== y.first) return x.first < y.first ? -1 : 1;
    return prefixContains(a.route as Prefix, b.route as Prefix) ? 1 : -1;
  }
  return (
    RANKS.indexOf(a.state) - RANKS.indexOf(b.state) ||
    (a.node < b.node ? -1 : a.node > b.node ? 1 : 0) ||
    (a.route < b.route ? -1 : a.route > b.route ? 1 : 0)
  );
};

export const routeOperations = (parts: Parts): readonly AdminOperation[] => [
  {
    method: 'get',
    path: '/routes',
    run: () => {
      const answers: RouteAnswer[] = [];
      for (const { id } of parts.registry.view.nodes.values()) {
        const node = parts.tailnet.node(id);
        if (node) answers.push(...routesOf(parts, node));
      }
      return accept(answers.sort(compareRoutes));
    },
  },
];

// What one change may take away before a person has to say that it is meant: more than a share of the reachable pairs,
// every administrator, every exit node or subnet router in use, all nodes of a person. Such a change is held until a later
// commit names it by its digest. Invariants hold always; to break one, first remove it.

import { createHash } from 'node:crypto';
import { isExitRoute, type Prefix } from '../base/address.ts';
import type { NodeId, UserId } from '../base/ids.ts';
import type { Invariant } from '../config/tailnet.ts';
import type { AccessTest } from '../policy/document.ts';
import type { PolicyNode, PolicyUser, Role } from '../policy/facts.ts';
import { populate, type Population } from '../policy/population.ts';
import { runTests } from '../policy/tests.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { reachOf, type Reach } from './reach.ts';

/** A snapshot with the nodes as it declares them: those that are let in, with its tags and its approved routes. */
export interface GuardSide {
  readonly snapshot: Snapshot;
  readonly nodes: readonly PolicyNode[];
  readonly userOf: (id: UserId) => PolicyUser | undefined;
}

/** As written in a `Tailnet-Allow:` line. */
export type GuardRule = 'access' | 'administrators' | 'routers' | 'user-nodes' | 'invariant';

export interface GuardFinding {
  readonly rule: GuardRule;
  /** One sentence: what would be lost. */
  readonly message: string;
  /** The line that lets this very change pass; absent where nothing does. */
  readonly allowedBy?: string;
}

const ADMINISTRATORS: ReadonlySet<Role> = new Set<Role>(['owner', 'admin']);
const TRAILER = 'Tailnet-Allow';

/** Binds an approval to one change: another base, or other content, needs another look. */
const digestOf = (rule: GuardRule, before: Snapshot, after: Snapshot): string =>
  createHash('sha256').update(`${rule}\0${before.digest}\0${after.digest}`).digest('hex').slice(0, 8);

/** The approvals in commit messages, each as `rule digest`. */
export const readAllowances = (messages: Iterable<string>): ReadonlySet<string> => {
  const out = new Set<string>();
  for (const message of messages) {
    for (const [, rule, digest] of message.matchAll(/^Tailnet-Allow:[ \t]*([a-z-]+)[ \t]+([0-9a-f]{8})[ \t]*\r?$/gm)) {
      out.add(`${rule} ${digest}`);
    }
  }
  return out;
};

export const isAllowed = ({ allowedBy }: GuardFinding, allowances: ReadonlySet<string>): boolean =>
  allowedBy !== undefined && allowances.has(allowedBy.slice(TRAILER.length + 2));

/** Nodes that are alike on both sides: of the same class before and after. */
interface Group {
  readonly before: number;
  /** Undefined: no longer let in. */
  readonly after: number | undefined;
  size: number;
}

export interface AccessLoss {
  readonly pairsBefore: number;
  readonly pairsLost: number;
}

/** Ordered pairs of nodes that could connect before, and those of them that could not after. */
export const countLostAccess = (before: GuardSide, reachBefore: Reach, reachAfter: Reach): AccessLoss => {
  const groups = new Map<string, Group>();
  const byUser = new Map<UserId, Map<Group, number>>();
  for (const node of before.nodes) {
    const cls = reachBefore.classOf(node.id) as number;
    const after = reachAfter.classOf(node.id);
    const key = `${cls} ${after}`;
    let group = groups.get(key);
    if (!group) groups.set(key, (group = { before: cls, after, size: 0 }));
    group.size++;
    if (node.user === null) continue;
    let own = byUser.get(node.user);
    if (!own) byUser.set(node.user, (own = new Map()));
    own.set(group, (own.get(group) ?? 0) + 1);
  }
  const isOpen = (reach: Reach, a: number | undefined, b: number | undefined): boolean =>
    a !== undefined && b !== undefined && reach.reaches(a, b);
  const ownBefore = (a: Group): boolean => reachBefore.reachesOwn(a.before);
  const ownAfter = (a: Group, b: Group): boolean =>
    a.after !== undefined && b.after !== undefined && reachAfter.isPersonal(b.after) && reachAfter.reachesOwn(a.after);
  let pairsBefore = 0;
  let pairsLost = 0;
  for (const a of groups.values()) {
    for (const b of groups.values()) {
      if (!isOpen(reachBefore, a.before, b.before)) continue;
      const pairs = a.size * (a === b ? b.size - 1 : b.size);
      pairsBefore += pairs;
      if (!isOpen(reachAfter, a.after, b.after)) pairsLost += pairs;
    }
  }
  // Between devices of one person other rules count: pairs that only they open, and pairs that they keep open.
  for (const own of byUser.values()) {
    for (const [a, countA] of own) {
      for (const [b, countB] of own) {
        const pairs = countA * (a === b ? countB - 1 : countB);
        const wasOpen = isOpen(reachBefore, a.before, b.before);
        const staysOpen = isOpen(reachAfter, a.after, b.after);
        if (!wasOpen && ownBefore(a)) {
          pairsBefore += pairs;
          if (!staysOpen && !ownAfter(a, b)) pairsLost += pairs;
        } else if (wasOpen && !staysOpen && ownAfter(a, b)) pairsLost -= pairs;
      }
    }
  }
  return { pairsBefore, pairsLost };
};

/** Whether some device of an administrator may connect to anything at all. */
const administratorsReach = ({ nodes, userOf }: GuardSide, reach: Reach): boolean => {
  const targets = new Set(nodes.map(({ id }) => reach.classOf(id) as number));
  return nodes.some(({ id, user }) => {
    if (user === null || !ADMINISTRATORS.has(userOf(user)?.role ?? 'member')) return false;
    const cls = reach.classOf(id) as number;
    return reach.reachesOwn(cls) || [...targets].some((target) => reach.reaches(cls, target));
  });
};

/** Routes that some other node may use, exit routes and subnets apart. */
const routesInUse = (
  { nodes }: GuardSide,
  population: Population,
  reach: Reach,
): { exits: number; subnets: number } => {
  const onePerClass = new Map<number | undefined, NodeId>();
  for (const { id } of nodes) if (!onePerClass.has(reach.classOf(id))) onePerClass.set(reach.classOf(id), id);
  const used = new Set<string>();
  for (const router of nodes) {
    if (router.approvedRoutes.length === 0) continue;
    const others = new Set(onePerClass.values());
    for (const viewer of others) {
      if (viewer === router.id || !population.sees(viewer, router.id)) continue;
      const { allowedIPs } = population.peerView(viewer, router.id);
      const taken = new Set<Prefix>(allowedIPs);
      for (const route of router.approvedRoutes)
        if (taken.has(route)) used.add(`${isExitRoute(route) ? 'exit' : 'subnet'} ${route}`);
    }
  }
  const count = (kind: string): number => [...used].filter((entry) => entry.startsWith(kind)).length;
  return { exits: count('exit'), subnets: count('subnet') };
};

/** People of whom no node is let in any more. */
const usersWithoutNodes = (before: GuardSide, after: GuardSide): readonly UserId[] => {
  const left = new Set(after.nodes.map(({ id }) => id));
  const users = new Map<UserId, boolean>();
  for (const { id, user } of before.nodes)
    if (user !== null) users.set(user, (users.get(user) ?? false) || left.has(id));
  return [...users].filter(([, stays]) => !stays).map(([user]) => user);
};

const asTest = ({ src, proto, accept, deny, at }: Invariant, index: number): AccessTest => ({
  index,
  at,
  source: src,
  protocol: proto ?? '',
  postureAttributes: new Map(),
  accept: accept.map((text) => ({ text, at })),
  deny: deny.map((text) => ({ text, at })),
});

const invariantKey = ({ src, proto, accept, deny }: Invariant): string => JSON.stringify([src, proto, accept, deny]);

/** Invariants of both sides: a change may not break what it removes in the same step. */
const brokenInvariants = (before: Snapshot, { snapshot, nodes, userOf }: GuardSide): readonly GuardFinding[] => {
  const invariants = new Map(
    [...before.tailnet.invariants, ...snapshot.tailnet.invariants].map((each) => [invariantKey(each), each]),
  );
  const { policy } = snapshot;
  return [...invariants.values()].flatMap((invariant, index): GuardFinding[] => {
    const isBroken =
      policy.document === null
        ? invariant.deny.length > 0
        : runTests(
            { ...policy, document: { ...policy.document, tests: [asTest(invariant, index)], sshTests: [] } },
            nodes,
            userOf,
          ).length > 0;
    if (!isBroken) return [];
    const parts = [
      ...(invariant.accept.length > 0 ? [`reach ${invariant.accept.join(', ')}`] : []),
      ...(invariant.deny.length > 0 ? [`not reach ${invariant.deny.join(', ')}`] : []),
    ];
    const why = invariant.why === undefined ? '' : ` (${invariant.why})`;
    return [
      {
        rule: 'invariant',
        message: `The invariant «${invariant.src} can ${parts.join(' and ')}» would be broken${why}.`,
      },
    ];
  });
};

/** What a change would take away beyond the limits of the last good snapshot; empty: it may pass. */
export const guardChange = (before: GuardSide, after: GuardSide): readonly GuardFinding[] => {
  const limits = before.snapshot.tailnet.guard;
  const reachBefore = reachOf(before.snapshot.policy, before.nodes, before.userOf);
  const reachAfter = reachOf(after.snapshot.policy, after.nodes, after.userOf);
  const findings: GuardFinding[] = [];
  const hold = (rule: GuardRule, message: string): void => {
    const allowedBy = `${TRAILER}: ${rule} ${digestOf(rule, before.snapshot, after.snapshot)}`;
    findings.push({ rule, message, allowedBy });
  };

  const { pairsBefore, pairsLost } = countLostAccess(before, reachBefore, reachAfter);
  const { pairsPercent, pairsAtLeast } = limits;
  if (pairsLost >= pairsAtLeast && pairsLost * 100 > pairsBefore * pairsPercent) {
    hold('access', `${pairsLost} of ${pairsBefore} reachable pairs of nodes would be cut off, over ${pairsPercent} %.`);
  }
  if (limits.administrators && administratorsReach(before, reachBefore) && !administratorsReach(after, reachAfter)) {
    hold('administrators', 'No device of an owner or administrator could reach anything any more.');
  }
  if (limits.routers && before.nodes.some(({ approvedRoutes }) => approvedRoutes.length > 0)) {
    const was = routesInUse(before, populate(before.snapshot.policy, before.nodes, before.userOf), reachBefore);
    const will = routesInUse(after, populate(after.snapshot.policy, after.nodes, after.userOf), reachAfter);
    const lost = [
      ...(was.exits > 0 && will.exits === 0 ? ['exit node'] : []),
      ...(was.subnets > 0 && will.subnets === 0 ? ['subnet router'] : []),
    ];
    if (lost.length > 0) hold('routers', `Every ${lost.join(' and every ')} in use would be lost.`);
  }
  const users = limits.userNodes ? usersWithoutNodes(before, after) : [];
  if (users.length > 0) {
    const names = users.slice(0, 3).map((id) => before.userOf(id)?.login ?? `user ${id}`);
    const more = users.length > 3 ? ` and ${users.length - 3} more` : '';
    hold('user-nodes', `All nodes of ${names.join(', ')}${more} would be cut off.`);
  }
  return [...findings, ...brokenInvariants(before.snapshot, after)];
};

// Nodes that no selector of the policy tells apart are one class. A node's class key is made of what selectors ask about
// (tags, owner's groups and roles, literals that hold its addresses, postures) and of its approved routes. Everything that
// is worked out for a class is worked out once; its index is what the bitsets of rules hold.

import { addressBits, isExitRoute, prefixBits, prefixRange, widthOf } from '../base/address.ts';
import type { Address, AddressBits, Family, Prefix } from '../base/address.ts';
import { setTouches, type IpRange } from '../base/ipset.ts';
import type { AddressAtom, CompiledPolicy } from './compile.ts';
import type { PolicyNode, PolicyUser, Role } from './facts.ts';
import { assertionHolds } from './posture.ts';

/** What the nodes of a class have in common. */
export interface ClassTraits {
  readonly key: string;
  /** What the nodes are asked about and answer yes to, apart from their addresses. */
  readonly identityAtoms: readonly number[];
  /** Literals and ip sets that hold an address of every node of the class. */
  readonly addressAtoms: readonly number[];
  /** Literals and ip sets that overlap an approved subnet route. */
  readonly routeAtoms: readonly number[];
  /** Approved subnet routes, sorted. */
  readonly routes: readonly Prefix[];
  /** Approved exit routes. */
  readonly exitRoutes: readonly Prefix[];
  /** They lead to the internet: exit nodes, and app connectors, which carry what they found for names. */
  readonly leadsOut: boolean;
  readonly postures: ReadonlySet<string>;
  /** Zero for people's devices. */
  readonly tagCount: number;
  readonly tagged: boolean;
  readonly role: Role | null;
}

interface LiteralTable {
  /** Prefix lengths that occur, longest first. */
  readonly lengths: readonly number[];
  readonly byLength: ReadonlyMap<number, ReadonlyMap<bigint, number>>;
  /** Sorted by first address. */
  readonly firsts: readonly bigint[];
  readonly atoms: readonly number[];
}

/** Tells the class of a node. Answers for the same tags, owner and addresses are the same for the life of the policy. */
export interface Classifier {
  traitsOf(node: PolicyNode, owner: PolicyUser | undefined): ClassTraits;
}

const buildLiterals = (policy: CompiledPolicy, family: Family): LiteralTable => {
  const byLength = new Map<number, Map<bigint, number>>();
  const sorted: { first: bigint; atom: number }[] = [];
  for (const atom of policy.atoms) {
    if (atom.kind !== 'address' || atom.prefix?.family !== family) continue;
    const { first, length } = atom.prefix;
    let level = byLength.get(length);
    if (!level) byLength.set(length, (level = new Map()));
    level.set(first, atom.id);
    sorted.push({ first, atom: atom.id });
  }
  sorted.sort((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : 0));
  return {
    lengths: [...byLength.keys()].sort((a, b) => b - a),
    byLength,
    firsts: sorted.map(({ first }) => first),
    atoms: sorted.map(({ atom }) => atom),
  };
};

/** Literals that hold the whole prefix, the narrowest first. */
const holdersOf = (table: LiteralTable, { family, bits }: AddressBits, length: number): number[] => {
  const found: number[] = [];
  for (const level of table.lengths) {
    if (level > length) continue;
    const shift = BigInt(widthOf(family) - level);
    const atom = table.byLength.get(level)?.get((bits >> shift) << shift);
    if (atom !== undefined) found.push(atom);
  }
  return found;
};

/** Literals that lie inside the range. */
const insidersOf = (table: LiteralTable, { first, last }: IpRange): number[] => {
  let low = 0;
  let high = table.firsts.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((table.firsts[middle] as bigint) < first) low = middle + 1;
    else high = middle;
  }
  const found: number[] = [];
  for (; low < table.firsts.length && (table.firsts[low] as bigint) <= last; low++)
    found.push(table.atoms[low] as number);
  return found;
};

export const createClassifier = (policy: CompiledPolicy): Classifier => {
  const { lookup } = policy;
  const literals = { 4: buildLiterals(policy, 4), 6: buildLiterals(policy, 6) };
  const ipsets = policy.atoms.filter(
    (atom): atom is typeof atom & AddressAtom => atom.kind === 'address' && atom.prefix === undefined,
  );
  const hasLiterals = literals[4].atoms.length + literals[6].atoms.length + ipsets.length > 0;
  const userAtoms = new Map<string, readonly number[]>();

  const identityOf = (node: PolicyNode, owner: PolicyUser | undefined): readonly number[] => {
    const atoms: number[] = lookup.any === undefined ? [] : [lookup.any];
    if (node.tags.length > 0 || node.user === null) {
      for (const tag of node.tags) {
        const atom = lookup.byTag.get(tag);
        if (atom !== undefined) atoms.push(atom);
      }
      if (lookup.tagged !== undefined) atoms.push(lookup.tagged);
      return atoms.sort((a, b) => a - b);
    }
    const cacheKey = owner === undefined ? '' : `${owner.role} ${owner.login}`;
    const cached = userAtoms.get(cacheKey);
    if (cached) return cached;
    if (lookup.member !== undefined) atoms.push(lookup.member);
    if (owner !== undefined) {
      const login = owner.login.toLowerCase();
      atoms.push(...(lookup.byLogin.get(login) ?? []), ...(lookup.byRole.get(owner.role) ?? []));
      const domain = lookup.byDomain.get(owner.login.slice(owner.login.lastIndexOf('@') + 1));
      if (domain !== undefined) atoms.push(domain);
    }
    const sorted = [...new Set(atoms)].sort((a, b) => a - b);
    userAtoms.set(cacheKey, sorted);
    return sorted;
  };

  const addressAtomsOf = (addresses: readonly Address[]): readonly number[] => {
    if (!hasLiterals) return [];
    const found = new Set<number>();
    for (const address of addresses) {
      const bits = addressBits(address);
      for (const atom of holdersOf(literals[bits.family], bits, widthOf(bits.family))) found.add(atom);
      const range = { family: bits.family, first: bits.bits, last: bits.bits };
      for (const { id, set } of ipsets) if (setTouches(set, range)) found.add(id);
    }
    return [...found].sort((a, b) => a - b);
  };

  const routeAtoms = new Map<Prefix, readonly number[]>();
  const routeAtomsOf = (route: Prefix): readonly number[] => {
    let atoms = routeAtoms.get(route);
    if (!atoms) {
      const bits = prefixBits(route);
      const range = prefixRange(route);
      const table = literals[range.family];
      const found = new Set([...holdersOf(table, bits, bits.length), ...insidersOf(table, range)]);
      for (const { id, set } of ipsets) if (setTouches(set, range)) found.add(id);
      atoms = [...found];
      routeAtoms.set(route, atoms);
    }
    return atoms;
  };

  const posturesOf = (node: PolicyNode): ReadonlySet<string> => {
    const passed = new Set<string>();
    for (const name of policy.usedPostures) {
      const posture = policy.document?.postures.get(name);
      if (posture?.assertions.every((assertion) => assertionHolds(assertion, node.posture)) === true) passed.add(name);
    }
    return passed;
  };

  return {
    traitsOf: (node, owner) => {
      const tagged = node.user === null || node.tags.length > 0;
      const routes: Prefix[] = [];
      const exitRoutes: Prefix[] = [];
      for (const route of new Set(node.approvedRoutes)) (isExitRoute(route) ? exitRoutes : routes).push(route);
      if (routes.length > 1) routes.sort();
      if (exitRoutes.length > 1) exitRoutes.sort();
      const identityAtoms = identityOf(node, owner);
      const addressAtoms = addressAtomsOf(node.addresses);
      const postures = policy.usedPostures.length === 0 ? NO_POSTURES : posturesOf(node);
      const role = tagged ? null : (owner?.role ?? 'member');
      const tagCount = tagged ? node.tags.length : 0;
      const key = [
        tagged ? `tagged ${tagCount}` : role,
        identityAtoms.join(' '),
        addressAtoms.join(' '),
        routes.join(' '),
        exitRoutes.join(' '),
        node.connector === true ? 'connector' : '',
        [...postures].join(' '),
      ].join('|');
      return {
        key,
        identityAtoms,
        addressAtoms,
        routeAtoms: routes.length === 0 ? [] : [...new Set(routes.flatMap(routeAtomsOf))],
        routes,
        exitRoutes,
        leadsOut: exitRoutes.length > 0 || node.connector === true,
        postures,
        tagCount,
        tagged,
        role,
      };
    },
  };
};

const NO_POSTURES: ReadonlySet<string> = new Set();

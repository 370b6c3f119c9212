// A policy document and the declared people → rules over atoms: everything that can be worked out before there is a node.
// An atom is one selector's question to a node ("do you carry tag:web?"); equal selectors anywhere in the file share it.
// Frozen, shareable data; `populate` applies it to nodes.

import { widthOf, type Family } from '../base/address.ts';
import type { Json } from '../base/canonical.ts';
import { EMPTY_SET, ipSetOfRanges, type IpSet } from '../base/ipset.ts';
import { ALL_PORTS, type CapMap, type PortRange } from '../wire/filter.ts';
import type { AccessRule, NodeAttributes, PolicyDocument, SshAccessRule } from './document.ts';
import type { Role, TailnetFacts } from './facts.ts';
import { TCP } from './ports.ts';
import { formatSpan } from './ranges.ts';
import type { Selector, SelectorKind } from './selector.ts';

export interface CompiledPolicy {
  /** Null where the tailnet has no policy file: everything in the tailnet may talk to everything. */
  readonly document: PolicyDocument | null;
  readonly tailnet: TailnetFacts;
  readonly atoms: readonly Atom[];
  /** Where to look up the atoms of a node. */
  readonly lookup: AtomLookup;
  readonly sourceSets: readonly SourceSet[];
  /** In the order of filters: grants before ACLs, each in the order of the file. */
  readonly rules: readonly CompiledRule[];
  readonly ssh: readonly CompiledSshRule[];
  readonly attributes: readonly { readonly atoms: readonly number[]; readonly entry: NodeAttributes }[];
  /** The postures that some rule asks for: a node's answers to these are part of its class. */
  readonly usedPostures: readonly string[];
}

export type Atom = { readonly id: number } & (
  | { readonly kind: 'any' | 'member' | 'tagged' | 'internet' | 'danger-all' }
  | { readonly kind: 'user' | 'group' | 'domain' | 'role' | 'tag'; readonly name: string }
  | AddressAtom
);

/** A literal or an ip set: chooses addresses, and nodes only through their addresses. */
export interface AddressAtom {
  readonly kind: 'address';
  /** As in filters: one literal, or the ranges of an ip set. */
  readonly texts: readonly string[];
  readonly set: IpSet;
  /** Set for a literal: the prefix that it is. */
  readonly prefix?: { readonly family: Family; readonly first: bigint; readonly length: number };
}

export interface AtomLookup {
  /** By lower-cased login: the person and their groups. */
  readonly byLogin: ReadonlyMap<string, readonly number[]>;
  readonly byDomain: ReadonlyMap<string, number>;
  readonly byRole: ReadonlyMap<Role, readonly number[]>;
  readonly byTag: ReadonlyMap<string, number>;
  readonly any?: number;
  readonly member?: number;
  readonly tagged?: number;
}

/** Sources of rules. Rules that write the same sources share one. */
export interface SourceSet {
  readonly id: number;
  /** Sorted. */
  readonly atoms: readonly number[];
  /** Postures of which a node must have one; empty: none is asked for. */
  readonly postures: readonly string[];
  /** Holds `*` or autogroup:danger-all. */
  readonly any: boolean;
  readonly dangerAll: boolean;
}

/** What a rule gives to the nodes that enforce it. `self` rules count between devices of one user only. */
export type CompiledRule = {
  readonly index: number;
  /** Whom the rule lets in; the set's id. */
  readonly sources: number;
  readonly self: boolean;
  /** Null for the allow-all of a policy without rules; an SSH rule for the way to its recorders. */
  readonly from: AccessRule | SshAccessRule | null;
} & (
  | {
      readonly kind: 'ports';
      readonly protocol: number | null;
      readonly destinations: readonly CompiledDestination[];
      /** The ports of a self rule; its destination is the node itself. */
      readonly ports: readonly PortRange[];
      /** Atoms of tags; a node must carry one of them. Empty: no steering. */
      readonly via: readonly number[];
      /** Makes nodes and routes visible without being in any filter: an app grant through a router. */
      readonly silent: boolean;
    }
  | { readonly kind: 'capability'; readonly destinations: readonly number[]; readonly capMap: CapMap }
  /** The other direction of a capability: stands on the nodes of the set `holders`. */
  | { readonly kind: 'companion'; readonly holders: number; readonly capMap: CapMap }
);

export interface CompiledDestination {
  readonly atom: number;
  readonly ports: readonly PortRange[];
}

export interface CompiledSshRule {
  readonly rule: SshAccessRule;
  readonly sources: number;
  /** The atoms of the sources one by one, because principals are listed once for each. */
  readonly sourceAtoms: readonly number[];
  /** Tags and users. */
  readonly destinations: readonly number[];
  readonly self: boolean;
  /** Tags of session recorders. */
  readonly recorders: readonly number[];
}

/** The capability that a well-known one brings along in the other direction, in the order of filters. */
const COMPANIONS: readonly (readonly [string, string])[] = [
  ['tailscale.com/cap/drive', 'tailscale.com/cap/drive-sharer'],
  ['tailscale.com/cap/relay', 'tailscale.com/cap/relay-target'],
];

/** Roles that count as the role: an owner is an admin as well. */
const ROLES_WITHIN: Partial<Record<Role, readonly Role[]>> = { admin: ['admin', 'owner'] };

interface Interner {
  readonly atoms: Atom[];
  readonly sets: SourceSet[];
  atom(selector: SelectorKind): number | undefined;
  set(atoms: readonly number[], postures: readonly string[]): number;
}

const createInterner = (document: PolicyDocument | null): Interner => {
  const atoms: Atom[] = [];
  const sets: SourceSet[] = [];
  const atomIds = new Map<string, number>();
  const setIds = new Map<string, number>();
  const intern = (key: string, make: (id: number) => Atom): number => {
    let id = atomIds.get(key);
    if (id === undefined) {
      id = atoms.length;
      atomIds.set(key, id);
      atoms.push(make(id));
    }
    return id;
  };
  const named = (kind: 'user' | 'group' | 'domain' | 'role' | 'tag', name: string): number =>
    intern(`${kind} ${name}`, (id) => ({ id, kind, name }));
  return {
    atoms,
    sets,
    atom: (selector) => {
      switch (selector.kind) {
        case 'any':
        case 'member':
        case 'tagged':
        case 'internet':
        case 'danger-all':
          return intern(selector.kind, (id) => ({ id, kind: selector.kind }));
        case 'user':
          return named('user', selector.login.toLowerCase());
        case 'group':
          return named('group', selector.name);
        case 'domain':
          return named('domain', selector.domain);
        case 'role':
          return named('role', selector.role);
        case 'tag':
          return named('tag', selector.tag);
        case 'address': {
          const { literal, range } = selector;
          const { family, first } = range;
          const slash = literal.indexOf('/');
          const length = slash < 0 ? widthOf(family) : Number(literal.slice(slash + 1));
          return intern(`address ${literal}`, (id) => ({
            id,
            kind: 'address',
            texts: [literal],
            set: ipSetOfRanges([range]),
            prefix: { family, first, length },
          }));
        }
        case 'ipset': {
          const set = document?.ipsets.get(selector.name)?.set ?? EMPTY_SET;
          return intern(`ipset ${selector.name}`, (id) => ({ id, kind: 'address', texts: rangeTexts(set), set }));
        }
        // Nobody has accepted a share, services have no hosts yet, and one's own devices are no class.
        default:
          return undefined;
      }
    },
    set: (atomsOf, postures) => {
      const sorted = [...new Set(atomsOf)].sort((a, b) => a - b);
      const key = `${sorted.join(' ')}|${[...postures].sort().join(' ')}`;
      let id = setIds.get(key);
      if (id === undefined) {
        id = sets.length;
        setIds.set(key, id);
        const has = (kind: Atom['kind']): boolean => sorted.some((atom) => atoms[atom]?.kind === kind);
        sets.push({ id, atoms: sorted, postures, any: has('any'), dangerAll: has('danger-all') });
      }
      return id;
    },
  };
};

/** Pure and total: every document that `readPolicy` lets through compiles. Null compiles to allow-all. */
export const compilePolicy = (document: PolicyDocument | null, tailnet: TailnetFacts): CompiledPolicy => {
  const interner = createInterner(document);
  const rules: CompiledRule[] = [];
  const access =
    document && (document.acls ?? document.grants) ? [...(document.grants ?? []), ...(document.acls ?? [])] : null;
  if (access) for (const rule of access) compileAccess(interner, rule, rules);
  else {
    const any = interner.atom({ kind: 'any' }) as number;
    rules.push({
      index: 0,
      kind: 'ports',
      from: null,
      sources: interner.set([any], []),
      self: false,
      protocol: null,
      destinations: [{ atom: any, ports: [ALL_PORTS] }],
      ports: [],
      via: [],
      silent: false,
    });
  }
  const ssh = (document?.ssh ?? []).map((rule) => compileSsh(interner, rule));
  for (const compiled of ssh) addRecorderRule(interner, compiled, rules);
  const attributes = (document?.nodeAttrs ?? []).map((entry) => ({
    atoms: atomsOf(interner, entry.targets),
    entry,
  }));
  return {
    document,
    tailnet,
    atoms: interner.atoms,
    lookup: buildLookup(interner.atoms, document),
    sourceSets: interner.sets,
    rules,
    ssh,
    attributes,
    usedPostures: [...new Set(interner.sets.flatMap(({ postures }) => postures))].sort(),
  };
};

const atomsOf = (interner: Interner, selectors: readonly Selector[]): number[] =>
  selectors.flatMap((selector) => interner.atom(selector) ?? []);

/** A rule before it knows its place in the list. */
type Draft = Unplaced<CompiledRule>;
type Unplaced<R> = R extends unknown ? Omit<R, 'index' | 'from'> : never;

const compileAccess = (interner: Interner, rule: AccessRule, out: CompiledRule[]): void => {
  const add = (draft: Draft): void => {
    out.push({ ...draft, index: out.length, from: rule } as CompiledRule);
  };
  if (rule.sources.length === 0 || rule.destinations.length === 0) return;
  const sources = interner.set(atomsOf(interner, rule.sources), rule.srcPosture);
  for (const { protocol, ports } of rule.traffic) {
    addPortRules(interner, rule, { sources, protocol, ports, silent: false }, add);
  }
  if (rule.app.length === 0) return;
  if (rule.via.length > 0) {
    // The service leaves the capabilities out; with no traffic beside them it still shows the routers and their routes.
    if (rule.traffic.length === 0) {
      addPortRules(interner, rule, { sources, protocol: null, ports: [ALL_PORTS], silent: true }, add);
    }
    return;
  }
  const capMap: Record<string, readonly Json[]> = {};
  for (const { name, values } of rule.app) capMap[name] = values;
  const destinations = atomsOf(
    interner,
    rule.destinations.map(({ selector }) => selector),
  );
  const hasSelf = rule.destinations.some(({ selector }) => selector.kind === 'self');
  const parts = [...(destinations.length > 0 ? [false] : []), ...(hasSelf ? [true] : [])];
  for (const self of parts) add({ kind: 'capability', sources, self, destinations: self ? [] : destinations, capMap });
  for (const [name, companion] of COMPANIONS) {
    if (!rule.app.some((capability) => capability.name === name)) continue;
    for (const self of parts) {
      const reversed = self ? sources : interner.set(destinations, []);
      add({ kind: 'companion', sources: reversed, self, holders: sources, capMap: { [companion]: null } });
    }
  }
};

/** One rule for the destinations of the tailnet, one for the source's own devices. */
const addPortRules = (
  interner: Interner,
  rule: AccessRule,
  shared: {
    readonly sources: number;
    readonly protocol: number | null;
    readonly ports: readonly PortRange[];
    readonly silent: boolean;
  },
  add: (draft: Draft) => void,
): void => {
  const { sources, protocol, silent } = shared;
  const byAtom = new Map<number, PortRange[]>();
  const selfPorts: PortRange[] = [];
  for (const { selector, ports = shared.ports } of rule.destinations) {
    if (selector.kind === 'self') {
      for (const range of ports) selfPorts.push(range);
      continue;
    }
    const atom = interner.atom(selector);
    if (atom === undefined) continue;
    // A selector that is written again is gathered at its first place.
    const gathered = byAtom.get(atom);
    if (gathered) for (const range of ports) gathered.push(range);
    else byAtom.set(atom, [...ports]);
  }
  const destinations = Array.from(byAtom, ([atom, ports]) => ({ atom, ports }));
  const via = rule.via.flatMap((tag) => interner.atom({ kind: 'tag', tag }) ?? []);
  const base = { kind: 'ports', sources, protocol, via, silent } as const;
  const others: Draft[] = destinations.length > 0 ? [{ ...base, self: false, destinations, ports: [] }] : [];
  const own: Draft[] = selfPorts.length > 0 ? [{ ...base, self: true, destinations: [], ports: selfPorts }] : [];
  // The service isn't consistent here; this order fits every answer of it that we know.
  const selfFirst =
    rule.destinations[0]?.selector.kind === 'self' &&
    rule.destinations.every(({ selector }) => selector.text.startsWith('autogroup:'));
  for (const draft of selfFirst ? [...own, ...others] : [...others, ...own]) add(draft);
};

const compileSsh = (interner: Interner, rule: SshAccessRule): CompiledSshRule => {
  const sourceAtoms = [...new Set(atomsOf(interner, rule.sources))];
  return {
    rule,
    sources: interner.set(sourceAtoms, rule.srcPosture),
    sourceAtoms,
    destinations: atomsOf(interner, rule.destinations),
    self: rule.destinations.some(({ kind }) => kind === 'self'),
    recorders: rule.recorders.flatMap((tag) => interner.atom({ kind: 'tag', tag }) ?? []),
  };
};

const RECORDER_PORTS: readonly PortRange[] = [{ First: 80, Last: 80 }];

/** Sessions are recorded by the node that is logged in to, so it must reach the recorders whatever the other rules say. */
const addRecorderRule = (interner: Interner, compiled: CompiledSshRule, out: CompiledRule[]): void => {
  if (compiled.recorders.length === 0) return;
  const recorded = [...compiled.destinations, ...(compiled.self ? compiled.sourceAtoms : [])];
  out.push({
    index: out.length,
    kind: 'ports',
    from: compiled.rule,
    sources: interner.set(recorded, []),
    self: false,
    protocol: TCP,
    destinations: compiled.recorders.map((atom) => ({ atom, ports: RECORDER_PORTS })),
    ports: [],
    via: [],
    silent: false,
  });
};

const buildLookup = (atoms: readonly Atom[], document: PolicyDocument | null): AtomLookup => {
  const byLogin = new Map<string, number[]>();
  const byDomain = new Map<string, number>();
  const byRole = new Map<Role, number[]>();
  const byTag = new Map<string, number>();
  const single: { any?: number; member?: number; tagged?: number } = {};
  const addLogin = (login: string, id: number): void => {
    const ids = byLogin.get(login);
    if (!ids) byLogin.set(login, [id]);
    else if (ids.at(-1) !== id) ids.push(id);
  };
  for (const atom of atoms) {
    const { id } = atom;
    if (atom.kind === 'user') addLogin(atom.name, id);
    else if (atom.kind === 'group') {
      for (const member of document?.groups.get(atom.name)?.members ?? []) {
        if (member.kind === 'user') addLogin(member.login.toLowerCase(), id);
      }
    } else if (atom.kind === 'domain') byDomain.set(atom.name, id);
    else if (atom.kind === 'role') {
      const wanted = atom.name as Role;
      for (const role of ROLES_WITHIN[wanted] ?? [wanted]) byRole.set(role, [...(byRole.get(role) ?? []), id]);
    } else if (atom.kind === 'tag') byTag.set(atom.name, id);
    else if (atom.kind === 'any' || atom.kind === 'member' || atom.kind === 'tagged') single[atom.kind] = id;
  }
  return { byLogin, byDomain, byRole, byTag, ...single };
};

/** Ranges as the service prints those it makes itself: `a-b` even where a prefix would do. */
const rangeTexts = (set: IpSet): string[] => [...set.v4, ...set.v6].map((range) => formatSpan(range));

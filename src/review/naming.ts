// Names for sets of units, as a person would say them: «group:ops», «tag:db», «every machine except tag:db», not forty
// addresses. A name is used only where everything that it means, its exceptions apart, is in the set: it never says too much.

import { isExitRoute, type Address, type Prefix } from '../base/address.ts';
import {
  formatRange,
  ipSetOf,
  ipSetOfRanges,
  ipSetRanges,
  isEmptySet,
  setCovers,
  setsEqual,
  subtractSets,
  unionSets,
  type IpRange,
  type IpSet,
} from '../base/ipset.ts';
import type { NodeId } from '../base/ids.ts';
import { bitsOf, type Bitset } from '../policy/bitset.ts';
import { INTERNET_SET, TAILNET_SET } from '../policy/ranges.ts';
import { nameOfNode, type ReviewedTailnet } from './tailnet.ts';
import type { Unit } from './units.ts';

export type PartyKind = 'people' | 'own' | 'group' | 'person' | 'tag' | 'node' | 'addresses' | 'everything';

/** Part of a set of nodes and addresses, by its name. */
export interface Party {
  readonly kind: PartyKind;
  /** As the policy writes it: `group:ops`, `tag:db`, `alice@example.com`, `10.0.0.0/8`; a node by its full name. */
  readonly name: string;
  /** How many nodes it means now, its exceptions apart; 0 for addresses. */
  readonly nodes: number;
  /** What the name would mean and is not meant. */
  readonly except?: readonly Party[];
  /** Names of hosts inside a range of addresses. */
  readonly holds?: readonly string[];
}

/** A name with its exceptions, for a line of text. Exceptions have none of their own. */
export const formatParty = ({ name, except = [] }: Party): string =>
  except.length === 0 ? name : `${name} (except ${except.map(({ name: one }) => one).join(', ')})`;

interface Candidate extends Party {
  readonly units: ReadonlySet<number>;
  readonly members: ReadonlySet<NodeId>;
}

/** Of two names that mean the same, the narrower one is told. */
const RANK: Readonly<Record<PartyKind, number>> = {
  tag: 0,
  person: 1,
  group: 2,
  people: 3,
  own: 3,
  everything: 4,
  node: 5,
  addresses: 6,
};

/** A wide name with exceptions is told where it saves this many names, and leaves out no more than a part of what it means. */
const SAVED = 2;
const EXCEPTIONS = 3;
const LEFT_OUT = 1 / 3;

/** Tells a set of units in names; empty where nobody is in it. */
export type Naming = (set: Bitset) => readonly Party[];

/** Names of one side. Made once for a review and asked often. */
export const createNaming = (tailnet: ReviewedTailnet, units: readonly Unit[]): Naming => {
  const { document } = tailnet.side.policy;
  const unitOf = new Map<NodeId, number>();
  for (const unit of units) if (unit.kind === 'nodes') for (const id of unit.members) unitOf.set(id, unit.index);
  const present = (unit: number): readonly NodeId[] => {
    const found = units[unit];
    return found?.kind === 'nodes' ? found.members.filter((id) => tailnet.nodes.has(id)) : [];
  };

  const candidates: Candidate[] = [];
  const add = (kind: PartyKind, name: string, ids: readonly NodeId[]): void => {
    if (ids.length === 0) return;
    const members = new Set(ids);
    const inside = new Set(ids.map((id) => unitOf.get(id) as number));
    // A name that means only a part of some unit can't be told from the rest of it.
    for (const unit of inside) if (present(unit).some((id) => !members.has(id))) return;
    candidates.push({ kind, name, nodes: members.size, units: inside, members });
  };
  const byOwner = new Map<string, NodeId[]>();
  const byTag = new Map<string, NodeId[]>();
  const tagged: NodeId[] = [];
  const people: NodeId[] = [];
  for (const [id, { owner, tags }] of tailnet.nodes) {
    if (owner === null) tagged.push(id);
    else {
      people.push(id);
      const own = byOwner.get(owner.toLowerCase());
      if (own) own.push(id);
      else byOwner.set(owner.toLowerCase(), [id]);
    }
    for (const tag of tags) {
      const list = byTag.get(tag);
      if (list) list.push(id);
      else byTag.set(tag, [id]);
    }
  }
  add('everything', 'every machine', [...tailnet.nodes.keys()]);
  add('people', 'autogroup:member', people);
  add('people', 'autogroup:tagged', tagged);
  for (const { name, members } of document?.groups.values() ?? []) {
    add(
      'group',
      name,
      members.flatMap((member) => (member.kind === 'user' ? (byOwner.get(member.login.toLowerCase()) ?? []) : [])),
    );
  }
  for (const [login, ids] of byOwner) add('person', tailnet.snapshot.userByLogin.get(login)?.login ?? login, ids);
  for (const [tag, ids] of byTag) add('tag', tag, ids);
  candidates.sort((a, b) => b.nodes - a.nodes || RANK[a.kind] - RANK[b.kind] || (a.name < b.name ? -1 : 1));

  const hosts = [...(document?.hosts.values() ?? [])].map(({ name, literal }) => ({
    name,
    set: ipSetOf([literal as Address | Prefix]),
  }));
  const networks = new Set<string>([
    ...tailnet.side.policy.atoms.flatMap((atom) => (atom.kind === 'address' && atom.prefix ? atom.texts : [])),
    ...[...tailnet.nodes.values()].flatMap(({ approvedRoutes }) => approvedRoutes.filter((one) => !isExitRoute(one))),
  ]);
  const known = [...networks].map((text) => ({ name: text, set: ipSetOf([text as Address | Prefix]) }));

  /** The fewest names that mean exactly these units. */
  const nameUnits = (chosen: ReadonlySet<number>): Party[] => {
    const parties: Party[] = [];
    const left = new Set(chosen);
    for (const { kind, name, nodes, units: inside } of candidates) {
      if (left.size === 0) break;
      let helps = false;
      let fits = true;
      for (const unit of inside) {
        if (!chosen.has(unit)) {
          fits = false;
          break;
        }
        if (left.has(unit)) helps = true;
      }
      if (!fits || !helps) continue;
      parties.push({ kind, name, nodes });
      for (const unit of inside) left.delete(unit);
    }
    for (const unit of left) {
      for (const id of present(unit)) parties.push({ kind: 'node', name: nameOfNode(tailnet, id), nodes: 1 });
    }
    return parties;
  };

  const sizeOf = (set: Iterable<number>): number => [...set].reduce((sum, unit) => sum + present(unit).length, 0);

  /** «Every machine except …» where that is much shorter. */
  const nameWithExceptions = (chosen: ReadonlySet<number>): Party[] => {
    const plain = nameUnits(chosen);
    if (plain.length <= SAVED) return plain;
    const wide: Party[] = [];
    let left: ReadonlySet<number> = chosen;
    for (const { kind, name, nodes, units: inside } of candidates) {
      if (kind !== 'everything' && kind !== 'people') continue;
      const missing = new Set([...inside].filter((unit) => !left.has(unit)));
      if (missing.size === 0 || sizeOf(missing) > nodes * LEFT_OUT) continue;
      const meant = new Set([...inside].filter((unit) => left.has(unit)));
      const except = nameUnits(missing);
      if (except.length > EXCEPTIONS || nameUnits(meant).length < except.length + 1 + SAVED) continue;
      wide.push({ kind, name, nodes: sizeOf(meant), except });
      left = new Set([...left].filter((unit) => !inside.has(unit)));
    }
    return wide.length === 0 ? plain : [...wide, ...nameUnits(left)];
  };

  return (set) => {
    const chosen = new Set<number>();
    const ranges: IpRange[] = [];
    for (const index of bitsOf(set)) {
      const unit = units[index] as Unit;
      if (unit.kind === 'addresses') ranges.push(unit.range);
      else if (present(index).length > 0) chosen.add(index);
    }
    return [...nameWithExceptions(chosen), ...nameRanges(ranges, hosts, known)];
  };
};

interface NamedSet {
  readonly name: string;
  readonly set: IpSet;
}

const HOLDS = 5;

/** Ranges by the name of a host that is just this range, else as the shortest text. The tailnet's own go without saying. */
const nameRanges = (ranges: readonly IpRange[], hosts: readonly NamedSet[], networks: readonly NamedSet[]): Party[] => {
  const set = ipSetOfRanges(ranges);
  if (isEmptySet(set)) return [];
  const internet = ipSetRanges(INTERNET_SET).every((range) => setCovers(set, range));
  const rest = subtractSets(set, internet ? unionSets(INTERNET_SET, TAILNET_SET) : TAILNET_SET);
  const party = (name: string): Party => ({ kind: 'addresses', name, nodes: 0 });
  const nameRange = (range: IpRange): Party => {
    const own = ipSetOfRanges([range]);
    const host = hosts.find((one) => setsEqual(one.set, own));
    const holds = hosts.flatMap(({ name, set }) =>
      name !== host?.name && ipSetRanges(set).every((each) => setCovers(own, each)) ? [name] : [],
    );
    const named = party(host ? `${host.name} (${formatRange(range)})` : formatRange(range));
    return holds.length > 0 ? { ...named, holds: holds.slice(0, HOLDS) } : named;
  };
  const pieces = ipSetRanges(rest);
  const first = pieces[0];
  if (pieces.length > 1 && first) {
    // A network of which only a little is missing is told by what is missing.
    const wide = networks
      .map(({ name, set }) => ({ name, set, missing: subtractSets(set, rest) }))
      .filter(({ set, missing }) => setCovers(set, first) && ipSetRanges(missing).length < EXCEPTIONS)
      .find(({ set, missing }) => ipSetRanges(missing).length < pieces.length && isMostly(missing, set));
    if (wide) {
      const named = nameRange(ipSetRanges(wide.set)[0] as IpRange);
      const except = ipSetRanges(wide.missing).map(nameRange);
      const excepted = new Set(except.flatMap(({ name, holds = [] }) => [name.split(' (')[0] as string, ...holds]));
      const holds = named.holds?.filter((name) => !excepted.has(name)) ?? [];
      const others = ipSetRanges(subtractSets(rest, wide.set)).map(nameRange);
      return [
        ...(internet ? [party('the internet')] : []),
        { ...party(named.name), except, ...(holds.length > 0 ? { holds } : {}) },
        ...others,
      ];
    }
  }
  return [...(internet ? [party('the internet')] : []), ...pieces.map(nameRange)];
};

const countOf = (set: IpSet): bigint => ipSetRanges(set).reduce((sum, { first, last }) => sum + last - first + 1n, 0n);

/** Whether what is missing is less than half of the whole. */
const isMostly = (missing: IpSet, whole: IpSet): boolean =>
  !isEmptySet(missing) && countOf(missing) * 2n < countOf(whole);

// Names for sets of units, as a person would say them: «group:ops», «tag:db», «alice@example.com», not forty addresses. A
// name is used only where everything that it means is in the set, so a name never says too much.

import type { Address, Prefix } from '../base/address.ts';
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
  /** How many nodes it means now; 0 for addresses. */
  readonly nodes: number;
}

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

  return (set) => {
    const chosen = new Set<number>();
    const ranges: IpRange[] = [];
    for (const index of bitsOf(set)) {
      const unit = units[index] as Unit;
      if (unit.kind === 'addresses') ranges.push(unit.range);
      else if (present(index).length > 0) chosen.add(index);
    }
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
      for (const id of present(unit)) {
        parties.push({ kind: 'node', name: nameOfNode(tailnet, id), nodes: 1 });
      }
    }
    for (const name of nameRanges(ranges, hosts)) parties.push({ kind: 'addresses', name, nodes: 0 });
    return parties;
  };
};

/** Ranges by the name of a host that is just this range, else as the shortest text. The tailnet's own go without saying. */
const nameRanges = (ranges: readonly IpRange[], hosts: readonly { name: string; set: IpSet }[]): string[] => {
  const set = ipSetOfRanges(ranges);
  if (isEmptySet(set)) return [];
  const internet = ipSetRanges(INTERNET_SET).every((range) => setCovers(set, range));
  const rest = subtractSets(set, internet ? unionSets(INTERNET_SET, TAILNET_SET) : TAILNET_SET);
  const names = ipSetRanges(rest).map((range) => {
    const host = hosts.find((one) => setsEqual(one.set, ipSetOfRanges([range])));
    return host ? `${host.name} (${formatRange(range)})` : formatRange(range);
  });
  return internet ? ['the internet', ...names] : names;
};

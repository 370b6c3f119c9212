// Differences in SSH: who may now open a shell on what, as which login, and where a confirmation was added or dropped. Read
// from the SSH policies that nodes would get, without what a client is given only for being a source of a rule (for its unit,
// that would read as access between its own devices); the first rule that fits decides, as in the client (ssh/tailssh).

import type { NodeId } from '../base/ids.ts';
import type { Address } from '../base/address.ts';
import {
  addAll,
  addBit,
  createBitset,
  intersectBitsets,
  isEmptyBitset,
  subtractBitsets,
  type Bitset,
} from '../policy/bitset.ts';
import type { SshRule } from '../wire/ssh.ts';
import { OWN } from './access.ts';
import { samplePairs, type Cause, type Tracer } from './causes.ts';
import type { Comparison } from './comparison.ts';
import type { Party } from './naming.ts';
import type { ReviewedTailnet } from './tailnet.ts';
import type { Unit } from './units.ts';

export type ShellAnswer = 'deny' | 'check' | 'accept';

export interface ShellChange {
  readonly from: ShellAnswer;
  readonly to: ShellAnswer;
  readonly who: readonly Party[];
  readonly what: readonly Party[];
  /** Login names on the destination; `*` is every login that no rule names, but never root. */
  readonly logins: readonly string[];
  readonly causes: readonly Cause[];
}

const ANSWERS: readonly ShellAnswer[] = ['deny', 'check', 'accept'];

const answerOf = ({ action }: SshRule): ShellAnswer =>
  action.accept ? 'accept' : action.holdAndDelegate === undefined ? 'deny' : 'check';

/** One line for everybody who may open shells on just their own devices, instead of one for each. */
const gatherOwn = (changes: readonly ShellChange[]): readonly ShellChange[] => {
  const isOwn = ({ who, what }: ShellChange): boolean =>
    who.length === 1 && what.length === 1 && who[0]?.kind === 'person' && who[0].name === what[0]?.name;
  const own = Map.groupBy(changes.filter(isOwn), ({ from, to, logins }) => [from, to, ...logins].join(' '));
  return [
    ...changes.filter((change) => !isOwn(change)),
    ...[...own.values()].flatMap((group) =>
      group
        .slice(0, 1)
        .map((first) => ({ ...first, who: group.flatMap(({ who }) => who), what: [OWN], causes: first.causes })),
    ),
  ];
};

/** Every difference in who may open which shell. */
export const diffShells = ({ before, after, units, names }: Comparison, tracer: Tracer): readonly ShellChange[] => {
  const everybody = createBitset(units.length);
  for (const { index } of units) addBit(everybody, index);

  const readerOf = (tailnet: ReviewedTailnet, which: 'before' | 'after') => {
    const byAddress = new Map<Address, number>();
    for (const unit of units)
      if (unit.kind === 'nodes') for (const address of unit[which]?.addresses ?? []) byAddress.set(address, unit.index);
    const rulesOf = (unit: Unit): readonly SshRule[] => {
      const node: NodeId | undefined = unit.kind === 'nodes' ? unit[which]?.id : undefined;
      return node === undefined ? [] : tailnet.side.population.shellRulesOn(node);
    };
    const sourcesOf = ({ principals }: SshRule): Bitset => {
      const set = createBitset(units.length);
      for (const { nodeIP } of principals) {
        const unit = byAddress.get(nodeIP as Address);
        if (unit !== undefined) addBit(set, unit);
      }
      return set;
    };
    return {
      loginsOf: (unit: Unit): string[] => rulesOf(unit).flatMap(({ sshUsers }) => Object.keys(sshUsers)),
      /** For each answer, who gets it. */
      answersOf: (unit: Unit, login: string): Readonly<Record<ShellAnswer, Bitset>> => {
        const found = {
          accept: createBitset(units.length),
          check: createBitset(units.length),
          deny: createBitset(units.length),
        };
        let undecided = everybody;
        for (const rule of rulesOf(unit)) {
          const local = rule.sshUsers[login] ?? rule.sshUsers['*'];
          if (local === undefined || local === '') continue;
          const sources = intersectBitsets(undecided, sourcesOf(rule));
          addAll(found[answerOf(rule)], sources);
          undecided = subtractBitsets(undecided, sources);
        }
        addAll(found.deny, undecided);
        return found;
      },
    };
  };
  const was = readerOf(before, 'before');
  const is = readerOf(after, 'after');

  const groups = new Map<
    string,
    { from: ShellAnswer; to: ShellAnswer; sources: Bitset; destinations: Bitset; logins: Set<string> }
  >();
  for (const unit of units) {
    if (unit.kind !== 'nodes') continue;
    const logins = new Set([...was.loginsOf(unit), ...is.loginsOf(unit)]);
    const found = new Map<string, { from: ShellAnswer; to: ShellAnswer; sources: Bitset; logins: string[] }>();
    for (const login of logins) {
      const old = was.answersOf(unit, login);
      const now = is.answersOf(unit, login);
      for (const from of ANSWERS) {
        for (const to of ANSWERS) {
          if (from === to) continue;
          const sources = intersectBitsets(old[from], now[to]);
          if (isEmptyBitset(sources)) continue;
          const id = `${from} ${to} ${sources.words.join()}`;
          const known = found.get(id);
          if (known) known.logins.push(login);
          else found.set(id, { from, to, sources, logins: [login] });
        }
      }
    }
    for (const [id, { from, to, sources, logins: list }] of found) {
      const key = `${id} ${list.sort().join()}`;
      const group = groups.get(key) ?? {
        from,
        to,
        sources,
        destinations: createBitset(units.length),
        logins: new Set(list),
      };
      addBit(group.destinations, unit.index);
      groups.set(key, group);
    }
  }
  const changes = [...groups.values()].flatMap(({ from, to, sources, destinations, logins }): ShellChange[] => {
    const isLess = ANSWERS.indexOf(to) < ANSWERS.indexOf(from);
    const name = isLess ? names.lost : names.gained;
    const who = name(sources);
    const what = name(destinations);
    if (who.length === 0 || what.length === 0) return [];
    const [login = '*'] = logins;
    const causes = tracer.shells(samplePairs(sources, destinations), login, isLess);
    return [{ from, to, who, what, logins: [...logins], causes }];
  });
  return gatherOwn(changes);
};

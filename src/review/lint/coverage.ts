// Which selectors hold which: the ground for "never reached", "already covered" and "nobody can". Answers come from the
// declared people and the policy's own tables, never from nodes, so that they hold in a pull request as well.

import type { IpRange } from '../../base/ipset.ts';
import { TAILNET_SET } from '../../policy/ranges.ts';
import { setCovers, setTouches } from '../../base/ipset.ts';
import type { PolicyDocument } from '../../policy/document.ts';
import type { Selector } from '../../policy/selector.ts';
import type { PortRange } from '../../wire/filter.ts';
import type { User } from '../../snapshot/snapshot.ts';

export interface Coverage {
  /** Whoever `inner` chooses, `outer` chooses too. False on doubt. */
  readonly covers: (outer: Selector, inner: Selector, side: 'source' | 'destination') => boolean;
  /** Some node or address may be chosen by both. True on doubt. */
  readonly meets: (a: Selector, b: Selector) => boolean;
  /** The logins of the declared people that a selector chooses; undefined where it doesn't choose by person. */
  readonly peopleOf: (selector: Selector) => ReadonlySet<string> | undefined;
}

const lower = (text: string): string => text.toLowerCase();

const within = (outer: IpRange, inner: IpRange): boolean =>
  outer.family === inner.family && outer.first <= inner.first && inner.last <= outer.last;

export const portsCover = (outer: readonly PortRange[], inner: readonly PortRange[]): boolean =>
  inner.every(({ First, Last }) => outer.some((range) => range.First <= First && Last <= range.Last));

export const createCoverage = (policy: PolicyDocument | null, users: readonly User[]): Coverage => {
  const active = users.filter(({ disabled }) => !disabled);
  const known = new Map<string, ReadonlySet<string> | undefined>();

  const choose = (selector: Selector): ReadonlySet<string> | undefined => {
    switch (selector.kind) {
      case 'user':
        return new Set([lower(selector.login)]);
      case 'group':
        return new Set(policy?.groups.get(selector.name)?.members.flatMap((member) => [...(peopleOf(member) ?? [])]));
      case 'domain':
        return new Set(
          active.map(({ login }) => lower(login)).filter((login) => login.endsWith(`@${lower(selector.domain)}`)),
        );
      case 'member':
        return new Set(active.map(({ login }) => lower(login)));
      case 'role':
        // Owners are administrators too.
        return new Set(
          active
            .filter(({ role }) => role === selector.role || (selector.role === 'admin' && role === 'owner'))
            .map(({ login }) => lower(login)),
        );
      default:
        return undefined;
    }
  };
  const peopleOf = (selector: Selector): ReadonlySet<string> | undefined => {
    if (!known.has(selector.text)) known.set(selector.text, choose(selector));
    return known.get(selector.text);
  };

  const covers: Coverage['covers'] = (outer, inner, side) => {
    if (outer.text === inner.text || outer.kind === 'danger-all') return true;
    if (outer.kind === 'any') {
      if (side === 'destination') return true;
      if (inner.kind === 'address') return setCovers(TAILNET_SET, inner.range);
      return inner.kind !== 'danger-all' && inner.kind !== 'ipset' && inner.kind !== 'shared';
    }
    if (outer.kind === 'tagged') return inner.kind === 'tag';
    if (outer.kind === 'address') return inner.kind === 'address' && within(outer.range, inner.range);
    if (outer.kind === 'member') return ['user', 'group', 'domain', 'role'].includes(inner.kind);
    // Who has a role, or comes by a domain, changes without the policy: only named people are compared.
    if (outer.kind !== 'group' && outer.kind !== 'user' && outer.kind !== 'domain') return false;
    if (inner.kind !== 'group' && inner.kind !== 'user') return false;
    const inside = peopleOf(inner) ?? new Set();
    return inside.size > 0 && inside.isSubsetOf(peopleOf(outer) ?? new Set());
  };

  const meets: Coverage['meets'] = (a, b) => {
    if (a.kind === 'address' && b.kind === 'address') {
      return a.range.family === b.range.family && a.range.first <= b.range.last && b.range.first <= a.range.last;
    }
    const [peopleA, peopleB] = [peopleOf(a), peopleOf(b)];
    if (peopleA && peopleB) {
      // Undeclared people of a domain rule are members, too.
      if (a.kind === 'member' || b.kind === 'member' || a.kind === 'domain' || b.kind === 'domain') return true;
      return !peopleA.isDisjointFrom(peopleB);
    }
    if (a.kind === 'tag' && b.kind === 'tag') return a.tag === b.tag;
    const tagged = (selector: Selector): boolean => selector.kind === 'tag' || selector.kind === 'tagged';
    if ((tagged(a) && peopleB) || (tagged(b) && peopleA)) return false;
    if ((a.kind === 'self' && tagged(b)) || (b.kind === 'self' && tagged(a))) return false;
    return true;
  };
  return { covers, meets, peopleOf };
};

/** Whether an address selector may hold a range that is routed; true on doubt. */
export const mayReach = (selector: Selector, range: IpRange, policy: PolicyDocument): boolean => {
  switch (selector.kind) {
    case 'any':
      return true;
    case 'address':
      return (
        selector.range.family === range.family &&
        selector.range.first <= range.last &&
        range.first <= selector.range.last
      );
    case 'ipset':
      return setTouches(policy.ipsets.get(selector.name)?.set ?? { v4: [], v6: [] }, range);
    default:
      return false;
  }
};

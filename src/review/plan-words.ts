// A plan in words: the same sections and lines for a terminal and for a pull request, each wrapped in its own marks. Names
// come from the repository and from machines, so every renderer escapes each part by itself.

import type { AccessChange, Traffic } from './access.ts';
import type { CapabilityChange } from './capabilities.ts';
import type { Area } from './declared.ts';
import type { Party } from './naming.ts';
import { formatAt, formatCause, isEmptyPlan, loginText, type Plan } from './plan.ts';
import type { ShellChange } from './shells.ts';

/** A stretch of a line: our own words, a name from the outside, or a place. */
export type Word = { readonly say: string } | { readonly name: string } | { readonly place: string };

export interface Line {
  readonly mark: '+' | '-' | '~' | '!' | ' ';
  readonly words: readonly Word[];
  /** Where it comes from. */
  readonly because: readonly string[];
}

export interface Section {
  readonly title: string;
  readonly lines: readonly Line[];
}

const say = (text: string): Word => ({ say: text });

const list = (items: readonly Word[]): Word[] =>
  items.flatMap((item, i) => (i === 0 ? [item] : [say(i === items.length - 1 ? ' and ' : ', '), item]));

const NODE_NOTE_FROM = 2;

const parties = (all: readonly Party[]): Word[] =>
  list(all.map(({ name }) => ({ name }))).concat(
    all.some(({ nodes }) => nodes >= NODE_NOTE_FROM) && all.length === 1 ? [say(` (${all[0]?.nodes} machines)`)] : [],
  );

const isAll = ({ ports }: Traffic): boolean => ports === '*';

/** `every port`, `tcp 22`, `tcp 80,443 and udp 53`. */
export const trafficText = (traffic: readonly Traffic[]): string => {
  const full = new Set(traffic.filter(isAll).map(({ protocol }) => protocol));
  if (full.has('tcp') && full.has('udp') && traffic.every(isAll)) return 'every port';
  return traffic
    .map(({ protocol, ports }) =>
      ports === '*' ? (protocol === 'icmp' ? 'ping' : `all ${protocol}`) : `${protocol} ${ports}`,
    )
    .join(' and ');
};

const accessLine = (change: AccessChange): Line => ({
  mark: change.direction === 'gained' ? '+' : '-',
  words: [...parties(change.who), say(' → '), ...parties(change.what), say(`: ${trafficText(change.traffic)}`)],
  because: change.causes.map(formatCause),
});

const SHELL: Readonly<Record<ShellChange['to'], string>> = { accept: '', check: ', after a confirmation', deny: '' };

const shellLine = ({ from, to, who, what, logins, causes }: ShellChange): Line => ({
  mark: to === 'deny' ? '-' : from === 'deny' ? '+' : '~',
  words: [
    ...parties(who),
    say(' → '),
    ...parties(what),
    say(': shell as '),
    ...list(logins.map((login) => ({ name: loginText(login) }))),
    say(to === 'accept' && from === 'check' ? ', without a confirmation now' : SHELL[to]),
  ],
  because: causes.map(formatCause),
});

const capabilityLine = ({ direction, capability, values, who, what, causes }: CapabilityChange): Line => {
  const text = values.length > 0 ? JSON.stringify(values) : '';
  return {
    mark: direction === 'gained' ? '+' : '-',
    words: [
      ...parties(who),
      ...(what.length > 0 ? [say(' → '), ...parties(what)] : []),
      say(what.length > 0 ? ': capability ' : ': attribute '),
      { name: capability },
      ...(text === '' ? [] : [say(' '), { name: text.length > 80 ? `${text.slice(0, 79)}…` : text }]),
    ],
    because: causes.map(formatCause),
  };
};

const TITLES: Readonly<Record<Area, string>> = {
  people: 'People',
  routes: 'Routes',
  dns: 'Names',
  keys: 'Keys',
  nodes: 'Machines',
  relays: 'Relays',
  settings: 'Settings',
  policy: 'Policy',
};

const MARKS = { added: '+', removed: '-', changed: '~' } as const;

/** Everything that the plan says, in the order in which it matters to a reviewer. */
export const sectionsOf = (plan: Plan): readonly Section[] => {
  const gained = plan.access.filter(({ direction }) => direction === 'gained');
  const lost = plan.access.filter(({ direction }) => direction === 'lost');
  const areas = Map.groupBy(plan.declared, ({ area }) => area);
  const machines: Line[] = [
    ...plan.nodes.added.map((name): Line => ({ mark: '+', words: [{ name }, say(' is let in')], because: [] })),
    ...plan.nodes.removed.map((name): Line => ({ mark: '-', words: [{ name }, say(' is cut off')], because: [] })),
  ];
  return [
    {
      title: 'The server would hold this change',
      lines: plan.guard.map(({ message, allowedBy }): Line => ({
        mark: '!',
        words: [
          say(message),
          ...(allowedBy === undefined ? [] : [say(' To let it pass, a later commit says: '), { name: allowedBy }]),
        ],
        because: [],
      })),
    },
    { title: 'Who gains access', lines: gained.map(accessLine) },
    { title: 'Who loses access', lines: lost.map(accessLine) },
    { title: 'Shells', lines: plan.shells.map(shellLine) },
    { title: 'Capabilities', lines: plan.capabilities.map(capabilityLine) },
    { title: 'Machines', lines: machines },
    ...[...areas].map(([area, changes]) => ({
      title: TITLES[area],
      lines: changes.map(({ kind, text, at }): Line => ({
        mark: MARKS[kind],
        words: [{ name: text }],
        because: at ? [formatAt(at)] : [],
      })),
    })),
  ].filter(({ lines }) => lines.length > 0);
};

const count = (amount: number, one: string, many = `${one}s`): string => `${amount} ${amount === 1 ? one : many}`;

/** One line that says it all: for the head of a comment or a commit status. */
export const summaryOf = (plan: Plan): string => {
  if (isEmptyPlan(plan)) return 'Nobody gains or loses access.';
  const gained = plan.access.filter(({ direction }) => direction === 'gained').length;
  const lost = plan.access.length - gained;
  const other = plan.shells.length + plan.capabilities.length + plan.declared.length;
  const parts = [
    ...(gained > 0 ? [`${count(gained, 'gain')} of access`] : []),
    ...(lost > 0 ? [`${count(lost, 'loss', 'losses')} of access`] : []),
    ...(other > 0 ? [count(other, 'other change')] : []),
    ...(plan.exact ? [`${count(plan.nodes.affected, 'machine')} of ${plan.nodes.total} affected`] : []),
  ];
  return `${parts.join(', ') || 'Machines come or go'}. Risk: ${plan.risk}.`;
};

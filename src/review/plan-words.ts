// A plan in words: the same sections and lines for a terminal and for a pull request, each wrapped in its own marks. Names
// come from the repository and from machines, so every renderer escapes each part by itself.

import type { AccessChange } from './access.ts';
import type { CapabilityChange } from './capabilities.ts';
import type { Cause } from './causes.ts';
import type { Area, DeclaredChange } from './differences.ts';
import type { Party } from './naming.ts';
import { isEmptyPlan, type Plan } from './plan.ts';
import { loginTexts, type Judged, type Risk } from './risk.ts';
import type { ShellChange } from './shells.ts';
import { trafficText } from './traffic-words.ts';

/** A stretch of a line: a sentence, or a name as the files write it. Both may hold text from the outside. */
export type Word = { readonly say: string } | { readonly name: string };

export interface Line {
  readonly mark: '+' | '-' | '~' | '!' | ' ';
  readonly risk: Risk;
  readonly words: readonly Word[];
  /** Where it comes from. */
  readonly because: readonly Because[];
  /** More of the same, from the same lines. */
  readonly also?: readonly (readonly Word[])[];
}

/** A place in the files of one side; what stands there, where that isn't said by the line itself. */
export type Because = Pick<Cause, 'side' | 'at'> & { readonly what?: string };

export interface Section {
  readonly title: string;
  readonly lines: readonly Line[];
}

const say = (text: string): Word => ({ say: text });

const list = (items: readonly Word[]): Word[] =>
  items.flatMap((item, i) => (i === 0 ? [item] : [say(i === items.length - 1 ? ' and ' : ', '), item]));

const NODE_NOTE_FROM = 2;
/** Names of a line; more are counted. */
const NAMES_SHOWN = 8;

const nameWords = ({ name, except = [], holds = [] }: Party): Word[] => {
  const named = (names: readonly string[]): Word[] => list(names.map((one) => ({ name: one })));
  const notes = [
    ...(except.length > 0 ? [[say('except '), ...named(except.map((one) => one.name))]] : []),
    ...(holds.length > 0 ? [[say('with '), ...named(holds), say(' in it')]] : []),
  ];
  if (notes.length === 0) return [{ name }];
  return [{ name }, say(' ('), ...notes.flatMap((note, i) => (i === 0 ? note : [say('; '), ...note])), say(')')];
};

const parties = (all: readonly Party[]): Word[] => {
  const shown = all.length > NAMES_SHOWN ? all.slice(0, NAMES_SHOWN - 1) : all;
  const rest = all.length - shown.length;
  const parts = [...shown.map(nameWords), ...(rest > 0 ? [[say(`${rest} more`)]] : [])];
  const words = parts.flatMap((part, i) => (i === 0 ? part : [say(i === parts.length - 1 ? ' and ' : ', '), ...part]));
  const [only] = all;
  return only && all.length === 1 && only.nodes >= NODE_NOTE_FROM
    ? [...words, say(` (${only.nodes} machines)`)]
    : words;
};

/** Whether there was anything before, or is anything left. */
const wholeText = ({ whole, direction }: AccessChange): string =>
  whole ? (direction === 'gained' ? '; had no access before' : '; has no access any more') : '';

const accessWords = (change: AccessChange): Word[] => [
  ...parties(change.who),
  say(' → '),
  ...parties(change.what),
  say(`: ${trafficText(change.traffic)}${wholeText(change)}`),
];

/** The same for what differs in ports and people only: short, as it stands below the main line. */
const alsoWords = ({ who, traffic }: AccessChange): Word[] => [
  say(`${trafficText(traffic)}: `),
  ...parties(who.map(({ kind, name, nodes, except = [] }) => ({ kind, name, nodes, except }))),
];

/** One mention of each line, with all that is on it. */
const becauseOf = (causes: readonly Cause[]): readonly Because[] =>
  [...Map.groupBy(causes, ({ side, at }) => `${side} ${at.file}:${at.start.line}`).values()].flatMap((group) =>
    group.slice(0, 1).map(({ side, at }) => ({ side, at, what: group.map(({ what }) => what).join(', ') })),
  );

const keyOf = (value: unknown): string => JSON.stringify(value);

/** From so many destinations on that somebody reaches by the same lines, they are listed below one another. */
const LISTED_FROM = 3;

/** What the same lines of a file open or close is told as one: its largest part, and the others below it. */
const accessLines = (changes: readonly Judged<AccessChange>[]): Line[] => {
  const lineOf = (
    [first, ...others]: readonly Judged<AccessChange>[],
    head: (change: AccessChange) => Word[],
    alsoOf: (change: AccessChange) => Word[],
  ): Line[] =>
    first
      ? [
          {
            mark: first.direction === 'gained' ? '+' : '-',
            risk: first.risk,
            words: head(first),
            because: becauseOf(first.causes),
            ...(others.length > 0 ? { also: others.map(alsoOf) } : {}),
          },
        ]
      : [];
  const grouped = <T>(items: readonly T[], keyOfItem: (item: T) => string): T[][] => [
    ...Map.groupBy(items, keyOfItem).values(),
  ];
  const byDestination = grouped(changes, (change) =>
    keyOf(change.causes.length === 0 ? changes.indexOf(change) : [change.what, change.causes]),
  );
  return grouped(byDestination, (group) =>
    keyOf(group.length === 1 ? [group[0]?.who, group[0]?.causes] : byDestination.indexOf(group)),
  ).flatMap((groups): Line[] => {
    const all = groups.flat();
    const [first] = all;
    if (groups.length < LISTED_FROM || !first || first.causes.length === 0) {
      return groups.flatMap((group) => lineOf(group, accessWords, alsoWords));
    }
    const head = (): Word[] => [...parties(first.who), say(` → ${all.length} destinations:`)];
    return lineOf([first, ...all], head, ({ what, traffic }) => [...parties(what), say(`: ${trafficText(traffic)}`)]);
  });
};

interface Exchange {
  readonly lost: Judged<AccessChange>;
  readonly gained: Judged<AccessChange>;
}

/** Who loses one way to something and gains another: mostly a port that was changed, on purpose or by a slip. */
const exchangesOf = (access: readonly Judged<AccessChange>[]): readonly Exchange[] =>
  [
    ...Map.groupBy(access, ({ who, what }) =>
      keyOf([who.map(({ name }) => name), what.map(({ name }) => name)]),
    ).values(),
  ].flatMap((group): Exchange[] => {
    const [gained, lost] = (['gained', 'lost'] as const).map((way) =>
      group.filter(({ direction }) => direction === way),
    );
    return gained?.length === 1 && lost?.length === 1
      ? [{ gained: gained[0] as Judged<AccessChange>, lost: lost[0] as Judged<AccessChange> }]
      : [];
  });

const exchangeLine = ({ lost, gained }: Exchange): Line => ({
  mark: '~',
  risk: gained.risk,
  words: [
    ...parties(gained.who),
    say(' → '),
    ...parties(gained.what),
    say(`: ${trafficText(gained.traffic)} instead of ${trafficText(lost.traffic)}`),
  ],
  because: becauseOf(gained.causes.length > 0 ? gained.causes : lost.causes),
});

const SHELL: Readonly<Record<ShellChange['to'], string>> = { accept: '', check: ', after a confirmation', deny: '' };

const shellLine = ({ from, to, who, what, logins, causes, risk }: Judged<ShellChange>): Line => ({
  risk,
  mark: to === 'deny' ? '-' : from === 'deny' ? '+' : '~',
  words: [
    ...parties(who),
    say(' → '),
    ...parties(what),
    say(': shell as '),
    ...list(loginTexts(logins).map((login) => ({ name: login }))),
    say(to === 'accept' && from === 'check' ? ', without a confirmation now' : SHELL[to]),
  ],
  because: becauseOf(causes),
});

const capabilityLine = ({ direction, capability, values, who, what, causes }: CapabilityChange): Line => {
  const text = values.length > 0 ? JSON.stringify(values) : '';
  return {
    risk: 'low',
    mark: direction === 'gained' ? '+' : '-',
    words: [
      ...parties(who),
      ...(what.length > 0 ? [say(' → '), ...parties(what)] : []),
      say(what.length > 0 ? ': capability ' : ': attribute '),
      { name: capability },
      ...(text === '' ? [] : [say(' '), { name: text.length > 80 ? `${text.slice(0, 79)}…` : text }]),
    ],
    because: becauseOf(causes),
  };
};

const GAINED = 'Who gains access';
const LOST = 'Who loses access';
const CHANGED = 'Whose access changes';

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

/** What explains much of the rest. */
const FIRST_AREAS: readonly Area[] = ['people', 'policy'];

const areaSections = (
  changes: ReadonlyMap<Area, readonly Judged<DeclaredChange>[]>,
  areas: readonly Area[],
): readonly Section[] =>
  areas.map((area) => ({
    title: TITLES[area],
    lines: (changes.get(area) ?? []).map(({ kind, text, side = 'after', at, risk }): Line => ({
      mark: MARKS[kind],
      risk,
      words: [say(text)],
      because: at ? [{ side, at }] : [],
    })),
  }));

/** Everything that the plan says, in the order in which it matters to a reviewer. */
export const sectionsOf = (plan: Plan): readonly Section[] => {
  const exchanges = exchangesOf(plan.access);
  const exchanged = new Set(exchanges.flatMap(({ lost, gained }) => [lost, gained]));
  const access = plan.access.filter((change) => !exchanged.has(change));
  const gained = access.filter(({ direction }) => direction === 'gained');
  const lost = access.filter(({ direction }) => direction === 'lost');
  const areas = Map.groupBy(plan.declared, ({ area }) => area);
  const machines: Line[] = [
    ...plan.nodes.added.map((name): Line => ({
      mark: '+',
      risk: 'low',
      words: [{ name }, say(' is let in')],
      because: [],
    })),
    ...plan.nodes.removed.map((name): Line => ({
      mark: '-',
      risk: 'low',
      words: [{ name }, say(' is cut off')],
      because: [],
    })),
  ];
  const sections: Section[] = [
    {
      title: 'The server would hold this change',
      lines: plan.guard.map(({ message, allowedBy }): Line => ({
        mark: '!',
        risk: 'high',
        words: [
          say(message),
          ...(allowedBy === undefined ? [] : [say(' To let it pass, a later commit says: '), { name: allowedBy }]),
        ],
        because: [],
      })),
    },
    ...areaSections(areas, FIRST_AREAS),
    { title: GAINED, lines: accessLines(gained) },
    { title: LOST, lines: accessLines(lost) },
    { title: CHANGED, lines: exchanges.map(exchangeLine) },
    { title: 'Shells', lines: plan.shells.map(shellLine) },
    { title: 'Capabilities', lines: plan.capabilities.map(capabilityLine) },
    { title: 'Machines', lines: machines },
    ...areaSections(
      areas,
      [...areas.keys()].filter((area) => !FIRST_AREAS.includes(area)),
    ),
  ];
  return [...Map.groupBy(sections, ({ title }) => title)].flatMap(([title, parts]) => {
    const lines = parts.flatMap((part) => part.lines);
    return lines.length > 0 ? [{ title, lines }] : [];
  });
};

const count = (amount: number, one: string, many = `${one}s`): string => `${amount} ${amount === 1 ? one : many}`;

/** What there is to read, counted. */
export const countsOf = (plan: Plan): string => {
  if (isEmptyPlan(plan)) return 'Nobody gains or loses access.';
  const lines = new Map(sectionsOf(plan).map(({ title, lines }) => [title, lines.length] as const));
  const [gained = 0, lost = 0, changed = 0] = [GAINED, LOST, CHANGED].map((title) => lines.get(title));
  const other = plan.capabilities.length + plan.declared.length;
  const parts = gained + lost + changed + plan.shells.length;
  const told = [
    ...(gained > 0 ? [`${count(gained, 'gain')} of access`] : []),
    ...(lost > 0 ? [`${count(lost, 'loss', 'losses')} of access`] : []),
    ...(changed > 0 ? [`${count(changed, 'change')} of access`] : []),
    ...(plan.shells.length > 0 ? [count(plan.shells.length, 'change of shells', 'changes of shells')] : []),
    ...(other > 0 ? [count(other, parts === 0 ? 'change' : 'other change')] : []),
  ];
  const { affected, total } = plan.nodes;
  const machines = plan.exact
    ? ` ${affected} of ${count(total, 'machine')} ${affected === 1 ? 'gets' : 'get'} other rules.`
    : '';
  return `${told.join(', ') || 'Machines come or go'}.${machines}`;
};

/** One line that says it all: for a commit status, a log, the head of a picture. */
export const summaryOf = (plan: Plan): string =>
  isEmptyPlan(plan) ? countsOf(plan) : `${countsOf(plan)} Risk: ${plan.risk}.`;

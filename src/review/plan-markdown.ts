// A plan for a pull request: a comment that a reviewer reads in a minute, within the size that code hosts take. Everything
// in it may come from strangers and is escaped.

import { markdownCode, markdownText } from './markdown.ts';
import { countsOf, sectionsOf, type Because, type Line, type Word } from './plan-words.ts';
import type { Plan } from './plan.ts';
import type { Risk } from './risk.ts';

const MARKS: Readonly<Record<Line['mark'], string>> = { '+': '➕', '-': '➖', '~': '✏️', '!': '⛔', ' ': '' };
const WARNINGS: Readonly<Record<Risk, string>> = { none: '', low: '', medium: '🟡 ', high: '🔴 ' };
const HEADS: Readonly<Record<Risk, string>> = {
  none: '⚪ Tailplane: nothing changes for anybody',
  low: '🟢 Tailplane: low risk',
  medium: '🟡 Tailplane: medium risk',
  high: '🔴 Tailplane: high risk',
};
/** Lines of one section that are shown; the rest is folded away. */
const SHOWN = 12;
const MOST = 60;
const REASONS_SHOWN = 6;
const ALSO_SHOWN = 6;
/** Lines of a comment that is read whole. */
const SHORT = 8;

export interface PlanMarkdownOptions {
  /** Where the folders of both sides can be looked at, each ending in a slash. The text of the addresses must be trusted. */
  readonly places?: Readonly<Record<Because['side'], string>>;
}

const words = (all: readonly Word[]): string =>
  all
    .map((one) => ('name' in one ? markdownCode(one.name) : markdownText(one.say).replaceAll('&#8594;', '→')))
    .join('');

const place = ({ side, at: { file, start }, what }: Because, { places }: PlanMarkdownOptions): string => {
  const text = markdownText(`${file}:${start.line}`);
  // What was taken away stands in the old files only; without a link that has to be said.
  const where = places
    ? `[${text}](${places[side]}${encodeURIComponent(file)}#L${start.line})`
    : `${text}${side === 'before' ? ' before' : ''}`;
  return what === undefined ? where : `${markdownText(what)}, ${where}`;
};

const because = (all: readonly Because[], options: PlanMarkdownOptions): string =>
  all.length === 0 ? '' : `<br><sub>${all.map((one) => place(one, options)).join('; ')}</sub>`;

const line = ({ mark, risk, words: all, because: causes, also = [] }: Line, options: PlanMarkdownOptions): string =>
  [
    `- ${MARKS[mark]} ${WARNINGS[risk]}${words(all)}${because(causes, options)}`,
    ...also.slice(0, ALSO_SHOWN).map((one) => `  - ${words(one)}`),
    ...(also.length > ALSO_SHOWN ? [`  - and ${also.length - ALSO_SHOWN} more`] : []),
  ].join('\n');

const block = (lines: readonly Line[], options: PlanMarkdownOptions): string[] => {
  const shown = lines.slice(0, SHOWN).map((one) => line(one, options));
  const folded = lines.slice(SHOWN, MOST).map((one) => line(one, options));
  const rest = lines.length - shown.length - folded.length;
  return [
    ...shown,
    ...(folded.length > 0
      ? ['', `<details><summary>${folded.length} more</summary>`, '', ...folded, '', '</details>']
      : []),
    ...(rest > 0 ? ['', `… and ${rest} more; \`tailplane plan\` shows them all.`] : []),
  ];
};

export const renderPlanMarkdown = (plan: Plan, options: PlanMarkdownOptions = {}): string => {
  const sections = sectionsOf(plan);
  // What is read whole is marked on its lines; of a long comment the worst stands at the top.
  const isShort = sections.reduce((sum, { lines }) => sum + lines.length, 0) <= SHORT;
  const reasons = isShort ? [] : plan.reasons;
  const more = reasons.length - REASONS_SHOWN;
  return [
    `### ${HEADS[plan.risk]}`,
    '',
    `**${markdownText(countsOf(plan))}**`,
    ...(reasons.length > 0
      ? [
          '',
          ...reasons.slice(0, REASONS_SHOWN).map((reason) => `- ⚠️ ${markdownText(reason)}`),
          ...(more > 0 ? [`- and ${more} more like these`] : []),
        ]
      : []),
    ...sections.flatMap(({ title, lines }) => ['', `#### ${title}`, '', ...block(lines, options)]),
    ...(plan.open.length > 0 ? ['', ...plan.open.map((text) => `> ${markdownText(text)}`)] : []),
    '',
  ].join('\n');
};

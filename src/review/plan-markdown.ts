// A plan for a pull request: a comment that a reviewer reads in a minute, within the size that code hosts take. Everything
// in it may come from strangers and is escaped.

import { markdownCode, markdownText } from './markdown.ts';
import { sectionsOf, summaryOf, type Line, type Word } from './plan-words.ts';
import type { Plan, Risk } from './plan.ts';

const MARKS: Readonly<Record<Line['mark'], string>> = { '+': '🟢', '-': '🔴', '~': '🟡', '!': '⛔', ' ': '' };
const RISKS: Readonly<Record<Risk, string>> = { none: '⚪', low: '🟢', medium: '🟡', high: '🔴' };
/** Lines of one section that are shown; the rest is folded away. */
const SHOWN = 12;
const MOST = 60;

const word = (one: Word): string =>
  'say' in one
    ? markdownText(one.say).replaceAll('&#8594;', '→')
    : 'name' in one
      ? markdownCode(one.name)
      : markdownCode(one.place);

const line = ({ mark, words, because }: Line): string =>
  `- ${MARKS[mark]} ${words.map(word).join('')}${because.length === 0 ? '' : `<br><sub>${because.map((text) => markdownText(text)).join(', ')}</sub>`}`;

const block = (lines: readonly Line[]): string[] => {
  const shown = lines.slice(0, SHOWN).map(line);
  const folded = lines.slice(SHOWN, MOST).map(line);
  const rest = lines.length - shown.length - folded.length;
  return [
    ...shown,
    ...(folded.length > 0
      ? ['', `<details><summary>${folded.length} more</summary>`, '', ...folded, '', '</details>']
      : []),
    ...(rest > 0 ? ['', `… and ${rest} more; \`tailplane plan\` shows them all.`] : []),
  ];
};

export const renderPlanMarkdown = (plan: Plan): string =>
  [
    `### ${RISKS[plan.risk]} Tailplane: ${markdownText(summaryOf(plan))}`,
    ...(plan.reasons.length > 0
      ? ['', ...plan.reasons.slice(0, SHOWN).map((reason) => `- ⚠️ ${markdownText(reason)}`)]
      : []),
    ...sectionsOf(plan).flatMap(({ title, lines }) => ['', `#### ${title}`, '', ...block(lines)]),
    ...(plan.open.length > 0 ? ['', ...plan.open.map((text) => `<sub>${markdownText(text)}</sub>`)] : []),
    '',
  ].join('\n');

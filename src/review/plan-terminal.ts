// A plan for a terminal.

import { styleText } from 'node:util';
import { printable } from './excerpt.ts';
import { sectionsOf, summaryOf, type Line, type Word } from './plan-words.ts';
import type { Plan } from './plan.ts';
import type { TerminalOptions } from './terminal.ts';

type Format = Parameters<typeof styleText>[0];

const COLOURS: Readonly<Record<Line['mark'], Format>> = {
  '+': 'green',
  '-': 'red',
  '~': 'yellow',
  '!': ['bold', 'red'],
  ' ': 'reset',
};

export const renderPlanTerminal = (plan: Plan, { colour }: TerminalOptions): string => {
  const style = (format: Format, text: string): string =>
    colour ? styleText(format, text, { validateStream: false }) : text;
  const word = (one: Word): string =>
    'say' in one ? one.say : 'name' in one ? style('bold', printable(one.name)) : printable(one.place);
  const line = ({ mark, words, because }: Line): string => {
    const text = `  ${style(COLOURS[mark], mark)} ${words.map(word).join('')}`;
    return because.length === 0 ? text : `${text}\n      ${style('dim', printable(because.join(', ')))}`;
  };
  return [
    style('bold', summaryOf(plan)),
    ...plan.reasons.map((reason) => `  ${style(COLOURS[plan.risk === 'high' ? '!' : '~'], '!')} ${printable(reason)}`),
    ...sectionsOf(plan).flatMap(({ title, lines }) => ['', style('bold', title), ...lines.map(line)]),
    ...(plan.open.length > 0 ? ['', ...plan.open.map((text) => style('dim', text))] : []),
  ].join('\n');
};

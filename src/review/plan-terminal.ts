// A plan for a terminal.

import { styleText } from 'node:util';
import { printable } from './excerpt.ts';
import { sectionsOf, summaryOf, type Because, type Line, type Word } from './plan-words.ts';
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
  const words = (all: readonly Word[]): string =>
    all.map((one) => ('name' in one ? style('bold', printable(one.name)) : printable(one.say))).join('');
  const place = ({ side, at: { file, start }, what }: Because): string =>
    `${what === undefined ? '' : `${what}, `}${file}:${start.line}${side === 'before' ? ' before' : ''}`;
  const line = ({ mark, words: all, because, also = [] }: Line): string =>
    [
      `  ${style(COLOURS[mark], mark)} ${words(all)}`,
      ...also.map((one) => `      ${words(one)}`),
      ...(because.length === 0 ? [] : [`      ${style('dim', printable(because.map(place).join('; ')))}`]),
    ].join('\n');
  return [
    style('bold', summaryOf(plan)),
    ...plan.reasons.map((reason) => `  ${style(COLOURS[plan.risk === 'high' ? '!' : '~'], '!')} ${printable(reason)}`),
    ...sectionsOf(plan).flatMap(({ title, lines }) => ['', style('bold', title), ...lines.map(line)]),
    ...(plan.open.length > 0 ? ['', ...plan.open.map((text) => style('dim', text))] : []),
  ].join('\n');
};

// A plan as a small picture: who on the left, what on the right, a green line for what is gained and a red one for what is
// lost. It needs no script and no fonts, and names in it are text whatever they look like.

import { printable } from './excerpt.ts';
import type { AccessChange } from './access.ts';
import { summaryOf, trafficText } from './plan-words.ts';
import type { Plan } from './plan.ts';

const MOST = 14;
const ROW = 44;
const TOP = 64;
const BOX = 250;
const WIDTH = 860;
const LONGEST = 30;

const escape = (text: string): string =>
  printable(text).replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);

const short = (text: string): string => (text.length > LONGEST ? `${text.slice(0, LONGEST - 1)}…` : text);

const label = (parties: AccessChange['who']): string => {
  const [first, ...rest] = parties.map(({ name }) => name);
  return rest.length === 0 ? (first ?? '') : `${first} and ${rest.length} more`;
};

const STYLE = `
  text { font: 14px system-ui, sans-serif; fill: light-dark(#1b2430, #e8ecf1); }
  .small { font-size: 12px; fill: light-dark(#5c6b7d, #9aa7b6); }
  .box { fill: light-dark(#ffffff, #1b222b); stroke: light-dark(#c9d2dc, #3a4552); }
  .gained { stroke: light-dark(#0b7a52, #3ecf9d); } .lost { stroke: light-dark(#b23a32, #ff8f86); stroke-dasharray: 6 4; }
  path { fill: none; stroke-width: 2; }
`;

/** An SVG document. Of many changes the largest are drawn, and the rest is counted. */
export const drawPlan = (plan: Plan): string => {
  const shown = plan.access.slice(0, MOST);
  const left = [...new Set(shown.map(({ who }) => label(who)))];
  const right = [...new Set(shown.map(({ what }) => label(what)))];
  const height = TOP + Math.max(left.length, right.length, 1) * ROW + 36;
  const y = (index: number): number => TOP + index * ROW;
  const box = (text: string, x: number, index: number): string =>
    `<rect class="box" x="${x}" y="${y(index)}" width="${BOX}" height="${ROW - 12}" rx="8"/>` +
    `<text x="${x + 12}" y="${y(index) + 21}"><title>${escape(text)}</title>${escape(short(text))}</text>`;
  const lines = shown.map((change, i) => {
    const from = y(left.indexOf(label(change.who))) + 16;
    const to = y(right.indexOf(label(change.what))) + 16;
    const [x1, x2] = [20 + BOX, WIDTH - 20 - BOX];
    const middle = (x1 + x2) / 2;
    const at = 0.35 + 0.3 * ((i % 3) / 2);
    // A point of the curve, so that labels of lines that meet don't stand on each other.
    const t = 1 - at;
    const ly = t ** 3 * from + 3 * t ** 2 * at * from + 3 * t * at ** 2 * to + at ** 3 * to;
    return (
      `<path class="${change.direction}" d="M${x1} ${from} C${middle} ${from} ${middle} ${to} ${x2} ${to}"/>` +
      `<text class="small" text-anchor="middle" x="${x1 + (x2 - x1) * at}" y="${Math.round(ly) - 6}">${escape(short(trafficText(change.traffic)))}</text>`
    );
  });
  const rest = plan.access.length - shown.length;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" role="img">`,
    `<title>${escape(summaryOf(plan))}</title>`,
    `<style>:root { color-scheme: light dark; }${STYLE}</style>`,
    `<text x="20" y="32" font-weight="600">${escape(summaryOf(plan))}</text>`,
    ...lines,
    ...left.map((text, i) => box(text, 20, i)),
    ...right.map((text, i) => box(text, WIDTH - 20 - BOX, i)),
    `<text class="small" x="20" y="${height - 12}">${shown.length === 0 ? 'No access is gained or lost.' : `green: gained, red: lost${rest > 0 ? `; ${rest} smaller changes are not drawn` : ''}`}</text>`,
    '</svg>',
  ].join('\n');
};

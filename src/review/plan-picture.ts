// A plan as a small picture: one row a change, who on the left, what on the right, a green arrow for what is gained and a red
// one for what is lost. It needs no script and no fonts, and names in it are text whatever they look like.

import { printable } from './excerpt.ts';
import type { AccessChange } from './access.ts';
import { formatParty } from './naming.ts';
import { summaryOf } from './plan-words.ts';
import { trafficText } from './traffic-words.ts';
import type { Plan } from './plan.ts';

const MOST = 14;
const ROW = 46;
const GAP = 10;
const TOP = 64;
const BOX = 260;
const WIDTH = 880;
const MARGIN = 20;
const LONGEST_NAME = 30;
const LONGEST_LABEL = 42;

const escape = (text: string): string =>
  printable(text).replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);

const short = (text: string, longest: number): string =>
  text.length > longest ? `${text.slice(0, longest - 1)}…` : text;

const label = (parties: AccessChange['who']): string => {
  const [first, ...rest] = parties.map(formatParty);
  return rest.length === 0 ? (first ?? '') : `${first} and ${rest.length} more`;
};

const STYLE = `
  text { font: 14px system-ui, sans-serif; fill: light-dark(#1b2430, #e8ecf1); }
  .small { font-size: 12px; fill: light-dark(#4a5868, #a7b3c1); }
  .page { fill: light-dark(#ffffff, #0f141a); }
  .box { fill: light-dark(#f6f8fa, #1b222b); stroke: light-dark(#c9d2dc, #3a4552); }
  .gained { stroke: light-dark(#0b7a52, #3ecf9d); } .lost { stroke: light-dark(#b23a32, #ff8f86); stroke-dasharray: 6 4; }
  path { fill: none; stroke-width: 2; }
`;

interface Row {
  readonly change: AccessChange;
  readonly who: string;
  readonly what: string;
}

/** Rows of the same people stand together, and among these rows of the same destination, in the order of the plan. */
const rowsOf = (changes: readonly AccessChange[]): readonly Row[] => {
  const rows = changes.map((change): Row => ({ change, who: label(change.who), what: label(change.what) }));
  return [...Map.groupBy(rows, ({ who }) => who).values()].flatMap((group) =>
    [...Map.groupBy(group, ({ what }) => what).values()].flat(),
  );
};

/** One box for each run of rows with the same name. */
const boxes = (names: readonly string[], x: number): string[] => {
  const drawn: string[] = [];
  for (let from = 0; from < names.length;) {
    const name = names[from] as string;
    let to = from;
    while (names[to + 1] === name) to++;
    const [y, height] = [TOP + from * ROW, (to - from + 1) * ROW - GAP];
    drawn.push(
      `<rect class="box" x="${x}" y="${y}" width="${BOX}" height="${height}" rx="8"/>`,
      `<text x="${x + 12}" y="${y + height / 2 + 5}"><title>${escape(name)}</title>${escape(short(name, LONGEST_NAME))}</text>`,
    );
    from = to + 1;
  }
  return drawn;
};

/** An SVG document. Of many changes the first are drawn, and the rest is counted. */
export const drawPlan = (plan: Plan): string => {
  const rows = rowsOf(plan.access.slice(0, MOST));
  const height = TOP + Math.max(rows.length, 1) * ROW + 30;
  const [x1, x2] = [MARGIN + BOX, WIDTH - MARGIN - BOX];
  const arrows = rows.flatMap(({ change: { direction, traffic } }, i) => {
    const y = TOP + i * ROW + (ROW - GAP) / 2 + 5;
    const text = `${direction === 'gained' ? '+' : '−'} ${trafficText(traffic)}`;
    return [
      `<path class="${direction}" d="M${x1} ${y} H${x2}"/>`,
      `<path class="${direction}" style="stroke-dasharray: none" d="M${x2 - 9} ${y - 5} L${x2 - 1} ${y} L${x2 - 9} ${y + 5}"/>`,
      `<text class="small" text-anchor="middle" x="${(x1 + x2) / 2}" y="${y - 7}"><title>${escape(text)}</title>${escape(short(text, LONGEST_LABEL))}</text>`,
    ];
  });
  const rest = plan.access.length - rows.length;
  const legend =
    rows.length === 0
      ? 'No access is gained or lost.'
      : `+ green: gained, − red: lost${rest > 0 ? `; ${rest} more changes are not drawn` : ''}`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" role="img">`,
    `<title>${escape(summaryOf(plan))}</title>`,
    `<style>:root { color-scheme: light dark; }${STYLE}</style>`,
    `<rect class="page" width="${WIDTH}" height="${height}"/>`,
    `<text x="${MARGIN}" y="32" font-weight="600">${escape(summaryOf(plan))}</text>`,
    ...arrows,
    ...boxes(
      rows.map(({ who }) => who),
      MARGIN,
    ),
    ...boxes(
      rows.map(({ what }) => what),
      WIDTH - MARGIN - BOX,
    ),
    `<text class="small" x="${MARGIN}" y="${height - 10}">${legend}</text>`,
    '</svg>',
  ].join('\n');
};

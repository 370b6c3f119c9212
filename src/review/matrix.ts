// Who reaches what, as one page to look at: the difference between a tailnet in which nothing is allowed and this one. Rows
// are those who reach, columns are what is reached; those that reach, or are reached, alike share one. What people may do
// among their own devices is a column by itself, or everybody would be a row and a column of their own.

import { utf8 } from '../base/bytes.ts';
import { parseDocument } from '../config/document.ts';
import { addBit, bitsOf, createBitset, type Bitset } from '../policy/bitset.ts';
import type { PortRange } from '../wire/filter.ts';
import { compilePolicy, type CompiledPolicy } from '../policy/compile.ts';
import { readPolicy } from '../policy/read.ts';
import { trafficText } from './traffic-words.ts';
import { formatTraffic, OWN } from './access.ts';
import { createNaming, formatParty, type Party } from './naming.ts';
import { printable } from './excerpt.ts';
import { createSide } from './side.ts';
import type { ReviewedTailnet } from './tailnet.ts';
import { diffTraffic } from './traffic.ts';
import { createUnits, type Unit } from './units.ts';

export interface Matrix {
  readonly rows: readonly string[];
  readonly columns: readonly string[];
  /** By row, then column: the traffic, or an empty text. */
  readonly cells: readonly (readonly string[])[];
}

const ICMP = 1;

/** The same people, groups and hosts, and no rule. */
const closedPolicy = ({ policy }: ReviewedTailnet['side']): CompiledPolicy => {
  const none = { acls: [], grants: [], ssh: [] };
  if (policy.document) return compilePolicy({ ...policy.document, ...none }, policy.tailnet);
  const { root } = parseDocument('policy.json5', utf8('{}'), { dialect: 'hujson' });
  const { document } = root ? readPolicy(root, policy.tailnet) : {};
  return compilePolicy(document ? { ...document, ...none } : null, policy.tailnet);
};

const label = (parties: readonly Party[]): string => parties.map(formatParty).join(', ');

const OWN_COLUMN = -1;

/** People, then tags, then networks; each by name. */
const rankOf = (title: string): number => {
  const order = [/^(?:autogroup|group):/, /@/, /^tag:/, /^the internet/];
  const found = order.findIndex((pattern) => pattern.test(title));
  return found < 0 ? order.length : found;
};

const compareTitles = (a: string, b: string): number => rankOf(a) - rankOf(b) || (a < b ? -1 : a > b ? 1 : 0);

/** Units that read alike are told together: keys with the same entries, as a set of the keys. */
const groupAlike = (
  table: ReadonlyMap<number, ReadonlyMap<string, string>>,
): { readonly set: Bitset; readonly entries: ReadonlyMap<string, string> }[] => {
  const groups = new Map<string, { set: Bitset; entries: ReadonlyMap<string, string> }>();
  for (const [index, entries] of table) {
    const key = JSON.stringify([...entries].sort(([a], [b]) => (a < b ? -1 : 1)));
    const group = groups.get(key) ?? { set: createBitset(), entries };
    addBit(group.set, index);
    groups.set(key, group);
  }
  return [...groups.values()];
};

/** Everything that the tailnet allows. */
export const createMatrix = (tailnet: ReviewedTailnet): Matrix => {
  const { side } = tailnet;
  const before = createSide(closedPolicy(side), side.nodes.values(), side.userOf);
  const units = createUnits(before, side);
  const name = createNaming(tailnet, units);
  /** Whose devices the unit is, where they are all of one person. */
  const ownerOf = (unit: Unit): string | undefined => {
    if (unit.kind !== 'nodes') return undefined;
    const owners = new Set(unit.members.map((id) => tailnet.nodes.get(id)?.owner ?? undefined));
    return owners.size === 1 ? [...owners][0] : undefined;
  };
  const owners = units.map(ownerOf);
  const found = new Map<number, Map<number, { protocol: number; ports: PortRange }[]>>();
  const columnOf = (index: number): Map<number, { protocol: number; ports: PortRange }[]> => {
    const column = found.get(index) ?? new Map<number, { protocol: number; ports: PortRange }[]>();
    found.set(index, column);
    return column;
  };
  for (const { destination, protocol, ports, gained } of diffTraffic(before, side, units)) {
    for (const index of bitsOf(gained)) {
      const unit = units[index] as Unit;
      const isOwn = owners[index] !== undefined && owners[index] === owners[destination.index];
      // A machine alone reaches nobody of its unit; a person's only one would reach a second one.
      if (!isOwn && unit === destination && unit.kind === 'nodes' && unit.members.length < 2) continue;
      const column = columnOf(isOwn ? OWN_COLUMN : destination.index);
      const traffic = column.get(index);
      if (traffic) traffic.push({ protocol, ports });
      else column.set(index, [{ protocol, ports }]);
    }
  }
  const textOf = (traffic: readonly { protocol: number; ports: PortRange }[]): string => {
    const ported = traffic.filter(({ protocol }) => protocol !== ICMP);
    return trafficText(formatTraffic(ported.length > 0 ? ported : traffic));
  };
  const byDestination = new Map(
    [...found].map(
      ([index, column]) =>
        [index, new Map([...column].map(([source, traffic]) => [String(source), textOf(traffic)]))] as const,
    ),
  );
  const columns = groupAlike(new Map([...byDestination].filter(([index]) => index !== OWN_COLUMN)))
    .map(({ set, entries }) => ({ title: label(name(set)), entries }))
    .filter(({ title, entries }) => title !== '' && entries.size > 0)
    .sort((a, b) => compareTitles(a.title, b.title));
  const own = byDestination.get(OWN_COLUMN);
  if (own) columns.unshift({ title: OWN.name, entries: own });
  const bySource = new Map<number, Map<string, string>>();
  for (const [at, { entries }] of columns.entries()) {
    for (const [source, text] of entries) {
      const row = bySource.get(Number(source)) ?? new Map<string, string>();
      bySource.set(Number(source), row.set(String(at), text));
    }
  }
  const rows = groupAlike(bySource)
    .map(({ set, entries }) => ({ title: label(name(set)), entries }))
    .filter(({ title }) => title !== '')
    .sort((a, b) => compareTitles(a.title, b.title));
  return {
    rows: rows.map(({ title }) => title),
    columns: columns.map(({ title }) => title),
    cells: rows.map(({ entries }) => columns.map((_column, at) => entries.get(String(at)) ?? '')),
  };
};

const escape = (text: string): string =>
  printable(text).replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);

const STYLE = `
:root { color-scheme: light dark; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem; color: light-dark(#1b2430, #e8ecf1); background: light-dark(#fff, #12171d); }
h1 { font-size: 1.4rem; } p { color: light-dark(#5c6b7d, #9aa7b6); }
.scroll { overflow: auto; max-height: 85vh; border: 1px solid light-dark(#dde3ea, #303a46); border-radius: .6rem; }
table { border-collapse: separate; border-spacing: 0; }
th, td { padding: .4rem .7rem; text-align: left; vertical-align: top; border-bottom: 1px solid light-dark(#eef1f4, #232b35); min-width: 8rem; max-width: 16rem; overflow-wrap: break-word; }
thead th { vertical-align: bottom; } tbody th { min-width: 12rem; }
thead th { position: sticky; top: 0; background: light-dark(#f3f5f8, #1b222b); z-index: 2; }
tbody th { position: sticky; left: 0; background: light-dark(#f3f5f8, #1b222b); font-weight: 600; z-index: 1; }
thead th:first-child { left: 0; z-index: 3; }
td { color: light-dark(#0b6b4f, #3ecf9d); } td.none { color: light-dark(#c9d2dc, #3a4552); } td.all { background: light-dark(#e7f6f0, #14352b); }
tr:hover td, tr:hover th { background: light-dark(#eef4fb, #1d2a38); }
@media (max-width: 40rem) { body { margin: 1rem; font-size: 13px; } th, td { padding: .3rem .5rem; min-width: 6rem; } tbody th { min-width: 7rem; max-width: 7rem; overflow-wrap: anywhere; } }
`;

/** A page of its own: no script, nothing to fetch, rows and columns that stay in sight. */
export const renderMatrixHtml = ({ rows, columns, cells }: Matrix, tailnet: string): string => {
  const cell = (text: string): string =>
    text === '' ? '<td class="none">·</td>' : `<td${text === 'every port' ? ' class="all"' : ''}>${escape(text)}</td>`;
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Who reaches what in ${escape(tailnet)}</title>
<style>${STYLE}</style>
<h1>Who reaches what in ${escape(tailnet)}</h1>
<p>Who stands on the left may open connections to what stands above. A dot is nothing.</p>
<div class="scroll"><table>
<thead><tr><th></th>${columns.map((column) => `<th scope="col">${escape(column)}</th>`).join('')}</tr></thead>
<tbody>
${rows.map((row, i) => `<tr><th scope="row">${escape(row)}</th>${(cells[i] ?? []).map(cell).join('')}</tr>`).join('\n')}
</tbody>
</table></div>
</html>
`;
};

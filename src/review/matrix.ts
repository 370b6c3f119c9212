// Who reaches what, as one page to look at: the difference between a tailnet in which nothing is allowed and this one. Rows
// are those who reach, columns are what is reached; units that nothing tells apart share a row.

import { utf8 } from '../base/bytes.ts';
import { parseDocument } from '../config/document.ts';
import { addBit, bitsOf, createBitset } from '../policy/bitset.ts';
import { compilePolicy, type CompiledPolicy } from '../policy/compile.ts';
import { readPolicy } from '../policy/read.ts';
import { trafficText } from './plan-words.ts';
import { formatTraffic } from './access.ts';
import { createNaming, type Party } from './naming.ts';
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

const label = (parties: readonly Party[]): string => parties.map(({ name }) => name).join(', ');

/** Everything that the tailnet allows. */
export const createMatrix = (tailnet: ReviewedTailnet): Matrix => {
  const { side } = tailnet;
  const before = createSide(closedPolicy(side), side.nodes.values(), side.userOf);
  const units = createUnits(before, side);
  const name = createNaming(tailnet, units);
  const nameOf = (unit: Unit): string => {
    const set = createBitset();
    addBit(set, unit.index);
    return label(name(set));
  };
  const cells = new Map<string, Map<string, { protocol: number; ports: { First: number; Last: number } }[]>>();
  for (const { destination, protocol, ports, gained } of diffTraffic(before, side, units)) {
    const column = nameOf(destination);
    if (column === '') continue;
    for (const index of bitsOf(gained)) {
      const unit = units[index] as Unit;
      const alone = unit.kind === 'nodes' && unit.members.length < 2;
      if (unit === destination && alone) continue;
      const row = nameOf(unit);
      if (row === '') continue;
      const cell = cells.get(row) ?? new Map<string, { protocol: number; ports: { First: number; Last: number } }[]>();
      cells.set(row, cell);
      const traffic = cell.get(column);
      if (traffic) traffic.push({ protocol, ports });
      else cell.set(column, [{ protocol, ports }]);
    }
  }
  const rows = [...cells.keys()].sort();
  const columns = [...new Set([...cells.values()].flatMap((row) => [...row.keys()]))].sort();
  return {
    rows,
    columns,
    cells: rows.map((row) =>
      columns.map((column) => {
        const traffic = cells.get(row)?.get(column) ?? [];
        const ported = traffic.filter(({ protocol }) => protocol !== ICMP);
        return trafficText(formatTraffic(ported.length > 0 ? ported : traffic));
      }),
    ),
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
th, td { padding: .4rem .7rem; text-align: left; vertical-align: top; border-bottom: 1px solid light-dark(#eef1f4, #232b35); white-space: nowrap; }
thead th { position: sticky; top: 0; background: light-dark(#f3f5f8, #1b222b); z-index: 2; }
tbody th { position: sticky; left: 0; background: light-dark(#f3f5f8, #1b222b); font-weight: 600; z-index: 1; }
thead th:first-child { left: 0; z-index: 3; }
td { color: light-dark(#0b6b4f, #3ecf9d); } td.none { color: light-dark(#c9d2dc, #3a4552); } td.all { background: light-dark(#e7f6f0, #14352b); }
tr:hover td, tr:hover th { background: light-dark(#eef4fb, #1d2a38); }
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
<p>Rows reach columns. A dot is nothing.</p>
<div class="scroll"><table>
<thead><tr><th></th>${columns.map((column) => `<th scope="col">${escape(column)}</th>`).join('')}</tr></thead>
<tbody>
${rows.map((row, i) => `<tr><th scope="row">${escape(row)}</th>${(cells[i] ?? []).map(cell).join('')}</tr>`).join('\n')}
</tbody>
</table></div>
</html>
`;
};

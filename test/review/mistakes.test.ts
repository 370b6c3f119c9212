// Ten mistakes in a large tailnet: what the review says about each is pinned in mistakes/, and docs/review.md repeats it.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { parseRevision, type Revision } from '../../src/base/ids.ts';
import { lint } from '../../src/review/lint/lint.ts';
import { parseNodeList } from '../../src/review/node-list.ts';
import { renderPlanMarkdown } from '../../src/review/plan-markdown.ts';
import { renderPlanTerminal } from '../../src/review/plan-terminal.ts';
import { planChange, type Plan } from '../../src/review/plan.ts';
import { reviewTailnet } from '../../src/review/tailnet.ts';
import { compileSnapshot } from '../../src/snapshot/compile.ts';
import { MISTAKES, type Mistake } from './mistakes/mistakes.ts';

const home = path.join(import.meta.dirname, 'mistakes');
const folder = path.join(home, 'tailnet');
const files = new Map(fs.readdirSync(folder).map((name) => [name, fs.readFileSync(path.join(folder, name))]));
const list = parseNodeList(fs.readFileSync(path.join(home, 'nodes.json'), 'utf8'));
const page = fs.readFileSync(path.join(import.meta.dirname, '../../docs/review.md'), 'utf8');
const NOW_MS = Date.parse('2026-11-20T00:00:00Z');

const compile = (tailnet: ReadonlyMap<string, Uint8Array>, digit: string): ReturnType<typeof compileSnapshot> =>
  compileSnapshot({ revision: parseRevision(digit.repeat(40)) as Revision, files: tailnet });

const before = compile(files, '1');

const make = ({ file, from, to }: Mistake): ReturnType<typeof compileSnapshot> => {
  const text = files.get(file)?.toString() ?? '';
  assert.equal(text.split(from).length, 2, 'the place of the mistake is there once');
  return compile(new Map([...files, [file, Buffer.from(text.replace(from, to))]]), '2');
};

const planOf = (mistake: Mistake): Plan => {
  const after = make(mistake);
  assert.ok(before.snapshot && after.snapshot && list.ok, JSON.stringify(after.diagnostics));
  const [old, now] = [before.snapshot, after.snapshot].map((snapshot) => reviewTailnet(snapshot, list.value));
  assert.ok(old && now);
  return planChange(old, now, { imagined: false });
};

const compare = (file: string, text: string): void => {
  if (process.env['UPDATE_GOLDENS']) fs.writeFileSync(file, text);
  else assert.equal(text, fs.readFileSync(file, 'utf8'), path.relative(home, file));
};

test('the tailnet before the mistakes is without blame', () => {
  const { diagnostics } = lint(before, NOW_MS);
  assert.deepEqual(
    diagnostics.filter(({ severity }) => severity !== 'info').map(({ message }) => message),
    [],
  );
});

for (const mistake of MISTAKES) {
  test(`${mistake.name}: ${mistake.story}`, () => {
    const plan = planOf(mistake);
    compare(path.join(home, 'comments', `${mistake.name}.md`), renderPlanMarkdown(plan));
    const known = new Set(lint(before, NOW_MS).diagnostics.map(({ code, message }) => `${code} ${message}`));
    const lines = [
      renderPlanTerminal(plan, { colour: false }),
      ...lint(make(mistake), NOW_MS).diagnostics.flatMap(({ severity, code, message }) =>
        severity === 'info' || known.has(`${code} ${message}`) ? [] : [`${severity} ${code}: ${message}`],
      ),
    ];
    compare(path.join(home, 'comments', `${mistake.name}.txt`), `${lines.join('\n')}\n`);
  });
}

/** The one whose comment stands on the page. */
const SHOWN = 'user-enabled';

/** The table's row: the mistake, and what the review says at first sight. */
const rowOf = (mistake: Mistake): string => {
  const plan = planOf(mistake);
  const known = new Set(lint(before, NOW_MS).diagnostics.map(({ code, message }) => `${code} ${message}`));
  const warned = lint(make(mistake), NOW_MS).diagnostics.filter(
    ({ severity, code, message }) => severity === 'warning' && !known.has(`${code} ${message}`),
  );
  const said = plan.reasons[0] ?? renderPlanTerminal(plan, { colour: false }).split('\n')[3]?.trim().slice(2) ?? '';
  const cell = (text: string): string => text.replaceAll('|', '\\|');
  const warnings =
    warned.length > 0 ? ` Lint: ${[...new Set(warned.map(({ code }) => `\`${code}\``))].join(', ')}.` : '';
  return `| ${cell(mistake.story)} | ${plan.risk} | ${cell(said)}.${warnings} |`;
};

/** The two parts of the page that are made here, between these marks. */
const PARTS = /(?<=<!-- prettier-ignore-start -->\n)[\s\S]*?(?=<!-- prettier-ignore-end -->)/g;

test('the page repeats what is said', () => {
  const shown = renderPlanMarkdown(planOf(MISTAKES.find(({ name }) => name === SHOWN) as Mistake));
  const comment = shown
    .trimEnd()
    .split('\n')
    .map((line) => `${`> ${line}`.trimEnd()}\n`)
    .join('');
  const table = ['| what happened | risk | what it says |', '| --- | --- | --- |', ...MISTAKES.map(rowOf), ''].join(
    '\n',
  );
  const parts = [comment, table];
  let i = 0;
  compare(
    path.join(import.meta.dirname, '../../docs/review.md'),
    page.replace(PARTS, () => parts[i++] ?? ''),
  );
  assert.equal(i, parts.length);
});

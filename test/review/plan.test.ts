// What a plan says, one folder a case in plan/: `before` lies over `common`, and `after` over both; an empty file is removed.
// `expected.*` is what a terminal, a pull request, the annotations, a program and a code host get. UPDATE_GOLDENS=1 writes it
// anew. The last two are held to their schemas, and laid out here so that a change of one line is a difference of one line.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { parseRevision, type Revision } from '../../src/base/ids.ts';
import { renderAnnotations } from '../../src/review/annotations.ts';
import { parseNodeList } from '../../src/review/node-list.ts';
import { planFindings } from '../../src/review/plan-findings.ts';
import { renderPlanMarkdown } from '../../src/review/plan-markdown.ts';
import { renderPlanTerminal } from '../../src/review/plan-terminal.ts';
import { isEmptyPlan, planChange, type Plan } from '../../src/review/plan.ts';
import { imagineNodes, reviewTailnet } from '../../src/review/tailnet.ts';
import { renderSarif } from '../../src/review/sarif.ts';
import { compileSnapshot } from '../../src/snapshot/compile.ts';
import type { Snapshot } from '../../src/snapshot/snapshot.ts';
import { sarifProblems } from './sarif.ts';

const home = path.join(import.meta.dirname, 'plan');
const cases = fs.readdirSync(home).filter((name) => name !== 'common');

type Files = ReadonlyMap<string, Uint8Array>;

const overlay = (below: Files, folder: string): Files => {
  const files = new Map(below);
  for (const name of fs.existsSync(folder) ? fs.readdirSync(folder) : []) {
    const bytes = fs.readFileSync(path.join(folder, name));
    if (bytes.length === 0) files.delete(name);
    else files.set(name, bytes);
  }
  return files;
};

const snapshotOf = (files: Files, digit: string): Snapshot => {
  const tailnet = new Map([...files].filter(([name]) => name !== 'list.json'));
  const { snapshot, diagnostics } = compileSnapshot({
    revision: parseRevision(digit.repeat(40)) as Revision,
    files: tailnet,
  });
  assert.ok(snapshot, JSON.stringify(diagnostics.map(({ message }) => message)));
  return snapshot;
};

const planOf = (before: Files, after: Files): Plan => {
  const [old, now] = [snapshotOf(before, '1'), snapshotOf(after, '2')];
  const list = before.get('list.json');
  const parsed = list && parseNodeList(Buffer.from(list).toString());
  const nodes = parsed?.ok ? parsed.value : imagineNodes(old, now);
  return planChange(reviewTailnet(old, nodes), reviewTailnet(now, nodes), { imagined: list === undefined });
};

const validatePlan = new Ajv2020({ allErrors: true }).compile(
  JSON.parse(
    fs.readFileSync(path.join(import.meta.dirname, '../../schemas/plan-report.schema.json'), 'utf8'),
  ) as object,
);

const WIDTH = 118;

/** On one line. */
const flat = (value: unknown): string => {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(flat).join(', ')}]`;
  const members = Object.entries(value).map(([name, item]) => `${JSON.stringify(name)}: ${flat(item)}`);
  return members.length === 0 ? '{}' : `{ ${members.join(', ')} }`;
};

/** JSON with whatever fits into a line on one line. */
const layOut = (value: unknown, indent = ''): string => {
  const line = flat(value);
  if (typeof value !== 'object' || value === null || indent.length + line.length <= WIDTH) return line;
  const inner = `${indent}  `;
  const [open, close, parts] = Array.isArray(value)
    ? ['[', ']', value.map((item) => `${inner}${layOut(item, inner)}`)]
    : [
        '{',
        '}',
        Object.entries(value).map(([name, item]) => `${inner}${JSON.stringify(name)}: ${layOut(item, inner)}`),
      ];
  return `${open}\n${parts.join(',\n')}\n${indent}${close}`;
};

const compare = (file: string, text: string): void => {
  if (process.env['UPDATE_GOLDENS']) fs.writeFileSync(file, text);
  else assert.equal(text, fs.readFileSync(file, 'utf8'), path.relative(home, file));
};

for (const name of cases) {
  test(name, () => {
    const folder = path.join(home, name);
    const before = overlay(overlay(new Map(), path.join(home, 'common')), path.join(folder, 'before'));
    const after = overlay(before, path.join(folder, 'after'));
    const plan = planOf(before, after);
    compare(path.join(folder, 'expected.txt'), `${renderPlanTerminal(plan, { colour: false })}\n`);
    compare(path.join(folder, 'expected.md'), renderPlanMarkdown(plan));
    compare(
      path.join(folder, 'expected.annotations'),
      renderAnnotations({ diagnostics: planFindings(plan), sources: new Map() }, ''),
    );
    const printed: unknown = JSON.parse(JSON.stringify(plan));
    assert.ok(validatePlan(printed), JSON.stringify(validatePlan.errors));
    compare(path.join(folder, 'expected.json'), `${layOut(printed)}\n`);
    const policy = after.get('policy.json5');
    const sources = new Map(policy ? [['policy.json5', Buffer.from(policy).toString()]] : []);
    const sarif = renderSarif({ diagnostics: planFindings(plan), sources }, { prefix: 'tailnet/', version: '1.0.0' });
    assert.deepEqual(sarifProblems(sarif), []);
    compare(path.join(folder, 'expected.sarif'), `${layOut(sarif)}\n`);
    const codes = new Set(planFindings(plan).map(({ code }) => code));
    const says = (direction: string): boolean => plan.access.some((change) => change.direction === direction);
    assert.equal(codes.has('review/access-gained'), says('gained'));
    assert.equal(codes.has('review/access-lost'), says('lost'));
    const back = planOf(after, before);
    const count = ({ access }: Plan, direction: string): number =>
      access.filter((change) => change.direction === direction).length;
    assert.equal(count(back, 'lost'), count(plan, 'gained'), 'what is gained is lost on the way back');
    assert.ok(isEmptyPlan(planOf(after, after)), 'nothing differs from itself');
  });
}

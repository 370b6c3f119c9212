// Every lint rule against its own page in docs/errors/lint.md: the bad example is found, the good one is not, and a comment
// switches it off. So a rule can't be without documentation, and the documentation can't be wrong.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { Diagnostic } from '../../../src/base/diagnostic.ts';
import { catalogue } from '../../../src/base/catalogue.ts';
import { applyFixes, lint, LINT_RULES, type Fixed, type LintResult } from '../../../src/review/lint/lint.ts';
import { compileSnapshot, type CompileResult } from '../../../src/snapshot/compile.ts';
import { REVISION } from '../../config/golden.ts';

const root = path.join(import.meta.dirname, '../../..');
const NOW_MS = Date.parse('2026-11-24T00:00:00Z');

type Files = Readonly<Record<string, string>>;

const AROUND: Files = {
  'tailnet.json5': "{ name: 'example.com' }\n",
  'users.json5':
    "{ users: [{ login: 'alice@example.com', role: 'owner' }, { login: 'bob@example.com', role: 'admin' }, { login: 'carol@example.com' }] }\n",
};

const compile = (files: Files): CompileResult =>
  compileSnapshot({
    revision: REVISION,
    files: new Map(Object.entries({ ...AROUND, ...files }).map(([name, text]) => [name, Buffer.from(text)])),
  });

const run = (files: Files): LintResult => lint(compile(files), NOW_MS);

const fix = (files: Files): Fixed => {
  const compiled = compile(files);
  return applyFixes(lint(compiled, NOW_MS).fixes, compiled.folder.files);
};

/** `// bad policy.json5` begins an example, `// users.json5` another file of it. */
const readExamples = (section: string): Map<string, Files> => {
  const examples = new Map<string, Files>();
  for (const [, kind, rest] of section.matchAll(/```json5\n\/\/ (bad|good) ([\s\S]*?)```/g)) {
    const parts = `// ${rest}`.split(/^\/\/ ([a-z]+\.(?:json5|hujson))\n/m).slice(1);
    const files: Record<string, string> = {};
    for (let i = 0; i < parts.length; i += 2) files[parts[i] as string] = parts[i + 1] as string;
    examples.set(kind as string, files);
  }
  return examples;
};

const page = fs.readFileSync(path.join(root, 'docs/errors/lint.md'), 'utf8');
const sections = new Map(
  page
    .split(/^## /m)
    .slice(1)
    .map((section) => [section.slice(0, section.indexOf('\n')), section] as const),
);

const of = (code: string, { diagnostics }: LintResult): Diagnostic[] => diagnostics.filter((one) => one.code === code);

/** Puts an ignore above the line of each finding. */
const ignore = (files: Files, findings: readonly Diagnostic[]): Files => {
  const out: Record<string, string> = { ...AROUND, ...files };
  const places = new Set(findings.map(({ span }) => `${span?.start.line}\0${span?.file}`));
  for (const place of [...places].sort((a, b) => parseInt(b, 10) - parseInt(a, 10))) {
    const [line, file] = place.split('\0') as [string, string];
    const lines = (out[file] as string).split('\n');
    lines.splice(Number(line) - 1, 0, `// tailplane-ignore ${findings[0]?.code} the reason`);
    out[file] = lines.join('\n');
  }
  return out;
};

const codes = Object.keys(catalogue).filter((code) => code.startsWith('lint/'));

test('the rules are those of the catalogue, at least forty', () => {
  const own = new Set<string>(LINT_RULES.map(({ code }) => code));
  assert.equal(own.size, LINT_RULES.length);
  assert.ok(own.size >= 40);
  assert.deepEqual(
    codes.filter((code) => !own.has(code) && !code.startsWith('lint/ignore-')),
    [],
  );
});

for (const code of codes) {
  test(code, () => {
    const section = sections.get(code);
    assert.ok(section, 'has a section in docs/errors/lint.md');
    const examples = readExamples(section);
    const [bad, good] = [examples.get('bad'), examples.get('good')];
    assert.ok(bad && good, 'has a bad and a good example');

    const found = run(bad);
    assert.deepEqual(
      found.diagnostics.filter(({ severity }) => severity === 'error'),
      [],
    );
    const findings = of(code, found);
    assert.ok(findings.length > 0, 'the bad example is found');
    for (const { message, help } of findings) assert.ok(message.endsWith('.') && help !== undefined);

    const fine = run(good);
    assert.deepEqual(
      fine.diagnostics.filter((one) => one.severity === 'error' || one.code === code),
      [],
      'the good example is fine',
    );

    if (!code.startsWith('lint/ignore-')) {
      const silent = run(ignore(bad, findings));
      assert.deepEqual(of(code, silent), [], 'a comment switches it off');
      assert.deepEqual(of('lint/ignore-unused', silent), []);
    }

    // What the page promises about --fix holds: afterwards the finding is gone, and nothing is wrong.
    const fixed = fix(bad);
    assert.equal(section.includes('Fixed by --fix.'), fixed.count > 0, '--fix does what the page says');
    if (fixed.count > 0) {
      const after = run({ ...bad, ...Object.fromEntries(fixed.files) });
      assert.deepEqual(
        after.diagnostics.filter((one) => one.severity === 'error' || one.code === code),
        [],
        '--fix removes the finding',
      );
    }
  });
}

test('trust by name: machines that are let in anyway, and tags that the owner may give, are no finding', () => {
  const nodes = (more: string): Files => ({
    'nodes.json5': `{ nodes: [{ node: { name: 'web', owner: 'carol@example.com' }, ${more} }] }\n`,
    'policy.json5': `{ "tagOwners": { "tag:web": ["carol@example.com"], "tag:db": ["alice@example.com"] }, "acls": [] }\n`,
  });
  const manual = { 'tailnet.json5': "{ name: 'example.com', nodes: { approval: 'manual' } }\n" };
  const count = (files: Files): number => of('lint/trust-by-name', run(files)).length;
  assert.equal(count(nodes('approved: true')), 0);
  assert.equal(count({ ...nodes('approved: true'), ...manual }), 1);
  assert.equal(count(nodes("tags: ['tag:web']")), 0);
  assert.equal(count(nodes("tags: ['tag:web', 'tag:db']")), 1);
  assert.equal(count({ ...nodes("approved: true, tags: ['tag:db']"), ...manual }), 2);
});

test('an ignore works on its own line too, over other comments, and never for errors', () => {
  const inline = '{ "groups": {} } // tailplane-ignore lint/no-rules the lab is open\n';
  assert.deepEqual(run({ 'policy.json5': inline }).diagnostics, []);
  const above =
    '// tailplane-ignore lint/no-rules the lab is open\n\n// another comment\n/* and\n   one more */\n{ "groups": {} }\n';
  assert.deepEqual(run({ 'policy.json5': above }).diagnostics, []);
  const error = "// tailplane-ignore config/unknown-field it is fine\n{ name: 'example.com', nmae: 1 }\n";
  assert.deepEqual(of('config/unknown-field', run({ 'tailnet.json5': error })).length, 1);
});

test('fixes leave everything else as it stands', () => {
  const before = `{
  // people
  "groups": {
    "group:old": ["bob@example.com"], // gone since spring
    // the ones who deploy
    "group:ops": ["Bob@example.com", "carol@example.com", "carol@example.com"],
  },
  "grants": [{ "src": ["group:ops"], "dst": ["autogroup:self"], "ip": ["*"] }],
}
`;
  const { files, count } = fix({ 'policy.json5': before });
  assert.equal(count, 3);
  assert.equal(
    files.get('policy.json5'),
    `{
  // people
  "groups": {
    // the ones who deploy
    "group:ops": ["bob@example.com", "carol@example.com"],
  },
  "grants": [{ "src": ["group:ops"], "dst": ["autogroup:self"], "ip": ["*"] }],
}
`,
  );
});

test('tailnet.example has no findings', () => {
  const folder = path.join(root, 'tailnet.example');
  const files = fs.readdirSync(folder).filter((name) => name.endsWith('.json5'));
  const { diagnostics } = run(
    Object.fromEntries(files.map((name) => [name, fs.readFileSync(path.join(folder, name), 'utf8')])),
  );
  assert.deepEqual(
    diagnostics.map(({ code, message }) => `${code}: ${message}`),
    [],
  );
});

test('a folder full of mistakes costs little', () => {
  const many = 1_000;
  const users = Array.from(
    { length: many },
    (_, i) => `{ login: 'u${i}@example.com', role: '${i === 0 ? 'owner' : 'member'}' }`,
  );
  const grants = Array.from(
    { length: many },
    (_, i) =>
      `{ src: ['u${i}@example.com', '*'], dst: ['u${i}@example.com', '10.0.0.${i % 256}'], ip: ['tcp:${i + 1}'] }`,
  );
  const groups = Array.from({ length: many }, (_, i) => `'group:g${i}': ['u${i}@example.com']`);
  const start = process.cpuUsage();
  const { diagnostics, fixes } = run({
    'users.json5': `{ users: [${users.join(',\n')}] }`,
    'policy.json5': `{ groups: { ${groups.join(',\n')} }, grants: [${grants.join(',\n')}] }`,
  });
  assert.ok(diagnostics.length > 100 && fixes.length > 100);
  const { user, system } = process.cpuUsage(start);
  assert.ok(user + system < 8e6, `${Math.round((user + system) / 1e6)} s`);
});

test('a tag from which relays are hidden is used', () => {
  const policy = '{ "tagOwners": { "tag:kiosk": ["alice@example.com"] }, "grants": [] }';
  const hide = "{ hide: [{ node: { tag: 'tag:kiosk' }, regions: ['tailplane'] }] }";
  assert.equal(of('lint/unused-tag', run({ 'policy.json5': policy })).length, 1);
  assert.deepEqual(of('lint/unused-tag', run({ 'policy.json5': policy, 'derp.json5': hide })), []);
});

test('relays of the policy, of derpmap.json5 and of a map that the server fetches are relays too', () => {
  const nodes = "[{ Name: '7a', HostName: 'derp.example.com' }]";
  const map = `{ Regions: { '7': { RegionID: 7, RegionCode: 'par', RegionName: 'Paris', Nodes: ${nodes} } } }`;
  const without = { 'derp.json5': '{ embedded: false }' };
  const found = (files: Files): number => of('lint/no-relay', run({ ...without, ...files })).length;
  assert.equal(found({}), 1);
  assert.equal(found({ 'derpmap.json5': map }), 0);
  assert.equal(found({ 'derpmap.json5': map, 'derp.json5': "{ embedded: false, omit: ['par'] }" }), 1);
  assert.equal(found({ 'policy.json5': `{ derpMap: ${map} }` }), 0);
  assert.equal(found({ 'derp.json5': "{ embedded: false, fetch: 'https://relays.example.com/' }" }), 0);
});

test('what app connectors and 4via6 need is not taken for a mistake', () => {
  const policy = (connectors: string): string => `{
    "tagOwners": { "tag:crm": ["autogroup:owner"], "tag:site": ["autogroup:admin"] },
    "nodeAttrs": [{
      "target": ["*"],
      "app": { "tailscale.com/app-connectors": [{ "name": "crm", "connectors": ["${connectors}"], "domains": ["crm.example.net"] }] },
    }],
    "grants": [
      { "src": ["autogroup:member"], "dst": ["autogroup:internet"], "ip": ["*"] },
      { "src": ["autogroup:member"], "dst": ["fd7a:115c:a1e0:b1a:0:7:c0a8:a05"], "ip": ["*"] },
    ],
    "autoApprovers": { "routes": { "0.0.0.0/0": ["tag:crm"], "fd7a:115c:a1e0:b1a::/64": ["tag:site"] } },
  }`;
  const codes = ['broad-auto-approver', 'route-without-access', 'internet-without-exit-node', 'undeclared-address'];
  const found = (files: Files): number => codes.flatMap((code) => of(`lint/${code}`, run(files))).length;
  const rest = { 'routes.json5': '{ routes: [] }', 'nodes.json5': '{ nodes: [] }' };
  assert.equal(found({ 'policy.json5': policy('tag:crm'), ...rest }), 0);
  assert.equal(found({ 'policy.json5': policy('*'), ...rest }), 0);
  assert.equal(found({ 'policy.json5': policy('tag:site'), ...rest }), 2, 'these are not its connectors');
});

test('an owner is an administrator', () => {
  const found = run({
    'users.json5': "{ users: [{ login: 'alice@example.com', role: 'owner' }] }",
    'policy.json5': '{ "grants": [{ "src": ["autogroup:admin"], "dst": ["*"], "ip": ["*"] }] }',
  });
  assert.deepEqual(of('lint/empty-selector', found), []);
});

// One report in every form. Text from strangers is in all of it: nothing of that may become markup, a link, a mention, a
// command of the terminal or of the code host.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { test } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import type { Diagnostic, Span } from '../../src/base/diagnostic.ts';
import { linesOf } from '../../src/config/lines.ts';
import { renderAnnotations } from '../../src/review/annotations.ts';
import { columnsOf, excerptOf, printable } from '../../src/review/excerpt.ts';
import { lintReport } from '../../src/review/json.ts';
import { markdownCode, markdownText, renderMarkdown } from '../../src/review/markdown.ts';
import { describeCounts, type Report } from '../../src/review/report.ts';
import { renderSarif } from '../../src/review/sarif.ts';
import { renderTerminal } from '../../src/review/terminal.ts';

const TEXT = "{\n  name: 'example.com',\n  nmae: 'x',\n}\n";
const spanOf = (text: string, part: string, file = 'tailnet.json5'): Span =>
  linesOf(file, text).span(text.indexOf(part), text.indexOf(part) + part.length);

const report: Report = {
  sources: new Map([
    ['tailnet.json5', TEXT],
    ['users.json5', '{}\n'],
  ]),
  diagnostics: [
    {
      code: 'config/unknown-field',
      severity: 'error',
      message: 'There is no field `nmae` here.\nA second line.',
      span: spanOf(TEXT, 'nmae'),
      help: 'Did you mean `name`?',
      related: [{ span: spanOf(TEXT, 'name'), message: 'this one' }],
    },
    { code: 'snapshot/no-owner', severity: 'warning', message: 'Nobody has the role of owner.' },
  ],
};

test('terminal: the line, the stretch, the related place, the help', () => {
  assert.equal(
    renderTerminal(report, { colour: false }),
    `error[config/unknown-field]: There is no field \`nmae\` here.
 --> tailnet.json5:3:3
  |
2 |   name: 'example.com',
  |   ---- this one
3 |   nmae: 'x',
  |   ^^^^
  = A second line.
  = help: Did you mean \`name\`?

warning[snapshot/no-owner]: Nobody has the role of owner.

1 error and 1 warning in 2 files.
`,
  );
});

test('terminal: colours only where asked for, and they change nothing else', () => {
  const coloured = renderTerminal(report, { colour: true });
  assert.ok(coloured.includes('\u001b['));
  assert.equal(stripVTControlCharacters(coloured), renderTerminal(report, { colour: false }));
});

test('terminal: a related place in another file is shown with its file', () => {
  const [first] = report.diagnostics as [Diagnostic];
  const related = [{ span: spanOf('{}\n', '{}', 'users.json5'), message: 'see here' }];
  assert.match(
    renderTerminal({ ...report, diagnostics: [{ ...first, related }] }, { colour: false }),
    /\n ::: users\.json5:1:1\n {2}\|\n1 \| \{\}\n {2}\| -- see here\n/,
  );
});

test('json: the answer fits its published schema', () => {
  const file = path.join(import.meta.dirname, '../../schemas/lint-report.schema.json');
  const check = new Ajv2020().compile(JSON.parse(fs.readFileSync(file, 'utf8')) as object);
  const value: unknown = JSON.parse(JSON.stringify(lintReport(report, false)));
  assert.ok(check(value), JSON.stringify(check.errors));
  assert.deepEqual((value as { counts: unknown }).counts, { error: 1, warning: 1, info: 0 });
  assert.deepEqual((value as { diagnostics: { place?: unknown }[] }).diagnostics[0]?.place, {
    file: 'tailnet.json5',
    start: { line: 3, column: 3, offset: 27 },
    end: { line: 3, column: 7, offset: 31 },
  });
});

test('sarif: rules, levels, places under the prefix, and fingerprints that survive moved lines', () => {
  const options = { prefix: 'my tailnet/', version: '1.2.3' };
  const { version, runs } = renderSarif(report, options);
  const [run] = runs as [(typeof runs)[number]];
  assert.equal(version, '2.1.0');
  assert.deepEqual(
    run.tool.driver.rules.map(({ id }) => id),
    ['config/unknown-field', 'snapshot/no-owner'],
  );
  const [first, second] = run.results as [(typeof run.results)[number], (typeof run.results)[number]];
  assert.deepEqual([first.ruleIndex, first.level, second.ruleIndex, second.level], [0, 'error', 1, 'warning']);
  assert.deepEqual(first.locations[0]?.physicalLocation, {
    artifactLocation: { uri: 'my%20tailnet/tailnet.json5', uriBaseId: '%SRCROOT%' },
    region: { startLine: 3, startColumn: 3, endLine: 3, endColumn: 7 },
  });
  assert.equal(
    second.locations[0]?.physicalLocation.artifactLocation.uri,
    'my%20tailnet/tailnet.json5',
    'never nowhere',
  );
  assert.equal(second.locations[0]?.physicalLocation.region.startLine, 1);

  const moved = `// a new first line\n${TEXT}`;
  const [one] = report.diagnostics as [Diagnostic];
  const later = renderSarif(
    { sources: new Map([['tailnet.json5', moved]]), diagnostics: [{ ...one, span: spanOf(moved, 'nmae') }] },
    options,
  );
  assert.deepEqual(later.runs[0]?.results[0]?.partialFingerprints, first.partialFingerprints);
});

test('github: one command a line, within the ten that GitHub takes of each kind', () => {
  const [error, warning] = renderAnnotations(report, 'tailnet/').split('\n');
  assert.equal(
    error,
    '::error file=tailnet/tailnet.json5,line=3,endLine=3,col=3,endColumn=7,title=config/unknown-field::There is no field `nmae` here.%0AA second line.%0ADid you mean `name`?',
  );
  assert.equal(warning, '::warning title=snapshot/no-owner::Nobody has the role of owner.');

  const [one] = report.diagnostics as [Diagnostic];
  const lines = renderAnnotations({ ...report, diagnostics: Array<Diagnostic>(25).fill(one) }, '')
    .trimEnd()
    .split('\n');
  assert.equal(lines.length, 10);
  assert.equal(lines[9], '::error title=tailplane::16 more are in the job summary.');
});

test('markdown: a heading, each finding with its line, and what is left out', () => {
  assert.equal(
    renderMarkdown({ ...report, diagnostics: report.diagnostics.slice(0, 1) }),
    `### Tailplane lint: 1 error

🔴 error \`config/unknown-field\` in \`tailnet.json5:3\`

There is no field \`nmae\` here.
A second line.

\`\`\`
3 |   nmae: 'x',
      ^^^^
\`\`\`

Did you mean \`name\`&#63;
`,
  );
  const [one] = report.diagnostics as [Diagnostic];
  assert.match(renderMarkdown({ ...report, diagnostics: Array<Diagnostic>(45).fill(one) }), /… and 5 more; run/);
});

const hostile = [
  '`<img src=x onerror=alert(1)>`',
  '](https://example.org) [x',
  '@alice #1 GH-1',
  '```\n# heading',
  '::error::x\n::set-output name=a::b',
  '\u001b[31mred\u001b]8;;https://example.org\u0007link',
  '--> </code></pre><script>',
  'https://example.org www.example.org',
  '\u202ereversed\u2066',
  '| a | b |\n|---|---|',
  '%0A::error::x',
];

test('hostile text stays text in every form', () => {
  for (const text of hostile) {
    const source = `{ x: "${text}" }`;
    const diagnostic: Diagnostic = {
      code: 'config/malformed',
      severity: 'error',
      message: `\`${text}\` is no name.`,
      help: `Did you mean \`${text}\`?`,
      span: linesOf(text, source).span(0, source.length),
    };
    const bad: Report = { sources: new Map([[text, source]]), diagnostics: [diagnostic] };

    const terminal = renderTerminal(bad, { colour: false });
    // oxlint-disable-next-line no-control-regex -- none but line feeds may be there
    assert.doesNotMatch(terminal, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/, text);

    const commands = renderAnnotations(bad, '').trimEnd().split('\n');
    assert.equal(commands.length, 1, text);
    // The first `::` after the properties ends them; no property holds one.
    assert.match(commands[0] ?? '', /^::error file=[^,:]*,line=1,[\w=,]*title=config\/malformed::/, text);

    const outside = withoutCode(renderMarkdown(bad)).replace('### Tailplane lint', '');
    assert.doesNotMatch(outside, /[<>[\]`*_@#|~\\]|:\/\/|www\./, text);
  }
});

/** What is left to be markup: text without code blocks, code spans, and our own entities and empty comments. */
const withoutCode = (markdown: string): string =>
  markdown
    .replaceAll(/^(`{3,})\n[\s\S]*?\n\1$/gm, '')
    .replaceAll(/(?<!`)(`+)(?!`)[^\n]*?(?<!`)\1(?!`)/g, '')
    .replaceAll(/<!-- -->|&#\d+;/g, '');

test('characters that nobody sees are shown, so that two names that look alike are told apart', () => {
  const hidden = ['\u00ad', '\u061c', '\u180e', '\u2029', '\u3164', '\uffa0', '\u{e0061}'];
  for (const character of hidden) assert.match(printable(`a${character}b`), /^a<U\+[0-9A-F]{4,5}>b$/);
  assert.equal(printable('Zoë 🦔 日本'), 'Zoë 🦔 日本');
});

test('law: nothing escapes from text or code in Markdown', () => {
  const nasty = fc.string({
    unit: fc.constantFrom(
      '`',
      '<',
      '/code>',
      '@a',
      '#1',
      '[',
      '](x)',
      '\n',
      '*',
      '_',
      '&lt;',
      'a',
      '\\',
      '|',
      '~~',
      '-->',
      '<!--',
      'www.a',
    ),
    maxLength: 12,
  });
  fc.assert(
    fc.property(nasty, (text) => {
      assert.match(markdownText(text), /^(?:<!-- -->|[\p{L}\p{N} .,]|&#\d+;)*$/u);
      const code = markdownCode(text);
      const [fence] = /^`+/.exec(code) as RegExpExecArray;
      const inner = code.slice(fence.length, -fence.length);
      assert.ok(code.endsWith(fence) && !inner.startsWith('`') && !inner.endsWith('`'));
      assert.ok(!inner.split(/[^`]+/).includes(fence) && !/[\r\n]/.test(inner));
    }),
  );
});

test('law: an excerpt never breaks out of its line, and its underline stays under it', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', maxLength: 300 }), fc.nat(300), fc.nat(300), (text, a, b) => {
      const [start, end] = [Math.min(a, b, text.length), Math.min(Math.max(a, b), text.length)];
      const excerpt = excerptOf(text, linesOf('f', text).span(start, end));
      if (!excerpt) return;
      assert.doesNotMatch(excerpt.text, /[\r\n]/);
      assert.ok(excerpt.text.length <= 1200);
      assert.ok(excerpt.width >= 1);
      assert.ok(
        excerpt.indent <= columnsOf(excerpt.text) + 2 ||
          excerpt.text.trim() === '' ||
          start >= text.trimEnd().length ||
          excerpt.indent < 130,
      );
    }),
  );
});

test('counts are sentences', () => {
  assert.equal(describeCounts({ error: 0, warning: 0, info: 0 }), 'nothing to report');
  assert.equal(describeCounts({ error: 2, warning: 1, info: 3 }), '2 errors, 1 warning and 3 notes');
});

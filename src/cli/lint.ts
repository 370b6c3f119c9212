// `tailplane lint [DIR]`: checks a tailnet folder as the server would, and for what is probably not meant, without a server,
// a network or secrets.

import path from 'node:path';
import { Option, type Command } from 'commander';
import { parseRevision, type Revision } from '../base/ids.ts';
import { renderAnnotations } from '../review/annotations.ts';
import { lintReport } from '../review/json.ts';
import { applyFixes, lint } from '../review/lint/lint.ts';
import { renderMarkdown } from '../review/markdown.ts';
import { countFindings, type Report } from '../review/report.ts';
import { renderSarif } from '../review/sarif.ts';
import { renderTerminal } from '../review/terminal.ts';
import { compileSnapshot, type CompileResult } from '../snapshot/compile.ts';
import { EXIT } from './failure.ts';
import { wantsColour } from './output.ts';
import { readTailnetFolder, replaceFile } from './tailnetfolder.ts';
import { packageVersion } from './version.ts';

const FORMATS = ['text', 'json', 'sarif', 'github', 'markdown'] as const;
type Format = (typeof FORMATS)[number];

interface LintOptions {
  readonly format: Format;
  readonly strict: boolean;
  readonly prefix: string;
  readonly fix: boolean;
}

/** A folder that is not served has no revision; the snapshot is thrown away. */
const NO_REVISION = parseRevision(`dir-${'0'.repeat(16)}`) as Revision;

const compile = (dir: string): CompileResult =>
  compileSnapshot({ revision: NO_REVISION, files: readTailnetFolder(dir) });

const render = (report: Report, format: Format, ok: boolean, prefix: string): string => {
  switch (format) {
    case 'json':
      return `${JSON.stringify(lintReport(report, ok), null, 2)}\n`;
    case 'sarif':
      return `${JSON.stringify(renderSarif(report, { prefix, version: packageVersion() }), null, 2)}\n`;
    case 'github':
      return renderAnnotations(report, prefix);
    case 'markdown':
      return renderMarkdown(report);
    default:
      return renderTerminal(report, { colour: wantsColour(process.stdout) });
  }
};

export const registerLint = (program: Command): void => {
  program
    .command('lint')
    .description('check a tailnet folder as the server would, and for what is probably not meant')
    .argument('[dir]', 'the folder that holds tailnet.json5', '.')
    .addOption(new Option('--format <format>', 'how to say it').choices(FORMATS).default('text'))
    .option('--strict', 'warnings fail, too', false)
    .option('--fix', 'correct what can be corrected without changing the meaning', false)
    .option('--prefix <path>', 'where the folder lies in the repository, for sarif and github', '')
    .addHelpText(
      'after',
      '\nExit codes: 0 fine, 1 errors (with --strict also warnings), 2 usage.\n\nExample:\n  tailplane lint tailnet.example --format sarif > findings.sarif',
    )
    .action((dir: string, options: LintOptions, command: Command) => {
      const { json = false } = command.optsWithGlobals<{ json?: boolean }>();
      if (options.fix) {
        const compiled = compile(dir);
        const fixed = applyFixes(lint(compiled, Date.now()).fixes, compiled.folder.files);
        for (const [file, text] of fixed.files) replaceFile(path.join(dir, file), text);
        const names = fixed.files.size === 0 ? '' : ` in ${[...fixed.files.keys()].join(', ')}`;
        process.stderr.write(`Fixed ${fixed.count} finding${fixed.count === 1 ? '' : 's'}${names}.\n`);
      }
      const compiled = compile(dir);
      const { folder } = compiled;
      const { diagnostics } = lint(compiled, Date.now());
      const report: Report = {
        diagnostics,
        sources: new Map(folder.files.map(({ file, text }) => [file, text])),
      };
      const { error, warning } = countFindings(diagnostics);
      const ok = error === 0 && !(options.strict && warning > 0);
      const prefix = options.prefix.replace(/\/*$/, options.prefix === '' ? '' : '/');
      process.stdout.write(render(report, json ? 'json' : options.format, ok, prefix));
      process.exitCode = ok ? EXIT.fine : EXIT.findings;
    });
};

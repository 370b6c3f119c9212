// `tailplane lint [DIR]`: checks a tailnet folder as the server would, and for what is probably not meant, without a server,
// a network or secrets.

import fs from 'node:fs';
import path from 'node:path';
import { Option, type Command } from 'commander';
import { parseRevision, type Revision } from '../base/ids.ts';
import { FILE_LIMIT_BYTES } from '../config/document.ts';
import { TAILNET_FILES } from '../config/folder.ts';
import { renderAnnotations } from '../review/annotations.ts';
import { lintReport } from '../review/json.ts';
import { applyFixes, lint } from '../review/lint/lint.ts';
import { renderMarkdown } from '../review/markdown.ts';
import { countFindings, type Report } from '../review/report.ts';
import { renderSarif } from '../review/sarif.ts';
import { renderTerminal } from '../review/terminal.ts';
import { compileSnapshot, type CompileResult } from '../snapshot/compile.ts';
import { EXIT, Failure } from './failure.ts';
import { wantsColour } from './output.ts';
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

/** At most one byte more than may be read: enough to be refused for its size. */
const readStart = (file: string): Uint8Array | undefined => {
  const handle = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
  try {
    const status = fs.fstatSync(handle);
    if (!status.isFile()) return undefined;
    const buffer = new Uint8Array(Math.min(status.size, FILE_LIMIT_BYTES + 1));
    let length = 0;
    for (;;) {
      const read = fs.readSync(handle, buffer, length, buffer.length - length, length);
      length += read;
      if (read === 0 || length === buffer.length) return buffer.subarray(0, length);
    }
  } finally {
    fs.closeSync(handle);
  }
};

/** Every file that is ours or nearly has the name of one. */
export const readTailnetFolder = (folder: string): ReadonlyMap<string, Uint8Array> => {
  try {
    const files = new Map<string, Uint8Array>();
    for (const name of fs.readdirSync(folder).sort()) {
      if (!/\.(?:json5?|hujson|jsonc)$/i.test(name)) continue;
      const known = (TAILNET_FILES as readonly string[]).includes(name);
      const bytes = known ? readStart(path.join(folder, name)) : new Uint8Array();
      if (bytes !== undefined) files.set(name, bytes);
    }
    return files;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown error';
    throw new Failure(
      EXIT.usage,
      'cli/usage',
      `${folder} can't be read: ${code}.`,
      'Name the folder that holds tailnet.json5: tailplane lint DIR.',
    );
  }
};

const compile = (dir: string): CompileResult =>
  compileSnapshot({ revision: NO_REVISION, files: readTailnetFolder(dir) });

/** In one step, so that a server that watches the folder never sees half of it. */
const replaceFile = (file: string, text: string): void => {
  const real = fs.realpathSync(file);
  const { mode } = fs.statSync(real);
  const temporary = `${real}.${process.pid}.tmp`;
  fs.writeFileSync(temporary, text, { mode, flag: 'wx' });
  fs.renameSync(temporary, real);
};

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

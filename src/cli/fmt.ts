// `tailplane fmt [DIR]`: writes the files of a tailnet folder in one form, comments and meaning untouched.

import path from 'node:path';
import type { Command } from 'commander';
import { TAILNET_FILES } from '../config/folder.ts';
import { formatDocument } from '../config/format.ts';
import { EXIT, Failure } from './failure.ts';
import { createOutput } from './output.ts';
import { readTailnetFolder, replaceFile } from './tailnetfolder.ts';

export const registerFmt = (program: Command): void => {
  program
    .command('fmt')
    .description('write the files of a tailnet folder in one form; comments stay')
    .argument('[dir]', 'the folder that holds tailnet.json5', '.')
    .option('--check', 'change nothing; fail if something would change', false)
    .addHelpText('after', '\nExample:\n  tailplane fmt tailnet.example --check')
    .action((dir: string, options: { readonly check: boolean }, command: Command) => {
      const { json = false } = command.optsWithGlobals<{ json?: boolean }>();
      const changed: string[] = [];
      for (const [file, bytes] of readTailnetFolder(dir)) {
        if (!(TAILNET_FILES as readonly string[]).includes(file)) continue;
        const text = Buffer.from(bytes).toString('utf8');
        const outcome = formatDocument(text, file.endsWith('.hujson') ? 'hujson' : 'json5');
        if (!outcome.ok) {
          throw new Failure(
            EXIT.findings,
            outcome.code,
            `${file}: ${outcome.reason}`,
            `Run \`tailplane lint ${dir}\`.`,
          );
        }
        if (outcome.value === text) continue;
        changed.push(file);
        if (!options.check) replaceFile(path.join(dir, file), outcome.value);
      }
      const none = 'Every file is in the one form.';
      const list = `${options.check ? 'Would change' : 'Changed'} ${changed.join(', ')}.`;
      createOutput(json).show({ changed }, () => (changed.length === 0 ? none : list));
      process.exitCode = options.check && changed.length > 0 ? EXIT.findings : EXIT.fine;
    });
};

// The commands of docs/backup-and-recovery.md, for tests that follow the page to the letter: every fenced block marked
// `sh` under a heading.

import { execFile } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

const CHECKOUT = path.join(import.meta.dirname, '../..');
const PAGE = path.join(CHECKOUT, 'docs/backup-and-recovery.md');

/** The command lines under a heading, in order. */
export const commandsUnder = (heading: string): readonly string[] => {
  const page = fs.readFileSync(PAGE, 'utf8');
  const section = page.split(/^## /m).find((part) => part.startsWith(`${heading}\n`));
  if (section === undefined) throw new Error(`the page has no heading «${heading}»`);
  return [...section.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].flatMap((block) => (block[1] ?? '').trim().split('\n'));
};

export interface Machine {
  /** Where the commands are typed. */
  readonly cwd: string;
  readonly dataFolder: string;
  readonly passphraseFile: string;
}

/** Types a command of the page; answers what it printed. Exit code 1 is findings, not failure. */
export const type = (command: string, { cwd, dataFolder, passphraseFile }: Machine): Promise<string> => {
  const [program, ...args] = command.split(' ');
  if (program !== 'tailplane') throw new Error(`the page says «${command}»`);
  const env = { ...process.env, TAILPLANE_DATA: dataFolder, TAILPLANE_PASSPHRASE_FILE: passphraseFile, NO_COLOR: '1' };
  const entry = path.join(CHECKOUT, 'src/cli/tailplane.js');
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [entry, ...args], { cwd, env, timeout: 60_000 }, (error, stdout, stderr) => {
      const code: unknown = error?.code;
      if (error && code !== 1) reject(new Error(`${command}: ${stdout}${stderr}`));
      else resolve(`${stdout}${stderr}`);
    });
  });
};

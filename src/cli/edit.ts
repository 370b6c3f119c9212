// What the commands that edit the repository share: whether the edit is shown, committed or proposed, and how it is told.

import { Option } from 'commander';
import type { Command } from 'commander';
import type { EditAnswer } from '../server/source-operations.ts';
import { plainLines } from './output.ts';
import type { Output } from './output.ts';

/** A revision as people know it: git's in ten digits, a folder's whole. */
export const short = (revision: string): string => (revision.startsWith('dir-') ? revision : revision.slice(0, 10));

export interface WriteOptions {
  readonly print?: boolean;
  readonly commit?: boolean;
  readonly propose?: boolean;
  readonly message?: string;
}

export const withWriteOptions = (command: Command): Command =>
  command
    .addOption(new Option('--print', 'show the edit and change nothing (default)').conflicts(['commit', 'propose']))
    .addOption(new Option('--commit', 'commit it to the branch that is followed').conflicts(['print', 'propose']))
    .addOption(new Option('--propose', 'push it as a new branch').conflicts(['print', 'commit']))
    .option('-m, --message <text>', 'message of the commit');

export const modeOf = ({ commit, propose }: WriteOptions): string =>
  propose ? 'propose' : commit ? 'commit' : 'print';

export const renderEdit = ({ diff: raw, file, mode, branch, commit, openUrl }: EditAnswer): string => {
  const diff = plainLines(raw);
  if (mode === 'print') return diff.trimEnd();
  if (commit === undefined) return `${diff}\nWritten to ${file}.`;
  const where = mode === 'propose' ? `Pushed as ${branch}` : `Committed to ${branch}`;
  return `${diff}\n${where} (${short(commit)}).${openUrl === undefined ? '' : `\nOpen the pull request: ${openUrl}`}`;
};

export const showEdit = (answer: EditAnswer, out: Output): void => out.show(answer, () => renderEdit(answer));

// The commands about where the tailnet comes from: what serves, what waits and why, going back, waiting, and decisions that
// end as a commit and not as hidden state.

import { InvalidArgumentError } from 'commander';
import type { Command } from 'commander';
import { parseDuration } from '../base/duration.ts';
import type { ReconcileStatus } from '../server/reconcile.ts';
import type { EditAnswer } from '../server/source-operations.ts';
import type { SourceCommit } from '../source/tree.ts';
import { modeOf, short, showEdit, withWriteOptions } from './edit.ts';
import type { WriteOptions } from './edit.ts';
import { EXIT } from './failure.ts';
import { plain, plainLines, relativeTime, table } from './output.ts';
import type { Output } from './output.ts';
import { serverOf } from './server.ts';

const ago = (ms: number): string => relativeTime(ms, Date.now());

const commitLine = ({ subject, author }: SourceCommit): string => `«${plain(subject)}» by ${plain(author.email)}`;

/** What serves, and what does not and why. */
export const renderReconcile = (status: ReconcileStatus, out: Output): string => {
  const { serving, pending, source, suspendedUntilMs } = status;
  const by = serving.commit ? `, ${commitLine(serving.commit)}` : '';
  const lines = [`serving     ${short(serving.revision)}${by}, since ${ago(serving.sinceMs)}`];
  if (pending) {
    const commit = pending.commit ? `, ${commitLine(pending.commit)}` : '';
    lines.push(
      `${out.style('yellow', pending.state.padEnd(11))} ${short(pending.revision)}${commit}, at ${pending.step}`,
    );
    for (const { message, commit: where, allowedBy } of pending.obstacles) {
      lines.push(`            ${where === undefined ? '' : `${short(where)}: `}${plain(message)}`);
      if (allowedBy !== undefined) lines.push(`            to let it pass, put into a commit message: ${allowedBy}`);
    }
  }
  if (suspendedUntilMs !== undefined) lines.push(`waiting     ends ${ago(suspendedUntilMs)}`);
  if (source.refusal)
    lines.push(`${out.style('yellow', 'source')}      ${plain(source.refusal.reason)} Asked ${source.failures} times.`);
  else if (source.checkedAtMs !== undefined) lines.push(`source      asked ${ago(source.checkedAtMs)}`);
  if (source.kind === 'folder')
    lines.push('folder      saved files count at once; the guard only warns, invariants hold');
  const steps = status.steps.map(({ step, state }) =>
    state === 'ok' ? step : out.style('yellow', `${step} ${state}`),
  );
  if (steps.length > 1) lines.push(`last run    ${steps.join(', ')}`);
  for (const { message, span } of status.problems)
    lines.push(
      `${out.style('red', 'problem')}     ${span ? `${span.file}:${span.start.line}: ` : ''}${plain(message)}`,
    );
  if (!status.recorded)
    lines.push(
      `${out.style('red', 'disk')}        the last good tailnet could not be written; a restart would need the source`,
    );
  return lines.join('\n');
};

const showStatus = (status: ReconcileStatus, out: Output): void => {
  out.show(status, () => renderReconcile(status, out));
  if (status.state === 'held' || status.state === 'rejected') process.exitCode = EXIT.findings;
};

const duration = (text: string): number => {
  const ms = parseDuration(text);
  if (ms === undefined) throw new InvalidArgumentError('Write it like 30m, 2h or 1d.');
  return ms;
};

const registerReconcile = (program: Command): void => {
  program
    .command('sync')
    .description('ask the source now, and say what serves')
    .option('--trust <commit>', 'take this commit although it is unsigned, or history was rewritten')
    .addHelpText('after', '\nExample:\n  tailplane sync')
    .action(async ({ trust }: { trust?: string }, command: Command) => {
      const { admin, out } = serverOf(command);
      const status =
        trust === undefined
          ? await admin.post<ReconcileStatus>('/reconcile/sync')
          : await admin.post<ReconcileStatus>('/reconcile/trust', { revision: trust });
      showStatus(status, out);
    });

  program
    .command('history')
    .description('list commits of the tailnet')
    .option('-n, --limit <count>', 'how many', '20')
    .addHelpText('after', '\nExample:\n  tailplane history -n 5')
    .action(async ({ limit }: { limit: string }, command: Command) => {
      const { admin, out } = serverOf(command);
      const log = await admin.get<(SourceCommit & { mark: string | null })[]>(
        `/history?limit=${encodeURIComponent(limit)}`,
      );
      out.show(log, () =>
        table(
          ['COMMIT', 'WHEN', 'AUTHOR', 'SIGNED', 'STATE', 'SUBJECT'],
          log.map(({ id, committer, author, signature, mark, subject }) => [
            short(id),
            ago(committer.atMs),
            plain(author.email),
            signature,
            mark === null ? '' : out.style(mark === 'serving' ? 'green' : 'yellow', mark),
            plain(subject),
          ]),
          out.style,
        ),
      );
    });

  program
    .command('diff')
    .description('show how the files of two commits differ')
    .argument('[from]', 'a commit', 'HEAD~1')
    .argument('[to]', 'a commit', 'HEAD')
    .addHelpText('after', '\nExample:\n  tailplane diff HEAD~3 HEAD')
    .action(async (from: string, to: string, _options: unknown, command: Command) => {
      const { admin, out } = serverOf(command);
      const query = new URLSearchParams({ from, to });
      const answer = await admin.get<{ diff: string }>(`/diff?${query.toString()}`);
      out.show(answer, () => plainLines(answer.diff).trimEnd() || 'The files are the same.');
    });

  program
    .command('rollback')
    .description('serve an earlier commit; what came after it does not come back until a new commit is pushed')
    .argument('<commit>', 'its id, seven digits of it, or HEAD~1')
    .addHelpText('after', '\nExample:\n  tailplane rollback HEAD~1')
    .action(async (revision: string, _options: unknown, command: Command) => {
      const { admin, out } = serverOf(command);
      const status = await admin.post<ReconcileStatus>('/reconcile/rollback', { revision });
      out.show(status, () => renderReconcile(status, out));
    });

  program
    .command('suspend')
    .description('take no commits for a while; it ends by itself')
    .requiredOption('--for <time>', 'how long, like 2h', duration)
    .addHelpText('after', '\nExample:\n  tailplane suspend --for 2h')
    .action(async (options: { for: number }, command: Command) => {
      const { admin, out } = serverOf(command);
      const status = await admin.post<ReconcileStatus>('/reconcile/suspend', { forMs: options.for });
      out.show(status, () => renderReconcile(status, out));
    });

  program
    .command('resume')
    .description('end a suspension now')
    .addHelpText('after', '\nExample:\n  tailplane resume')
    .action(async (_options: unknown, command: Command) => {
      const { admin, out } = serverOf(command);
      showStatus(await admin.post<ReconcileStatus>('/reconcile/resume'), out);
    });
};

const registerEdits = (program: Command): void => {
  const nodes = program.commands.find((command) => command.name() === 'nodes') ?? program.command('nodes');
  withWriteOptions(
    nodes
      .command('declare')
      .description('say something about a machine, as an edit of nodes.json5')
      .argument('<node>', 'name, id or address of the node')
      .option('--name <label>', 'its MagicDNS name')
      .option('--tag <tag...>', 'its tags')
      .option('--address <address...>', 'its fixed addresses')
      .option('--approve', 'let it in')
      .option('--disable', 'cut it off'),
  )
    .addHelpText('after', '\nExample:\n  tailplane nodes declare laptop-7 --approve --propose')
    .action(
      async (
        node: string,
        options: WriteOptions & { name?: string; tag?: string[]; address?: string[]; approve?: true; disable?: true },
        command: Command,
      ) => {
        const { admin, out } = serverOf(command);
        const body = {
          mode: modeOf(options),
          message: options.message,
          name: options.name,
          tags: options.tag,
          addresses: options.address,
          approved: options.approve,
          disabled: options.disable,
        };
        showEdit(await admin.post<EditAnswer>(`/edits/declaration/${encodeURIComponent(node)}`, body), out);
      },
    );
};

export const registerSource = (program: Command): void => {
  registerReconcile(program);
  registerEdits(program);
};

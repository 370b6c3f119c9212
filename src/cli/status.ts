// `tailplane status`: what the server serves and how it is.

import type { Command } from 'commander';
import type { StatusAnswer } from '../http/answers.ts';
import { plain, relativeTime } from './output.ts';
import type { ReconcileStatus } from '../server/reconcile.ts';
import { serverOf } from './server.ts';
import { renderReconcile } from './source.ts';

export const registerStatus = (program: Command): void => {
  program
    .command('status')
    .description('show what the server serves and how it is')
    .addHelpText('after', '\nExample:\n  tailplane status --json')
    .action(async (_options: unknown, command: Command) => {
      const { admin, out } = serverOf(command);
      const status = await admin.get<StatusAnswer>('/status');
      out.show(status, () => {
        const rows: readonly (readonly [string, string])[] = [
          ['tailnet', plain(status.tailnet)],
          ['state', out.style(status.state === 'serving' ? 'green' : 'yellow', status.state)],
          ['nodes', `${status.nodes.online} online of ${status.nodes.total}`],
          ['address', status.url],
          ['version', `${status.version}, started ${relativeTime(Date.parse(status.startedAt), Date.now())}`],
          ...status.problems.map((problem) => ['problem', out.style('yellow', plain(problem))] as const),
          ...status.drift.map((line) => ['not in git', plain(line)] as const),
        ];
        const head = rows.map(([name, value]) => `${out.style('dim', name.padEnd(11))} ${value}`).join('\n');
        return `${head}\n${renderReconcile(status.reconcile as ReconcileStatus, out)}`;
      });
    });
};

// `tailplane auth`: machines that ran `tailscale up` without a key and wait for a person.

import { Option } from 'commander';
import type { Command } from 'commander';
import type { LoginAnswer, NodeAnswer } from '../http/answers.ts';
import { plain, relativeTime, table } from './output.ts';
import { serverOf } from './server.ts';

export const registerAuth = (program: Command): void => {
  const auth = program.command('auth').description('machines that wait to be let in');

  auth
    .command('list')
    .description('list machines that wait')
    .addHelpText('after', '\nExample:\n  tailplane auth list')
    .action(async (_options: unknown, command: Command) => {
      const { admin, out } = serverOf(command);
      const list = await admin.get<LoginAnswer[]>('/logins');
      out.show(list, () =>
        list.length === 0
          ? 'No machine waits.'
          : table(
              ['CODE', 'MACHINE', 'SYSTEM', 'FROM', 'SINCE'],
              list.map((login) => [
                plain(login.code),
                plain(login.hostname),
                plain(login.os),
                plain(login.remote),
                relativeTime(Date.parse(login.created), Date.now()),
              ]),
              out.style,
            ),
      );
    });

  auth
    .command('approve')
    .description('let a machine in')
    .argument('<code>', 'the code that its page shows')
    .option('--user <login>', 'whose machine it is; needed where there is more than one person')
    .addOption(
      new Option('--tag <tag>', 'give it this tag instead of an owner; repeatable')
        .argParser((tag, all: readonly string[]) => [...all, tag])
        .default([], 'none'),
    )
    .addHelpText('after', '\nExample:\n  tailplane auth approve QK3F-7TZA --user alice@example.com')
    .action(async (code: string, options: { user?: string; tag: string[] }, command: Command) => {
      const { admin, out } = serverOf(command);
      const node = await admin.post<NodeAnswer>(`/logins/${encodeURIComponent(code)}/approve`, {
        user: options.user,
        tags: options.tag,
      });
      out.show(node, () => `${plain(node.name)} is in, as ${node.addresses.join(' and ')}.`);
    });

  auth
    .command('deny')
    .description('turn a machine away')
    .argument('<code>', 'the code that its page shows')
    .addHelpText('after', '\nExample:\n  tailplane auth deny QK3F-7TZA')
    .action(async (code: string, _options: unknown, command: Command) => {
      const { admin, out } = serverOf(command);
      const login = await admin.post<LoginAnswer>(`/logins/${encodeURIComponent(code)}/deny`);
      out.show(login, () => `Turned ${plain(login.hostname)} away.`);
    });
};

// `tailplane auth`: what waits for a person's yes: machines that ran `tailscale up` without a key, and shells in check mode.

import { Option } from 'commander';
import type { Command } from 'commander';
import type { LoginAnswer, NodeAnswer, SshCheckAnswer } from '../http/answers.ts';
import { plain, relativeTime, table } from './output.ts';
import { serverOf } from './server.ts';

export const registerAuth = (program: Command): void => {
  const auth = program.command('auth').description('machines and shells that wait for a yes');

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

  const ssh = auth.command('ssh').description('shells that wait for a confirmation');

  ssh
    .command('list')
    .description('list shells that wait')
    .addHelpText('after', '\nExample:\n  tailplane auth ssh list')
    .action(async (_options: unknown, command: Command) => {
      const { admin, out } = serverOf(command);
      const list = await admin.get<SshCheckAnswer[]>('/ssh-checks');
      out.show(list, () =>
        list.length === 0
          ? 'No shell waits.'
          : table(
              ['CODE', 'FROM', 'PERSON', 'TO', 'AS', 'SINCE'],
              list.map((check) => [
                check.code,
                plain(check.from),
                plain(check.user ?? '-'),
                plain(check.to),
                plain(check.as),
                relativeTime(Date.parse(check.created), Date.now()),
              ]),
              out.style,
            ),
      );
    });

  for (const [name, about, past] of [
    ['approve', 'let a shell open', 'may open'],
    ['deny', 'refuse a shell', 'was refused'],
  ] as const) {
    ssh
      .command(name)
      .description(about)
      .argument('<code>', 'the code that its page shows')
      .addHelpText('after', `\nExample:\n  tailplane auth ssh ${name} QK3F-7TZA`)
      .action(async (code: string, _options: unknown, command: Command) => {
        const { admin, out } = serverOf(command);
        const check = await admin.post<SshCheckAnswer>(`/ssh-checks/${encodeURIComponent(code)}/${name}`);
        out.show(check, () => `The shell from ${plain(check.from)} to ${plain(check.to)} ${past}.`);
      });
  }
};

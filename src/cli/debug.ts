// `tailplane debug`: what the server told which machine, when and why.

import type { Command } from 'commander';
import type { SessionAnswer, TimelineAnswer } from '../http/answers.ts';
import { plain, relativeTime, table } from './output.ts';
import { serverOf } from './server.ts';

const size = (bytes: number): string => (bytes < 10_000 ? `${bytes} B` : `${Math.round(bytes / 1000)} kB`);

export const registerDebug = (program: Command): void => {
  const debug = program.command('debug').description('look inside a running server');

  debug
    .command('sessions')
    .description('list the map sessions that are open')
    .addHelpText('after', '\nExample:\n  tailplane debug sessions')
    .action(async (_options: unknown, command: Command) => {
      const { admin, out } = serverOf(command);
      const list = await admin.get<SessionAnswer[]>('/debug/sessions');
      out.show(list, () =>
        list.length === 0
          ? 'No machine is connected.'
          : table(
              ['NODE', 'NAME', 'FROM', 'PROTOCOL', 'SINCE', 'MESSAGES', 'SENT', 'STATE'],
              list.map((session) => [
                String(session.node),
                plain(session.name),
                session.remote,
                String(session.capver),
                relativeTime(Date.parse(session.since), Date.now()),
                String(session.messages),
                size(session.sentBytes),
                session.state,
              ]),
              out.style,
            ),
      );
    });

  debug
    .command('netmap')
    .description('print the map that a machine would get now')
    .argument('<node>', 'name, id or address of the machine')
    .addHelpText('after', '\nExample:\n  tailplane debug netmap laptop | jq .PacketFilters')
    .action(async (node: string, _options: unknown, command: Command) => {
      const { admin } = serverOf(command);
      const map = await admin.get<unknown>(`/debug/netmap/${encodeURIComponent(node)}`);
      process.stdout.write(`${JSON.stringify(map, null, 2)}\n`);
    });

  debug
    .command('timeline')
    .description('list the last messages to a machine, and what caused each')
    .argument('<node>', 'name, id or address of the machine')
    .addHelpText('after', '\nExample:\n  tailplane debug timeline laptop')
    .action(async (node: string, _options: unknown, command: Command) => {
      const { admin, out } = serverOf(command);
      const list = await admin.get<TimelineAnswer[]>(`/debug/timeline/${encodeURIComponent(node)}`);
      out.show(list, () =>
        list.length === 0
          ? 'Nothing was sent to it since the server started.'
          : table(
              ['AT', 'KIND', 'SIZE', 'BECAUSE OF', 'FIELDS'],
              list.map((entry) => [
                entry.at,
                entry.kind,
                size(entry.sizeBytes),
                entry.causes.join(', '),
                entry.fields.join(' '),
              ]),
              out.style,
            ),
      );
    });
};

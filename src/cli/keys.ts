// `tailplane keys`: pre-auth keys made at run time. Keys that live in the repository are declared in keys.json5, by hash;
// `keys create --declare` makes such an entry and leaves the server alone.

import type { Command } from 'commander';
import { InvalidArgumentError, Option } from 'commander';
import type { CreatedKey, KeyAnswer } from '../http/answers.ts';
import { parseDuration } from './duration.ts';
import { relativeTime, plain, table } from './output.ts';
import { serverOf } from './server.ts';

interface CreateOptions {
  readonly user?: string;
  readonly tag: readonly string[];
  readonly reusable?: boolean;
  readonly ephemeral?: boolean;
  readonly expires: number | null;
  readonly description?: string;
}

const DEFAULT_EXPIRY = '90d';

const expiry = (text: string): number | null => {
  if (text === 'never') return null;
  const ms = parseDuration(text);
  if (ms === undefined) throw new InvalidArgumentError('Write it like 15m, 24h or 90d, or «never».');
  return ms;
};

const ownerOf = (key: KeyAnswer): string => key.user ?? key.tags.join(',');
const kindOf = (key: KeyAnswer): string =>
  [key.reusable ? 'reusable' : 'single use', ...(key.ephemeral ? ['ephemeral'] : [])].join(', ');

export const registerKeys = (program: Command): void => {
  const keys = program.command('keys').description('pre-auth keys, with which machines join');

  keys
    .command('create')
    .description('make a key; its secret is shown this once')
    .option('--user <login>', 'who owns the machines that join with it; default: the first owner of the tailnet')
    .addOption(
      new Option('--tag <tag>', 'the machines carry this tag instead of an owner; repeatable')
        .argParser((tag, all: readonly string[]) => [...all, tag])
        .default([], 'none'),
    )
    .option('--reusable', 'for more than one machine')
    .option('--ephemeral', 'the machines are forgotten soon after they leave')
    .addOption(
      new Option('--expires <duration>', 'how long it can be used; «never» for no limit')
        .argParser(expiry)
        .default(expiry(DEFAULT_EXPIRY), DEFAULT_EXPIRY),
    )
    .option('--description <text>', 'what it is for')
    .addHelpText('after', '\nExample:\n  tailplane keys create --tag tag:server --expires 1h')
    .action(async (options: CreateOptions, command: Command) => {
      const { admin, out } = serverOf(command);
      const key = await admin.post<CreatedKey>('/keys', {
        user: options.user,
        tags: options.tag,
        reusable: options.reusable,
        ephemeral: options.ephemeral,
        ttlMs: options.expires,
        description: options.description,
      });
      out.show(key, () => key.key);
      const until = key.expires === null ? 'until it is revoked' : `until ${key.expires}`;
      out.note(`${kindOf(key)}, for ${plain(ownerOf(key))}, ${until}. It is not stored and not shown again.`);
    });

  keys
    .command('list')
    .description('list keys, never their secrets')
    .addHelpText('after', '\nExample:\n  tailplane keys list --json')
    .action(async (_options: unknown, command: Command) => {
      const { admin, out } = serverOf(command);
      const list = await admin.get<KeyAnswer[]>('/keys');
      out.show(list, () =>
        list.length === 0
          ? 'No keys. Make one with: tailplane keys create'
          : table(
              ['ID', 'FOR', 'KIND', 'STATE', 'USED', 'EXPIRES', 'FROM', 'DESCRIPTION'],
              list.map((key) => [
                key.id,
                plain(ownerOf(key)),
                kindOf(key),
                out.style(key.state === 'usable' ? 'green' : 'dim', key.state),
                String(key.used),
                key.expires === null ? 'never' : relativeTime(Date.parse(key.expires), Date.now()),
                key.origin === 'declared' ? 'keys.json5' : 'server',
                plain(key.description),
              ]),
              out.style,
            ),
      );
    });

  keys
    .command('revoke')
    .description('make a key unusable; machines that joined with it stay')
    .argument('<id>', 'the id of the key, or the key itself')
    .addHelpText('after', '\nExample:\n  tailplane keys revoke k3f9')
    .action(async (id: string, _options: unknown, command: Command) => {
      const { admin, out } = serverOf(command);
      // Of a whole key only its public part leaves this process.
      const name = /^tpkey-auth-([^-]+)-/.exec(id)?.[1] ?? id;
      const key = await admin.remove<KeyAnswer>(`/keys/${encodeURIComponent(name)}`);
      out.show(key, () => `Revoked ${key.id}.`);
    });
};

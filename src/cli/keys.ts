// `tailplane keys`: pre-auth keys made at run time. Keys that live in the repository are declared in keys.json5, by hash;
// `keys create --declare` makes such an entry and leaves the server alone.

import { randomBytes } from 'node:crypto';
import type { Command } from 'commander';
import { InvalidArgumentError, Option } from 'commander';
import type { CreatedKey, KeyAnswer } from '../http/answers.ts';
import { parseLogin, parseTag } from '../base/ids.ts';
import type { Tag } from '../base/ids.ts';
import { createAuthKey } from '../identity/preauth.ts';
import { parseDuration } from '../base/duration.ts';
import { EXIT, Failure } from './failure.ts';
import { relativeTime, plain, table } from './output.ts';
import { outputOf, serverOf } from './server.ts';

interface CreateOptions {
  readonly user?: string;
  readonly tag: readonly string[];
  readonly reusable?: boolean;
  readonly ephemeral?: boolean;
  readonly expires: number | null;
  readonly description?: string;
  readonly declare?: boolean;
}

const DEFAULT_EXPIRY = '90d';

/** `15m`, `90d` or `never`, in milliseconds. */
export const expiry = (text: string): number | null => {
  if (text === 'never') return null;
  const ms = parseDuration(text);
  if (ms === undefined) throw new InvalidArgumentError('Write it like 15m, 24h or 90d, or «never».');
  return ms;
};

const ownerOf = (key: KeyAnswer): string => key.user ?? key.tags.join(',');
const kindOf = (key: KeyAnswer): string =>
  [key.reusable ? 'reusable' : 'single use', ...(key.ephemeral ? ['ephemeral'] : [])].join(', ');

/** An entry of a list of keys.json5, to be pasted there. */
export const renderEntry = (list: 'authKeys' | 'apiCredentials', entry: object): string => {
  const fields = Object.entries(entry).map(([name, value]) => `  ${name}: ${JSON.stringify(value)},`);
  return `For \`${list}\` in keys.json5:\n\n{\n${fields.join('\n')}\n},`;
};

/** A key for keys.json5: the entry for the repository, and the secret, which is shown here and kept nowhere. */
const declareKey = (options: CreateOptions, command: Command): void => {
  const tags = options.tag.map((tag) => parseTag(tag));
  const login = options.user === undefined ? undefined : parseLogin(options.user);
  if (tags.includes(undefined) || (options.user !== undefined && !login) || tags.length > 0 === (login !== undefined)) {
    throw new Failure(
      EXIT.usage,
      'cli/usage',
      'A declared key is for one person or for tags.',
      'Give --user alice@example.com, or --tag tag:server.',
    );
  }
  const nowMs = Date.now();
  const { text, record } = createAuthKey(
    {
      login: login ?? null,
      tags: tags as Tag[],
      reusable: options.reusable === true,
      ephemeral: options.ephemeral === true,
      preapproved: true,
      expiresMs: options.expires === null ? null : nowMs + options.expires,
      description: options.description ?? '',
    },
    nowMs,
    (sizeBytes) => randomBytes(sizeBytes),
  );
  const entry = {
    id: record.id,
    hash: `sha256:${record.sha256}`,
    ...(record.login === null ? { tags: record.tags } : { owner: record.login }),
    ...(record.reusable ? { reusable: true } : {}),
    ...(record.ephemeral ? { ephemeral: true } : {}),
    ...(record.expiresMs === null ? {} : { expires: new Date(record.expiresMs).toISOString() }),
    ...(record.description === '' ? {} : { description: record.description }),
  };
  const key = text.reveal();
  outputOf(command).show({ key, entry }, () => `${key}\n\n${renderEntry('authKeys', entry)}`);
};

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
    .option('--declare', 'print an entry for keys.json5 instead of telling a server')
    .addHelpText('after', '\nExample:\n  tailplane keys create --tag tag:server --expires 1h')
    .action(async (options: CreateOptions, command: Command) => {
      if (options.declare) {
        declareKey(options, command);
        return;
      }
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

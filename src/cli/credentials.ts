// `tailplane credentials`: API credentials, with which people decide on the pages of the server. They live in keys.json5 by
// hash: the secret is made here, shown once, and never sent anywhere.

import { randomBytes } from 'node:crypto';
import type { Command } from 'commander';
import { Option } from 'commander';
import type { CredentialAnswer } from '../http/answers.ts';
import { parseLogin } from '../base/ids.ts';
import { createToken } from '../identity/token.ts';
import type { EditAnswer } from '../server/source-operations.ts';
import { modeOf, renderEdit, showEdit, withWriteOptions } from './edit.ts';
import type { WriteOptions } from './edit.ts';
import { EXIT, Failure } from './failure.ts';
import { expiry, renderEntry } from './keys.ts';
import { plain, relativeTime, table } from './output.ts';
import { outputOf, serverOf } from './server.ts';

interface CreateOptions extends WriteOptions {
  readonly user: string;
  readonly scope: readonly string[];
  readonly expires: number | null;
  readonly description?: string;
}

const DEFAULT_EXPIRY = '90d';
const DEFAULT_SCOPES = ['logins', 'shells'];

const create = async (options: CreateOptions, command: Command): Promise<void> => {
  const owner = parseLogin(options.user);
  if (!owner) {
    throw new Failure(EXIT.usage, 'cli/usage', `«${options.user}» is not a login.`, 'Write it like alice@example.com.');
  }
  const { text, id, sha256 } = createToken('api', (sizeBytes) => randomBytes(sizeBytes));
  const entry = {
    id,
    hash: `sha256:${sha256}`,
    owner,
    scopes: options.scope,
    ...(options.expires === null ? {} : { expires: new Date(Date.now() + options.expires).toISOString() }),
    ...(options.description === undefined ? {} : { description: options.description }),
  };
  const mode = modeOf(options);
  if (mode === 'print') {
    const key = text.reveal();
    outputOf(command).show({ key, entry }, () => `${key}\n\n${renderEntry('apiCredentials', entry)}`);
    return;
  }
  const { admin, out } = serverOf(command);
  const edit = await admin.post<EditAnswer>('/edits/credentials', { ...entry, mode, message: options.message });
  out.show({ key: text.reveal(), entry, edit }, () => text.reveal());
  out.note(`${renderEdit(edit)}\n\nThe credential is not stored and not shown again.`);
};

export const registerCredentials = (program: Command): void => {
  const credentials = program
    .command('credentials')
    .description('API credentials, with which people decide on the pages of the server');

  withWriteOptions(
    credentials
      .command('create')
      .description('make a credential; its secret is shown this once, its hash goes into keys.json5')
      .requiredOption('--user <login>', 'for whom it acts')
      .addOption(
        new Option('--scope <scope>', 'what it may do: logins (let machines in), shells (confirm shells); repeatable')
          .argParser((scope, all: readonly string[]) => (all === DEFAULT_SCOPES ? [scope] : [...all, scope]))
          .default(DEFAULT_SCOPES, 'both'),
      )
      .addOption(
        new Option('--expires <duration>', 'how long it can be used; «never» for no limit')
          .argParser(expiry)
          .default(expiry(DEFAULT_EXPIRY), DEFAULT_EXPIRY),
      )
      .option('--description <text>', 'what it is for'),
  )
    .addHelpText('after', '\nExample:\n  tailplane credentials create --user alice@example.com --commit')
    .action(create);

  credentials
    .command('list')
    .description('list credentials, never their secrets')
    .addHelpText('after', '\nExample:\n  tailplane credentials list')
    .action(async (_options: unknown, command: Command) => {
      const { admin, out } = serverOf(command);
      const list = await admin.get<CredentialAnswer[]>('/credentials');
      out.show(list, () =>
        list.length === 0
          ? 'No credentials. Make one with: tailplane credentials create --user alice@example.com --commit'
          : table(
              ['ID', 'FOR', 'SCOPES', 'STATE', 'EXPIRES', 'DESCRIPTION'],
              list.map((credential) => [
                credential.id,
                plain(credential.user ?? credential.tags.join(',')),
                credential.scopes.join(' '),
                out.style(credential.state === 'usable' ? 'green' : 'dim', credential.state),
                credential.expires === null ? 'never' : relativeTime(Date.parse(credential.expires), Date.now()),
                plain(credential.description),
              ]),
              out.style,
            ),
      );
    });

  withWriteOptions(
    credentials
      .command('withdraw')
      .description('take a credential out of keys.json5: it is refused from then on')
      .argument('<id>', 'the id of the credential, or the credential itself'),
  )
    .addHelpText('after', '\nExample:\n  tailplane credentials withdraw k3f9 --commit')
    .action(async (id: string, options: WriteOptions, command: Command) => {
      const { admin, out } = serverOf(command);
      // Of a whole credential only its public part leaves this process.
      const name = /^tpkey-api-([^-]+)-/.exec(id)?.[1] ?? id;
      const body = { mode: modeOf(options), message: options.message };
      showEdit(await admin.post<EditAnswer>(`/edits/credentials/${encodeURIComponent(name)}/withdraw`, body), out);
    });
};

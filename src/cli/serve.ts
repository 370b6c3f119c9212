// `tailplane serve [DIR]`: reads the settings, starts the server and ends it well. What the server says while it runs goes
// to its log on standard error; the one line to paste goes to standard output.

import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { Option } from 'commander';
import { parseDocument } from '../config/document.ts';
import { plainOf } from '../config/located.ts';
import { renderTerminal } from '../review/terminal.ts';
import { StartFailure } from '../server/failure.ts';
import { SETTINGS, flagOf, resolveSettings, variableOf } from '../server/settings.ts';
import type { SettingRow } from '../server/settings.ts';
import { EXIT, Failure } from './failure.ts';
import { packageVersion } from './version.ts';
import { wantsColour } from './output.ts';

const SETTINGS_FILE = 'tailplane.json5';
const DRAIN_MS = 1_500;

const bundledExample = (): string => fileURLToPath(new URL('../../tailnet.example', import.meta.url));

const readSettingsFile = (named: string | undefined): { path: string; value: Record<string, unknown> } | undefined => {
  const file = path.resolve(named ?? SETTINGS_FILE);
  if (!fs.existsSync(file)) {
    if (named === undefined) return undefined;
    throw new Failure(EXIT.usage, 'server/bad-setting', `There is no settings file ${file}.`, 'Check --config.');
  }
  const bytes = fs.readFileSync(file);
  const { root, diagnostics } = parseDocument(path.basename(file), bytes, { dialect: 'json5' });
  if (root?.kind !== 'object') {
    const sources = new Map([[path.basename(file), bytes.toString('utf8')]]);
    const text = renderTerminal({ diagnostics, sources }, { colour: false });
    throw new Failure(
      EXIT.usage,
      'server/bad-setting',
      `The settings file can't be used.\n${text}`,
      'It is one JSON5 object.',
    );
  }
  return { path: file, value: plainOf(root) as Record<string, unknown> };
};

const optionOf = (row: SettingRow): Option => {
  const flag = flagOf(row.name);
  const about = `${row.about} (${variableOf(row.name)})`;
  if (row.kind === 'switch') return new Option(`--${flag} [on|off]`, about).preset('on');
  const option = new Option(`--${flag} <${row.value ?? row.kind}>`, about);
  return row.choices ? option.choices(row.choices) : option;
};

const defaultSource = (): string => (fs.existsSync('tailnet.json5') ? path.resolve('.') : bundledExample());

export const registerServe = (program: Command): void => {
  const serve = program
    .command('serve')
    .description('run the server')
    .argument('[source]', 'the tailnet: a folder, a git repository, or its URL')
    .option('--config <file>', `settings file (default: ${SETTINGS_FILE} if there is one)`);
  const rows: readonly SettingRow[] = SETTINGS;
  for (const row of rows) if (!row.secret && row.name !== 'data') serve.addOption(optionOf(row));
  serve
    .addHelpText(
      'after',
      '\nSecrets have no flags; they come as TAILPLANE_SOURCE_TOKEN, TAILPLANE_WEBHOOK_SECRET or from files (…_FILE).\n' +
        '\nExample:\n  tailplane serve my-tailnet --listen 0.0.0.0:8080 --url https://tail.example.com',
    )
    .action(async (source: string | undefined, _options: unknown, command: Command) => {
      const flags = command.optsWithGlobals<Record<string, unknown> & { config?: string }>();
      const { settings, problems } = resolveSettings({
        flags: { ...flags, ...(source === undefined ? {} : { source }) },
        env: process.env,
        ...((file) => (file ? { file } : {}))(readSettingsFile(flags.config)),
        cwd: process.cwd(),
        readSecret: (file) => fs.readFileSync(file, 'utf8'),
      });
      if (problems.length > 0) {
        const text = problems.map(({ from, message }) => `  ${from}: ${message}`).join('\n');
        throw new Failure(
          EXIT.usage,
          'server/bad-setting',
          `The settings can't be used:\n${text}`,
          'tailplane serve --help lists them.',
        );
      }
      const terminal = process.stderr.isTTY;
      // Loaded late, so that the other commands start without the whole server.
      const { startServer } = await import('../server/start.ts');
      const server = await startServer({
        settings,
        defaultSource: defaultSource(),
        version: packageVersion(),
        pretty: terminal,
        colour: wantsColour(process.stderr),
        announce: (line) => process.stdout.write(`${line}\n`),
      }).catch((error: unknown) => {
        if (error instanceof StartFailure) {
          throw new Failure(error.kind === 'usage' ? EXIT.usage : EXIT.findings, error.code, error.message, error.help);
        }
        throw error;
      });
      const stop = (signal: NodeJS.Signals): void => {
        // A second signal, or a drain that hangs, ends the process at once.
        process.once(signal, () => process.exit(1));
        setTimeout(() => process.exit(1), DRAIN_MS).unref();
        server.stop(signal).then(
          () => process.exit(0),
          () => process.exit(1),
        );
      };
      process.once('SIGINT', stop);
      process.once('SIGTERM', stop);
    });
};

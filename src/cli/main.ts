// The command line: what commands there are, and how each ends. Every command is in a file of its own and registers
// itself here; failures become one clear message and an exit code.

import { Command, CommanderError } from 'commander';
import { registerAuth } from './auth.ts';
import { registerBackup } from './backup.ts';
import { registerCompletion } from './completion.ts';
import { registerCredentials } from './credentials.ts';
import { registerDebug } from './debug.ts';
import { registerDerp } from './derp.ts';
import { registerDoctor } from './doctor.ts';
import { EXIT, Failure } from './failure.ts';
import { registerFmt } from './fmt.ts';
import { registerInit } from './init.ts';
import { registerKeys } from './keys.ts';
import { registerLint } from './lint.ts';
import { registerNodes } from './nodes.ts';
import { registerOverview } from './overview.ts';
import { registerReview } from './review.ts';
import { registerSeal, registerSigner } from './seal.ts';
import { registerServe } from './serve.ts';
import { registerRoutes } from './routes.ts';
import { registerSource } from './source.ts';
import { registerStatus } from './status.ts';
import { registerVersion } from './version.ts';
import { wantsColour } from './output.ts';

export const buildProgram = (): Command => {
  const program = new Command('tailplane')
    .description('A control server for Tailscale clients whose configuration is a git repository.')
    .option('--json', 'answer in JSON, for programs')
    .option('--data <dir>', 'data folder of the server to talk to (TAILPLANE_DATA; default: data)')
    .showHelpAfterError('(--help shows how)')
    .showSuggestionAfterError()
    .exitOverride()
    .configureHelp({ showGlobalOptions: true });
  registerServe(program);
  registerInit(program);
  registerLint(program);
  registerFmt(program);
  registerReview(program);
  registerOverview(program);
  registerStatus(program);
  registerNodes(program);
  registerKeys(program);
  registerCredentials(program);
  registerAuth(program);
  registerDebug(program);
  registerDerp(program);
  registerRoutes(program);
  registerSource(program);
  registerSeal(program);
  registerSigner(program);
  registerBackup(program);
  registerDoctor(program);
  registerCompletion(program);
  registerVersion(program);
  return program;
};

const report = (failure: Failure, json: boolean): void => {
  if (json) {
    const error = { code: failure.code, message: failure.message, help: failure.help };
    process.stdout.write(`${JSON.stringify({ error }, null, 2)}\n`);
    return;
  }
  const red = wantsColour(process.stderr) ? ['\u001b[31m', '\u001b[0m'] : ['', ''];
  const help = failure.help === undefined ? '' : `  ${failure.help}\n`;
  process.stderr.write(`${red[0]}error${red[1]}[${failure.code}]: ${failure.message}\n${help}`);
};

/** Runs one command line; the exit code is set, and the process ends when nothing is left to do. */
export const run = async (argv: readonly string[]): Promise<void> => {
  try {
    await buildProgram().parseAsync([...argv], { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError) {
      process.exitCode = error.exitCode === 0 ? EXIT.fine : EXIT.usage;
    } else if (error instanceof Failure) {
      report(error, argv.includes('--json'));
      process.exitCode = error.exitCode;
    } else throw error;
  }
};

// The command line: which commands are loaded, and how each ends. Failures become one clear message and an exit code.

import { CommanderError } from 'commander';
import type { Command } from 'commander';
import { EXIT, Failure } from './failure.ts';
import { plainLines, wantsColour } from './output.ts';
import { createProgram } from './root.ts';

const report = (failure: Failure, json: boolean): void => {
  if (json) {
    const error = { code: failure.code, message: failure.message, help: failure.help };
    process.stdout.write(`${JSON.stringify({ error }, null, 2)}\n`);
    return;
  }
  const red = wantsColour(process.stderr) ? ['\u001b[31m', '\u001b[0m'] : ['', ''];
  const help = failure.help === undefined ? '' : `  ${failure.help}\n`;
  process.stderr.write(`${red[0]}error${red[1]}[${failure.code}]: ${plainLines(failure.message)}\n${plainLines(help)}`);
};

/** What lives long doesn't load the other commands; every other command line may name any, or need help. */
const programFor = async (argv: readonly string[]): Promise<Command> => {
  const program = createProgram();
  if (argv[0] === 'serve') (await import('./serve.ts')).registerServe(program);
  else if (argv[0] === 'derp') (await import('./derp.ts')).registerDerp(program);
  else return (await import('./program.ts')).buildProgram();
  return program;
};

/** Runs one command line; the exit code is set, and the process ends when nothing is left to do. */
export const run = async (argv: readonly string[]): Promise<void> => {
  try {
    const program = await programFor(argv);
    await program.parseAsync([...argv], { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError) {
      process.exitCode = error.exitCode === 0 ? EXIT.fine : EXIT.usage;
    } else if (error instanceof Failure) {
      report(error, argv.includes('--json'));
      process.exitCode = error.exitCode;
    } else throw error;
  }
};

// `tailplane version`: what runs, on what.

import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { createOutput } from './output.ts';

export const packageVersion = (): string => {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
};

export const registerVersion = (program: Command): void => {
  program
    .command('version')
    .description('print the version')
    .addHelpText('after', '\nExample:\n  tailplane version --json')
    .action((_options: unknown, command: Command) => {
      const { json = false } = command.optsWithGlobals<{ json?: boolean }>();
      const value = {
        version: packageVersion(),
        node: process.versions.node,
        platform: `${process.platform}/${process.arch}`,
      };
      createOutput(json).show(value, () => `tailplane ${value.version} (Node ${value.node}, ${value.platform})`);
    });
};

// The root of the command line, before any command is registered: its name and what all commands share.

import { Command } from 'commander';

export const createProgram = (): Command =>
  new Command('tailplane')
    .description('A control server for Tailscale clients whose configuration is a git repository.')
    .option('--json', 'answer in JSON, for programs')
    .option('--data <dir>', 'data folder of the server to talk to (TAILPLANE_DATA; default: data)')
    .showHelpAfterError('(--help shows how)')
    .showSuggestionAfterError()
    .exitOverride()
    .configureHelp({ showGlobalOptions: true });

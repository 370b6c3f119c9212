// What the commands that talk to a running server share: where its data folder is, and how the answer is to be shown.

import path from 'node:path';
import type { Command } from 'commander';
import { connectAdmin } from './admin.ts';
import type { AdminClient } from './admin.ts';
import { createOutput } from './output.ts';
import type { Output } from './output.ts';

interface Shared {
  readonly json?: boolean;
  readonly data?: string;
}

export const dataFolderOf = (command: Command): string =>
  path.resolve(command.optsWithGlobals<Shared>().data ?? process.env['TAILPLANE_DATA'] ?? 'data');

export const outputOf = (command: Command): Output => createOutput(command.optsWithGlobals<Shared>().json ?? false);

export const serverOf = (command: Command): { readonly admin: AdminClient; readonly out: Output } => ({
  admin: connectAdmin(dataFolderOf(command)),
  out: outputOf(command),
});

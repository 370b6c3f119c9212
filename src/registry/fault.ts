// Why the registry of a folder can't be opened: nothing is guessed and nothing is repaired behind the owner's back.

import type { Code } from '../base/catalogue.ts';

export class RegistryFault extends Error {
  readonly code: Code;
  /** What to do, in one or two sentences. */
  readonly help: string;

  constructor(code: Code, message: string, help: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'RegistryFault';
    this.code = code;
    this.help = help;
  }
}

// How a command ends when it can't do what was asked: an exit code, one sentence, and what to do about it.

import type { Code } from '../base/catalogue.ts';

/** 0 fine, 1 findings or refusal, 2 usage or a wrong setting, 3 the server can't be reached. */
export const EXIT = Object.freeze({ fine: 0, findings: 1, usage: 2, unreachable: 3 });

export class Failure extends Error {
  readonly exitCode: number;
  readonly code: Code;
  /** What to do, in a sentence or a command to paste. */
  readonly help: string | undefined;

  constructor(exitCode: number, code: Code, message: string, help?: string) {
    super(message);
    this.name = 'Failure';
    this.exitCode = exitCode;
    this.code = code;
    this.help = help;
  }
}

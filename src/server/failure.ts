// Why a server didn't start, for the person who started it.

import type { Code } from '../base/catalogue.ts';

export class StartFailure extends Error {
  /** `usage`: a setting is wrong; `state`: the machine or the tailnet is. */
  readonly kind: 'usage' | 'state';
  readonly code: Code;
  readonly help: string | undefined;

  constructor(kind: 'usage' | 'state', code: Code, message: string, help?: string) {
    super(message);
    this.name = 'StartFailure';
    this.kind = kind;
    this.code = code;
    this.help = help;
  }
}

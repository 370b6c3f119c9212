// An Outcome is an expected refusal at run time, as a value: the caller must look before it takes the value.
// A refusal carries a catalogued code and one sentence for the person who asked.

import type { Code } from './catalogue.ts';

export type Outcome<T> = { readonly ok: true; readonly value: T } | Refusal;

export interface Refusal {
  readonly ok: false;
  readonly code: Code;
  /** One sentence, safe to show to the person who asked. */
  readonly reason: string;
}

export const accept = <T>(value: T): Outcome<T> => ({ ok: true, value });

export const refuse = (code: Code, reason: string): Refusal => ({ ok: false, code, reason });

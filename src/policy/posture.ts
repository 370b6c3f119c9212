// Device posture: assertions about a node's attributes, `node:os == 'linux'`.

import type { Span } from '../base/diagnostic.ts';

export type Scalar = string | number | boolean;

export interface Assertion {
  readonly attribute: string;
  readonly operator: '==' | '!=' | '>=' | '>' | '<=' | '<' | 'IN' | 'NOT IN' | 'IS SET' | 'NOT SET';
  /** One value; several for IN and NOT IN; none for IS SET and NOT SET. */
  readonly values: readonly Scalar[];
  readonly text: string;
  readonly at: Span;
}

// Device posture: assertions about a node's attributes, `node:os == 'linux'`, `node:tsVersion >= '1.60'`. All assertions
// of a posture must hold; an attribute that the node doesn't have makes every comparison false.

import type { Json } from '../base/canonical.ts';
import type { Span } from '../base/diagnostic.ts';

export type Scalar = string | number | boolean;

export type Operator = '==' | '!=' | '>=' | '>' | '<=' | '<' | 'IN' | 'NOT IN' | 'IS SET' | 'NOT SET';

export interface Assertion {
  readonly attribute: string;
  readonly operator: Operator;
  /** One value; several for IN and NOT IN; none for IS SET and NOT SET. */
  readonly values: readonly Scalar[];
  readonly text: string;
  readonly at: Span;
}

const ASSERTION = /^([A-Za-z][\w-]*:[\w.-]+)\s+(IS\s+SET|NOT\s+SET|NOT\s+IN|IN|==|!=|>=|<=|>|<)\s*(.*)$/i;
const VALUE = /^(?:'([^']*)'|"([^"]*)"|(true|false)|(-?\d+(?:\.\d+)?))/;

/** The values of `'a'`, `1`, or `['a', 'b']`; undefined for anything else. */
const parseValues = (text: string, list: boolean): readonly Scalar[] | undefined => {
  let rest = text.trim();
  if (list) {
    if (!rest.startsWith('[') || !rest.endsWith(']')) return undefined;
    rest = rest.slice(1, -1).trim();
  }
  const values: Scalar[] = [];
  while (rest !== '') {
    const match = VALUE.exec(rest);
    if (!match) return undefined;
    const [whole, single, double, flag, number] = match;
    values.push(single ?? double ?? (flag === undefined ? Number(number) : flag === 'true'));
    rest = rest.slice(whole.length).trim();
    if (rest === '') break;
    if (!list || !rest.startsWith(',')) return undefined;
    rest = rest.slice(1).trim();
  }
  return values.length > 0 && (list || values.length === 1) ? values : undefined;
};

/** An assertion, or undefined where the text is none. */
export const parseAssertion = (text: string, at: Span): Assertion | undefined => {
  const [, attribute, word, rest] = ASSERTION.exec(text.trim()) ?? [];
  if (attribute === undefined || word === undefined || rest === undefined) return undefined;
  const operator = word.toUpperCase().replace(/\s+/g, ' ') as Operator;
  if (operator === 'IS SET' || operator === 'NOT SET') {
    return rest.trim() === '' ? { attribute, operator, values: [], text, at } : undefined;
  }
  const values = parseValues(rest, operator === 'IN' || operator === 'NOT IN');
  return values && { attribute, operator, values, text, at };
};

/**
 * Versions are compared as Tailscale does (util/cmpver): runs of digits as numbers, other runs as text, and the shorter
 * of two equal beginnings first.
 */
export const compareVersions = (a: string, b: string): number => {
  const parts = (text: string): string[] => text.match(/\d+|\D+/g) ?? [];
  const left = parts(a);
  const right = parts(b);
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const x = left[i];
    const y = right[i];
    if (x === undefined) return -1;
    if (y === undefined) return 1;
    if (/^\d/.test(x) && /^\d/.test(y)) {
      const difference = BigInt(x.slice(0, 40)) - BigInt(y.slice(0, 40));
      if (difference !== 0n) return difference < 0n ? -1 : 1;
    } else if (x !== y) return x < y ? -1 : 1;
  }
  return 0;
};

const compareScalars = (actual: Json, wanted: Scalar): number | undefined => {
  if (typeof actual === 'number' && typeof wanted === 'number') return actual - wanted;
  if (typeof actual === 'string' && typeof wanted === 'string') return compareVersions(actual, wanted);
  return undefined;
};

export const assertionHolds = (assertion: Assertion, attributes: ReadonlyMap<string, Json> | undefined): boolean => {
  const actual = attributes?.get(assertion.attribute);
  const isSet = actual !== undefined && actual !== null;
  const { operator, values } = assertion;
  if (operator === 'NOT SET') return !isSet;
  if (!isSet) return false;
  if (operator === 'IS SET') return true;
  if (operator === 'IN' || operator === '==') return values.includes(actual as Scalar);
  if (operator === 'NOT IN' || operator === '!=') return !values.includes(actual as Scalar);
  const order = compareScalars(actual, values[0] as Scalar);
  if (order === undefined) return false;
  if (operator === '>=') return order >= 0;
  if (operator === '<=') return order <= 0;
  return operator === '>' ? order > 0 : order < 0;
};

// Writes a value as a hand might have: comments in all places, trailing commas or none, one line or many. The noise is drawn
// from a list of numbers, so that a failing case shrinks to a readable one.

import fc from 'fast-check';
import type { Json } from '../../src/base/canonical.ts';
import type { Dialect } from '../../src/config/scan.ts';

const key = fc.constantFrom('a', 'b', 'c', 'key', 'with space', "it's", '日本', 'x-y');
const leaf: fc.Arbitrary<Json> = fc.oneof(
  fc.integer(),
  fc.boolean(),
  fc.constant(null),
  fc.string({ unit: 'grapheme', maxLength: 8 }),
);

export const anyJson = fc.letrec<{ value: Json }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    leaf,
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(key, tie('value'), { maxKeys: 4, noNullPrototype: true }),
  ),
})).value;

export const anyObject = fc.dictionary(key, anyJson, { maxKeys: 4, noNullPrototype: true });
export const anyNoise = fc.array(fc.nat(1000), { minLength: 1, maxLength: 60 });

const HIDDEN = /[\u200b\u2028\u2029\u202a-\u202e\u2060\u2066-\u2069\ufeff]/g;

export const write = (value: Json, noise: readonly number[], dialect: Dialect): string => {
  let at = 0;
  let comments = 0;
  const draw = (choices: number): number => (noise[at++ % Math.max(noise.length, 1)] ?? 0) % choices;
  const gap = (depth: number): string =>
    [
      '',
      ' ',
      `\n${'  '.repeat(depth)}`,
      ` /* ${comments++} , ] } */ `,
      ` // ${comments++} { " '\n${'  '.repeat(depth)}`,
    ][draw(5)] as string;
  const text = (plain: string): string => {
    const escaped = JSON.stringify(plain).replaceAll(
      HIDDEN,
      (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
    );
    if (dialect === 'hujson' || draw(2) === 0) return escaped;
    return `'${escaped.slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'")}'`;
  };
  const entries = (list: readonly (() => string)[], depth: number, open: string, close: string): string => {
    const inner = list.map((entry) => gap(depth) + entry() + gap(depth));
    const comma = inner.length > 0 && draw(2) === 0 ? `,${gap(depth - 1)}` : '';
    return `${open}${inner.join(',')}${comma}${inner.length === 0 ? gap(depth) : ''}${close}`;
  };
  const put = (item: Json, depth: number): string => {
    if (typeof item === 'string') return text(item);
    if (item === null || typeof item !== 'object') return JSON.stringify(item);
    if (Array.isArray(item)) {
      return entries(
        (item as Json[]).map((inner) => () => put(inner, depth + 1)),
        depth + 1,
        '[',
        ']',
      );
    }
    const members = Object.entries(item as Record<string, Json>);
    return entries(
      members.map(
        ([name, inner]) =>
          () =>
            `${text(name)}${gap(depth)}:${gap(depth)}${put(inner, depth + 1)}`,
      ),
      depth + 1,
      '{',
      '}',
    );
  };
  return `${gap(0)}${put(value, 0)}${gap(0)}`;
};

// Two lists of declared things, compared: what was added, removed and changed, each as a sentence with its place.

import { canonicalJson, type Json } from '../base/canonical.ts';
import type { Span } from '../base/diagnostic.ts';

export type Area = 'people' | 'routes' | 'dns' | 'keys' | 'nodes' | 'relays' | 'settings' | 'policy';

export interface DeclaredChange {
  readonly area: Area;
  readonly kind: 'added' | 'removed' | 'changed';
  /** A sentence without its full stop: `bob@example.com becomes an admin`. */
  readonly text: string;
  readonly side?: 'before' | 'after';
  readonly at?: Span;
}

/** Places and other things that say where, not what. */
const isPlace = (name: string): boolean => name === 'at' || name.endsWith('At');

export const plain = (value: unknown): Json => {
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, item]) => [String(key), plain(item)]));
  if (value instanceof Set) return [...value].map(String).sort();
  if (Array.isArray(value)) return value.map(plain);
  if (value !== null && typeof value === 'object') {
    return Object.fromEntries(
      Object.entries(value)
        .filter(([name, item]) => !isPlace(name) && item !== undefined)
        .map(([name, item]) => [name, plain(item)]),
    );
  }
  return typeof value === 'bigint' ? String(value) : (value as Json);
};

/** A value without its places, for a comparison. */
export const meaningOf = (value: unknown): Json => plain(value);

export const same = (a: unknown, b: unknown): boolean => canonicalJson(plain(a)) === canonicalJson(plain(b));

export interface Listed<T> {
  readonly area: Area;
  readonly before: readonly T[];
  readonly after: readonly T[];
  readonly keyOf: (item: T) => string;
  readonly atOf: (item: T) => Span | undefined;
  readonly added: (item: T) => string;
  readonly removed: (item: T) => string;
  readonly changed: (old: T, now: T) => readonly string[];
}

export const diffList = <T>(list: Listed<T>): DeclaredChange[] => {
  const old = new Map(list.before.map((item) => [list.keyOf(item), item] as const));
  const now = new Map(list.after.map((item) => [list.keyOf(item), item] as const));
  const change = (kind: DeclaredChange['kind'], text: string, side: 'before' | 'after', item: T): DeclaredChange => {
    const at = list.atOf(item);
    return { area: list.area, kind, text, ...(at ? { side, at } : {}) };
  };
  return [
    ...[...now].flatMap(([key, item]) => {
      const was = old.get(key);
      if (was === undefined) return [change('added', list.added(item), 'after', item)];
      if (same(was, item)) return [];
      return list.changed(was, item).map((text) => change('changed', text, 'after', item));
    }),
    ...[...old].flatMap(([key, item]) => (now.has(key) ? [] : [change('removed', list.removed(item), 'before', item)])),
  ];
};

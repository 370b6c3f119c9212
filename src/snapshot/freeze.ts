// Frozen through and through: whoever holds a snapshot can rely on it not moving, and nobody can bend it by accident.

const refuse = (): never => {
  throw new TypeError('a snapshot never changes');
};

const entriesOf = (value: object): Iterable<unknown> => {
  if (value instanceof Map) return [...value.keys(), ...value.values()];
  if (value instanceof Set) return value;
  return Object.values(value);
};

/** Freezes the value and everything in it, maps and sets too; gives the value back. Bytes and functions stay as they are. */
export const deepFreeze = <T>(value: T): T => {
  // A stack instead of recursion: a policy may nest as deep as its file does.
  const open: unknown[] = [value];
  while (open.length > 0) {
    const item = open.pop();
    if (item === null || typeof item !== 'object' || Object.isFrozen(item) || ArrayBuffer.isView(item)) continue;
    if (item instanceof Map) Object.assign(item, { set: refuse, delete: refuse, clear: refuse });
    if (item instanceof Set) Object.assign(item, { add: refuse, delete: refuse, clear: refuse });
    Object.freeze(item);
    for (const inner of entriesOf(item)) open.push(inner);
  }
  return value;
};

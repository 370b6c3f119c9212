// Sets of small numbers, 32 to a word. They hold the classes that a rule concerns, and are joined word by word.

export interface Bitset {
  words: Uint32Array;
}

export const createBitset = (size = 0): Bitset => ({ words: new Uint32Array((size + 31) >>> 5) });

const grow = (set: Bitset, length: number): void => {
  if (length <= set.words.length) return;
  const words = new Uint32Array(Math.max(length, set.words.length * 2));
  words.set(set.words);
  set.words = words;
};

export const hasBit = (set: Bitset, bit: number): boolean => (((set.words[bit >>> 5] ?? 0) >>> (bit & 31)) & 1) === 1;

export const addBit = (set: Bitset, bit: number): void => {
  const word = bit >>> 5;
  if (word >= set.words.length) grow(set, word + 1);
  set.words[word] = (set.words[word] as number) | (1 << (bit & 31));
};

export const removeBit = (set: Bitset, bit: number): void => {
  const word = bit >>> 5;
  if (word < set.words.length) set.words[word] = (set.words[word] as number) & ~(1 << (bit & 31));
};

/** Adds every member of `from` to `to`. */
export const addAll = (to: Bitset, from: Bitset): void => {
  const source = from.words;
  grow(to, source.length);
  const target = to.words;
  for (let i = 0; i < source.length; i++) target[i] = (target[i] as number) | (source[i] as number);
};

export const isEmptyBitset = (set: Bitset): boolean => {
  for (const word of set.words) if (word !== 0) return false;
  return true;
};

export const countBits = (set: Bitset): number => {
  let count = 0;
  for (let word of set.words) {
    word -= (word >>> 1) & 0x55555555;
    word = (word & 0x33333333) + ((word >>> 2) & 0x33333333);
    count += (((word + (word >>> 4)) & 0x0f0f0f0f) * 0x01010101) >>> 24;
  }
  return count;
};

export const forEachBit = (set: Bitset, visit: (bit: number) => void): void => {
  const { words } = set;
  for (let i = 0; i < words.length; i++) {
    let word = words[i] as number;
    while (word !== 0) {
      visit(i * 32 + 31 - Math.clz32(word & -word));
      word &= word - 1;
    }
  }
};

/** A new set of what is in both. */
export const intersectBitsets = (a: Bitset, b: Bitset): Bitset => ({
  words: a.words.map((word, i) => word & (b.words[i] ?? 0)),
});

/** A new set of what is in `a` and not in `b`. */
export const subtractBitsets = (a: Bitset, b: Bitset): Bitset => ({
  words: a.words.map((word, i) => word & ~(b.words[i] ?? 0)),
});

/** The members, ascending. */
export function* bitsOf(set: Bitset): IterableIterator<number> {
  const { words } = set;
  for (let i = 0; i < words.length; i++) {
    let word = words[i] as number;
    while (word !== 0) {
      const bit = 31 - Math.clz32(word & -word);
      yield i * 32 + bit;
      word &= word - 1;
    }
  }
}

export const equalBitsets = (a: Bitset, b: Bitset): boolean => {
  const length = Math.max(a.words.length, b.words.length);
  for (let i = 0; i < length; i++) if ((a.words[i] ?? 0) !== (b.words[i] ?? 0)) return false;
  return true;
};

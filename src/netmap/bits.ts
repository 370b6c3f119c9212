// Sets of small numbers as bits in 32-bit words. A set that is shorter than another reads as zero beyond its end, so sets
// made at different times can be compared without padding.

export interface Bits {
  words: Uint32Array;
}

export const createBits = (capacity = 0): Bits => ({ words: new Uint32Array((capacity + 31) >>> 5) });

export const copyBits = (bits: Bits): Bits => ({ words: bits.words.slice() });

export const hasBit = (bits: Bits, i: number): boolean => (((bits.words[i >>> 5] ?? 0) >>> (i & 31)) & 1) === 1;

const grow = (bits: Bits, words: number): void => {
  if (words <= bits.words.length) return;
  const grown = new Uint32Array(Math.max(words, bits.words.length * 2));
  grown.set(bits.words);
  bits.words = grown;
};

export const addBit = (bits: Bits, i: number): void => {
  const at = i >>> 5;
  grow(bits, at + 1);
  (bits.words[at] as number) |= 1 << (i & 31);
};

export const removeBit = (bits: Bits, i: number): void => {
  const at = i >>> 5;
  if (at < bits.words.length) (bits.words[at] as number) &= ~(1 << (i & 31));
};

export const clearBits = (bits: Bits): void => {
  bits.words.fill(0);
};

export const isEmptyBits = (bits: Bits): boolean => bits.words.every((word) => word === 0);

/** Adds a word of members. */
export const addWord = (bits: Bits, at: number, word: number): void => {
  if (word === 0) return;
  grow(bits, at + 1);
  bits.words[at] = (bits.words[at] as number) | word;
};

/** Adds every member of `more` to `bits`. */
export const addBits = (bits: Bits, more: Bits): void => {
  grow(bits, more.words.length);
  for (let at = 0; at < more.words.length; at++) (bits.words[at] as number) |= more.words[at] as number;
};

/** The number of members of a word. */
export const countWord = (word: number): number => {
  let n = word - ((word >>> 1) & 0x55555555);
  n = (n & 0x33333333) + ((n >>> 2) & 0x33333333);
  return Math.imul((n + (n >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
};

/** Calls `use` for each member of the word that begins at `base`. */
export const eachInWord = (word: number, base: number, use: (i: number) => void): void => {
  for (let rest = word; rest !== 0; rest &= rest - 1) use(base + 31 - Math.clz32(rest & -rest));
};

/** Calls `use` for each member, in order. */
export const eachBit = (bits: Bits, use: (i: number) => void): void => {
  for (let at = 0; at < bits.words.length; at++) eachInWord(bits.words[at] as number, at << 5, use);
};

/** Equal texts for equal sets. */
export const bitsKey = (bits: Bits): string => {
  let last = bits.words.length;
  while (last > 0 && bits.words[last - 1] === 0) last--;
  return bits.words.subarray(0, last).join();
};

// "Did you mean": the nearest of some known words to one that is not known.

/** Edits between two words, a swap of neighbours counting as one; `limit` + 1 once there are more than `limit`. */
const distance = (a: string, b: string, limit: number): number => {
  if (Math.abs(a.length - b.length) > limit) return limit + 1;
  let before: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let cost = Math.min(
        (previous[j] as number) + 1,
        (row[j - 1] as number) + 1,
        (previous[j - 1] as number) + (same ? 0 : 1),
      );
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        cost = Math.min(cost, (before[j - 2] as number) + 1);
      row.push(cost);
    }
    if (Math.min(...row) > limit) return limit + 1;
    before = previous;
    previous = row;
  }
  return previous[b.length] as number;
};

/** Case, dashes and underscores are no difference between names. */
const plain = (word: string): string => word.toLowerCase().replace(/[-_ ]/g, '');

/** The candidate that is near enough to be meant, or undefined. */
export const suggest = (word: string, candidates: Iterable<string>): string | undefined => {
  if (word.length > 100) return undefined;
  const wanted = plain(word);
  const limit = wanted.length <= 2 ? 0 : wanted.length <= 3 ? 1 : wanted.length <= 7 ? 2 : 3;
  let best: string | undefined;
  let bestDistance = limit + 1;
  for (const candidate of candidates) {
    const far = distance(wanted, plain(candidate), limit);
    if (far < bestDistance) {
      best = candidate;
      bestDistance = far;
    }
  }
  return best;
};

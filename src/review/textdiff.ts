// The difference of two texts in the unified form that git and patch read. The algorithm is E. Myers, "An O(ND) Difference
// Algorithm and Its Variations", with a bound: texts that share almost nothing come out as removed and added whole.

const CONTEXT = 3;
const EDITS_LIMIT = 2_000;

type Change = readonly [mark: ' ' | '-' | '+', line: string];

const lines = (text: string): string[] => {
  const all = text.split('\n');
  if (all.at(-1) === '') all.pop();
  return all;
};

/** The shortest script that leads from one list to the other. */
const changesBetween = (a: readonly string[], b: readonly string[]): readonly Change[] => {
  const limit = Math.min(a.length + b.length, EDITS_LIMIT);
  const offset = limit + 1;
  const furthest = new Int32Array(2 * limit + 3);
  const trace: Int32Array[] = [];
  for (let edits = 0; edits <= limit; edits++) {
    trace.push(furthest.slice());
    for (let k = -edits; k <= edits; k += 2) {
      const down =
        k === -edits || (k !== edits && (furthest[offset + k - 1] as number) < (furthest[offset + k + 1] as number));
      let x = down ? (furthest[offset + k + 1] as number) : (furthest[offset + k - 1] as number) + 1;
      while (x < a.length && x - k < b.length && a[x] === b[x - k]) x++;
      furthest[offset + k] = x;
      if (x >= a.length && x - k >= b.length) return walkBack(a, b, trace, offset);
    }
  }
  return [...a.map((line): Change => ['-', line]), ...b.map((line): Change => ['+', line])];
};

const walkBack = (
  a: readonly string[],
  b: readonly string[],
  trace: readonly Int32Array[],
  offset: number,
): Change[] => {
  const out: Change[] = [];
  let x = a.length;
  let y = b.length;
  for (let edits = trace.length - 1; edits >= 0; edits--) {
    const furthest = trace[edits] as Int32Array;
    const k = x - y;
    const down =
      k === -edits || (k !== edits && (furthest[offset + k - 1] as number) < (furthest[offset + k + 1] as number));
    const beforeX =
      edits === 0 ? 0 : down ? (furthest[offset + k + 1] as number) : (furthest[offset + k - 1] as number);
    const beforeY = edits === 0 ? 0 : beforeX - (down ? k + 1 : k - 1);
    for (; x > beforeX && y > beforeY; y--) out.push([' ', a[--x] as string]);
    if (edits === 0) break;
    if (down) out.push(['+', b[--y] as string]);
    else out.push(['-', a[--x] as string]);
  }
  return out.reverse();
};

/** Empty for equal texts. An absent text is an absent file. */
export const unifiedDiff = (file: string, before: string | undefined, after: string | undefined): string => {
  if (before === after) return '';
  const changes = changesBetween(lines(before ?? ''), lines(after ?? ''));
  const near = changes.map((_, i) =>
    changes.slice(Math.max(0, i - CONTEXT), i + CONTEXT + 1).some(([mark]) => mark !== ' '),
  );
  const out = [
    `--- ${before === undefined ? '/dev/null' : `a/${file}`}`,
    `+++ ${after === undefined ? '/dev/null' : `b/${file}`}`,
  ];
  let [atA, atB] = [1, 1];
  for (let i = 0; i < changes.length;) {
    if (!near[i]) {
      [atA, atB] = [atA + 1, atB + 1];
      i++;
      continue;
    }
    const start = i;
    while (i < changes.length && near[i]) i++;
    const hunk = changes.slice(start, i);
    const countA = hunk.filter(([mark]) => mark !== '+').length;
    const countB = hunk.filter(([mark]) => mark !== '-').length;
    const from = (at: number, count: number): string => `${count === 0 ? at - 1 : at}${count === 1 ? '' : `,${count}`}`;
    out.push(`@@ -${from(atA, countA)} +${from(atB, countB)} @@`, ...hunk.map(([mark, line]) => mark + line));
    [atA, atB] = [atA + countA, atB + countB];
  }
  return `${out.join('\n')}\n`;
};

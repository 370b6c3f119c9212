// Releases of programs: three numbers, of which clients send more («1.102.3-tf00ba5»), and their order.

/** Major, minor, patch. */
export type Release = readonly [number, number, number];

const RELEASE = /^v?(\d{1,6})\.(\d{1,6})\.(\d{1,6})(?:[-+ ].*)?$/;

/** Reads the numbers that a version begins with; undefined where it has none. */
export const parseRelease = (text: string): Release | undefined => {
  const match = RELEASE.exec(text);
  return match ? [Number(match[1]), Number(match[2]), Number(match[3])] : undefined;
};

export const isOlderRelease = (one: Release, other: Release): boolean => {
  for (const [i, number] of one.entries()) if (number !== other[i]) return number < (other[i] as number);
  return false;
};

// Canonical JSON: object keys sorted by code unit, no white space, undefined fields left out. Equal values give equal
// text whatever the order in which they were built, so digests of it are stable (compare RFC 8785, without its numbers).

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json | undefined };

export const canonicalJson = (value: Json): string => {
  if (Array.isArray(value)) return `[${value.map((item: Json) => canonicalJson(item)).join(',')}]`;
  if (value !== null && typeof value === 'object') {
    const fields = Object.entries(value as Record<string, Json | undefined>)
      .filter((entry): entry is [string, Json] => entry[1] !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
    return `{${fields.map(([key, item]) => `${JSON.stringify(key)}:${canonicalJson(item)}`).join(',')}}`;
  }
  return JSON.stringify(value);
};

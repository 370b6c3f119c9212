// How often a law is tried: twenty times as often in the long test.

export const runs = (count: number): { readonly numRuns: number } => ({
  numRuns: process.env['TAILPLANE_LONG'] === undefined ? count : count * 20,
});

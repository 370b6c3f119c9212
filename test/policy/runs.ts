// How often a law is tried: eight times as often in the long test, or as many times as TAILPLANE_LONG says.

const asked = Number(process.env['TAILPLANE_LONG'] ?? 0);
const factor = asked > 1 ? asked : asked === 1 ? 8 : 1;

export const runs = (count: number): { readonly numRuns: number } => ({ numRuns: count * factor });

// Capability versions: one number, sent as `Version` or `CapVersion`, that says what a client understands
// (tailcfg.CapabilityVersion; the history is the comment above it). Decisions on it live here and nowhere else.

export type CapabilityVersion = number;

/** The newest version that we have read; newer clients are served alike. */
export const NEWEST_VERSION: CapabilityVersion = 142;
/** The oldest version that is served, and the release of April 2024 that speaks it. */
export const OLDEST_VERSION: CapabilityVersion = 90;
export const OLDEST_RELEASE = '1.64';

/** The first capability version of each release from v1.80 on. */
export const RELEASES: readonly (readonly [release: string, version: CapabilityVersion])[] = [
  ['1.80', 113],
  ['1.82', 115],
  ['1.84', 116],
  ['1.86', 122],
  ['1.88', 125],
  ['1.90', 130],
  ['1.92', 131],
  ['1.96', 133],
  ['1.98', 138],
  ['1.100', 141],
  ['1.102', 142],
];

/** The newest release known to speak at most this version; for people. */
export const releaseOf = (version: CapabilityVersion): string | undefined =>
  RELEASES.findLast(([, first]) => first <= version)?.[0];

/** From here on a client takes added and removed peers, packet filters and profiles without rebuilding its whole netmap. */
export const understandsIncrementalPeers = (version: CapabilityVersion): boolean => version >= 141;
/** From here on a client answers what is wrong with it; clients before v1.90 report it by themselves. */
export const answersHealthCall = (version: CapabilityVersion): boolean => version >= 128;
/** From here on the default of automatic updates is a node attribute; before, a field of the map. */
export const readsUpdatesFromAttribute = (version: CapabilityVersion): boolean => version >= 131;
/**
 * From v1.92 to v1.102 a client listens for the newest release in the wrong place (ipnlocal/local.go, onClientVersion) and never hears
 * of it; such a client is shown a message instead.
 */
export const missesClientVersion = (version: CapabilityVersion): boolean => version >= 131 && version <= 142;
/** From here on 429 with Retry-After slows registration down. */
export const understandsRegisterRetry = (version: CapabilityVersion): boolean => version >= 137;
/**
 * From v1.86 to v1.94 a client takes of a patch only the first thing that its sockets have to know: given a peer's home relay and
 * its endpoints at once, it never learns the endpoints (ipnlocal/node_backend.go, UpdateNetmapDelta).
 */
export const losesEndpointsBesideHome = (version: CapabilityVersion): boolean => version >= 117 && version <= 132;

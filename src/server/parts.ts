// The parts of a running server that its operations work on. The snapshot is behind a function because it is swapped: who
// asks holds the answer for the whole of one request.

import type { Random } from '../keys/crypto.ts';
import type { Tailnet } from '../netmap/tailnet.ts';
import type { Registry } from '../registry/registry.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';

export interface Parts {
  readonly snapshot: () => Snapshot;
  readonly registry: Registry;
  readonly tailnet: Tailnet;
  /** Unix milliseconds. */
  readonly now: () => number;
  readonly random: Random;
}

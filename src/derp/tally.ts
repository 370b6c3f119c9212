// What the relay counts. Plain numbers that only grow; gauges are asked of those who know them.

export const REFUSALS = ['full', 'handshake', 'admission', 'protocol'] as const;
export type RefusalKind = (typeof REFUSALS)[number];

export interface Tally {
  accepted: number;
  readonly refused: Record<RefusalKind, number>;
  packetsIn: number;
  bytesIn: number;
  packetsOut: number;
  bytesOut: number;
  readonly dropped: Record<'unknown-destination' | 'queue-full', number>;
  writeTimeouts: number;
}

export const createTally = (): Tally => ({
  accepted: 0,
  refused: { full: 0, handshake: 0, admission: 0, protocol: 0 },
  packetsIn: 0,
  bytesIn: 0,
  packetsOut: 0,
  bytesOut: 0,
  dropped: { 'unknown-destination': 0, 'queue-full': 0 },
  writeTimeouts: 0,
});

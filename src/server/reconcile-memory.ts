// What the reconcile loop must remember across a restart and what is not in git: which commits were rolled back and must
// not come back by the next poll, which were trusted by hand, until when it is suspended, and what happened.

import fs from 'node:fs';
import path from 'node:path';
import type { Revision } from '../base/ids.ts';
import type { Happening } from '../config/tailnet.ts';
import { writePrivateFile } from './keyring.ts';

export interface Transition {
  readonly kind: Happening;
  readonly atMs: number;
  readonly revision: Revision;
  readonly subject?: string;
  readonly author?: string;
  /** One sentence for each reason. */
  readonly reasons?: readonly string[];
}

export interface ReconcileMemory {
  readonly rolledBack: readonly Revision[];
  /** By an administrator of this machine: taken although unsigned or rewritten. */
  readonly trusted: readonly Revision[];
  readonly suspendedUntilMs?: number;
  /** Newest last. */
  readonly transitions: readonly Transition[];
}

const TRANSITIONS_KEPT = 200;
const REVISIONS_KEPT = 1000;

const fileIn = (dataDir: string): string => path.join(dataDir, 'reconcile.json');

export const EMPTY_MEMORY: ReconcileMemory = { rolledBack: [], trusted: [], transitions: [] };

/** A file that is missing or damaged is an empty memory: what it protects from is an old commit, not an outage. */
export const readMemory = (dataDir: string): ReconcileMemory => {
  try {
    return { ...EMPTY_MEMORY, ...(JSON.parse(fs.readFileSync(fileIn(dataDir), 'utf8')) as Partial<ReconcileMemory>) };
  } catch {
    return EMPTY_MEMORY;
  }
};

export const writeMemory = (dataDir: string, memory: ReconcileMemory): void => {
  const bounded: ReconcileMemory = {
    ...memory,
    rolledBack: memory.rolledBack.slice(-REVISIONS_KEPT),
    trusted: memory.trusted.slice(-REVISIONS_KEPT),
    transitions: memory.transitions.slice(-TRANSITIONS_KEPT),
  };
  writePrivateFile(fileIn(dataDir), Buffer.from(`${JSON.stringify(bounded)}\n`));
};

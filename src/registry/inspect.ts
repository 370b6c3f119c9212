// Looks at a data folder without touching it, also while a server uses it: what the file and the journal say, or why they
// can't be trusted. Restore compares with it, doctor reports it.

import { utf8Text } from '../base/bytes.ts';
import { openDatabase, requireSound, soundly, type Head } from './database.ts';
import type { Disk } from './disk.ts';
import { changeOf, parseFacts } from './fact.ts';
import { RegistryFault } from './fault.ts';
import { readSegment } from './journal.ts';
import { isSegmentName } from './log.ts';
import { emptyState, fold, takeRows, type RegistryState } from './state.ts';
import { CHUNK_NODES, FILE_NAME } from './store.ts';

export interface Inspection {
  /** What a start would come to, as far as it can be read. */
  readonly state: RegistryState;
  /** Undefined where there is no file yet. */
  readonly head: Head | undefined;
  /** Schema version of the file; undefined where there is none. */
  readonly schemaVersion: number | undefined;
  readonly segments: number;
  readonly journalBytes: number;
  /** Records in the journal that the file doesn't hold. */
  readonly journalRecords: number;
  /** The end of the journal is a write that was not finished: what a crash, or a server at work, leaves. */
  readonly torn: boolean;
  /** Why a start would stop. */
  readonly fault: RegistryFault | undefined;
}

const replaySegments = async (disk: Disk, folder: string, state: RegistryState, fileSeq: number) => {
  let lastSeq = fileSeq;
  let journalBytes = 0;
  let torn = false;
  const names = (await disk.list(folder)).filter(isSegmentName);
  for (const name of names) {
    const bytes = (await disk.read(`${folder}/${name}`)) ?? new Uint8Array(0);
    const { header, records, flaw } = readSegment(bytes);
    journalBytes += bytes.length;
    torn = flaw?.kind === 'torn';
    const problem =
      flaw?.kind === 'damaged'
        ? `${name} is damaged at byte ${flaw.atBytes}: ${flaw.why}`
        : header && records.length > 0 && header.firstSeq > lastSeq + 1
          ? `${name} begins with record ${header.firstSeq}, but what is before it ends with ${lastSeq}`
          : undefined;
    if (problem !== undefined) {
      throw new RegistryFault('registry/journal-damaged', `${problem}.`, 'Restore a backup: `tailplane restore FILE`.');
    }
    for (const { seq, payload } of records) {
      if (seq <= lastSeq) continue;
      for (const fact of parseFacts(utf8Text(payload))) {
        const change = changeOf(state, fact);
        if (change) fold(state, change);
      }
      lastSeq = seq;
    }
  }
  return { segments: names.length, journalBytes, journalRecords: lastSeq - fileSeq, torn };
};

/** A whole database file from its bytes, which are used up. Throws a RegistryFault. */
export const inspectFile = async (
  bytes: Uint8Array,
): Promise<{ readonly state: RegistryState; readonly head: Head; readonly schemaVersion: number }> => {
  const state = emptyState();
  const database = await openDatabase(bytes);
  try {
    requireSound(database);
    const head = soundly(() => {
      for (const rows of database.read(CHUNK_NODES)) takeRows(state, rows);
      return database.head();
    });
    return { state, head, schemaVersion: database.versionBefore };
  } finally {
    database.close();
  }
};

const inspectOnce = async (disk: Disk, folder: string): Promise<Inspection> => {
  const blank = { head: undefined, schemaVersion: undefined };
  const none = { segments: 0, journalBytes: 0, journalRecords: 0, torn: false };
  let found: Pick<Inspection, 'head' | 'schemaVersion' | 'state'> = { ...blank, state: emptyState() };
  try {
    const bytes = await disk.read(`${folder}/${FILE_NAME}`);
    if (bytes) found = await inspectFile(bytes);
    const journal = await replaySegments(disk, folder, found.state, found.head?.seq ?? 0);
    return { ...found, ...journal, fault: undefined };
  } catch (error) {
    const fault =
      error instanceof RegistryFault
        ? error
        : new RegistryFault('registry/journal-damaged', (error as Error).message, 'Restore a backup.', error);
    return { ...found, ...none, fault };
  }
};

/** A server at work may replace the file between two looks: what is wrong has to be wrong three times. */
const LOOKS = 3;

export const inspectFolder = async (disk: Disk, folder: string): Promise<Inspection> => {
  let inspection = await inspectOnce(disk, folder);
  for (let look = 1; look < LOOKS && inspection.fault; look++) inspection = await inspectOnce(disk, folder);
  return inspection;
};

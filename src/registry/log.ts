// The journal on disk: segments `registry-<number of its first record>.journal` in the data folder. A batch is one write
// and one sync. A new segment begins when the file is written; segments that the file holds are removed after it.

import { concatBytes, utf8, utf8Text } from '../base/bytes.ts';
import type { Disk, DiskFile } from './disk.ts';
import type { Log } from './engine.ts';
import { factOf, formatFacts, parseFacts, type Fact } from './fact.ts';
import { RegistryFault } from './fault.ts';
import { encodeHeader, encodeRecord, HEADER_BYTES, readSegment, type Segment, type SegmentHeader } from './journal.ts';

export interface JournalLog extends Log {
  /** Number of the last durable record; the file's own if the journal is empty. */
  readonly lastSeq: () => number;
  /** Bytes of records in all segments. */
  readonly sizeBytes: () => number;
  /** Begins a new segment, unless the current one is empty. Not while a batch is being written. */
  readonly rotate: () => Promise<void>;
  /** Removes the segments before the current one. */
  readonly dropOld: () => Promise<void>;
  readonly close: () => Promise<void>;
}

export interface LogSettings {
  readonly disk: Disk;
  readonly folder: string;
  readonly schemaVersion: number;
  /** Number of the last record that the file holds. */
  readonly fileSeq: number;
  /** Called for each record behind the file, in order; may throw. */
  readonly replay: (facts: readonly Fact[]) => void;
  readonly warn: (message: string) => void;
}

const SEGMENT = /^registry-(\d{16})\.journal$/;
const MAX_SEGMENT_BYTES = 2 ** 31;
const PROBE = new Uint8Array(64 * 1024);

export const segmentName = (firstSeq: number): string => `registry-${String(firstSeq).padStart(16, '0')}.journal`;
export const isSegmentName = (name: string): boolean => SEGMENT.test(name);

const damaged = (name: string, atBytes: number, why: string): RegistryFault =>
  new RegistryFault(
    'registry/journal-damaged',
    `${name} is damaged at byte ${atBytes}: ${why}.`,
    'Nothing was changed. Check the disk, keep a copy of the data folder, then restore a backup: `tailplane restore FILE`.',
  );

const gap = (message: string): RegistryFault =>
  new RegistryFault(
    'registry/journal-gap',
    message,
    'Files of different times were mixed. Put back the files that belong together, or restore a backup: `tailplane restore FILE`.',
  );

const newer = (name: string, version: number): RegistryFault =>
  new RegistryFault(
    'registry/newer-schema',
    `${name} was written by a newer version of Tailplane (schema ${version}).`,
    'Run that version, or restore a backup made by this one.',
  );

interface Found {
  readonly name: string;
  readonly header: SegmentHeader;
  readonly segment: Segment;
}

/** The segments in order, without those that a crash or a failing disk left before any record was written to them. */
const readSegments = async ({ disk, folder, schemaVersion, warn }: LogSettings): Promise<readonly Found[]> => {
  const found: Found[] = [];
  for (const name of (await disk.list(folder)).filter(isSegmentName)) {
    const segment = readSegment((await disk.read(`${folder}/${name}`)) ?? new Uint8Array(0));
    const { header, flaw, records } = segment;
    const before = found.at(-1);
    const nextSeq = before && before.header.firstSeq + before.segment.records.length;
    const isLeftover =
      flaw?.kind !== 'damaged' && (!header || (records.length === 0 && header.firstSeq < (nextSeq ?? 0)));
    if (isLeftover) {
      warn(`${name} was begun and never used; it was removed.`);
      await disk.remove(`${folder}/${name}`);
    } else if (!header) throw damaged(name, 0, `${flaw?.why}; whole records follow`);
    else found.push({ name, header, segment });
  }
  for (const [i, { name, header, segment }] of found.entries()) {
    const { flaw } = segment;
    if (header.schemaVersion > schemaVersion) throw newer(name, header.schemaVersion);
    if (segmentName(header.firstSeq) !== name) throw damaged(name, 0, `it says that it begins with ${header.firstSeq}`);
    if (flaw && (flaw.kind === 'damaged' || i < found.length - 1)) {
      throw damaged(name, flaw.atBytes, `${flaw.why}; whole records follow, so this is not the trace of a crash`);
    }
    if (flaw) {
      warn(
        `${name}: the last write was not finished (${flaw.why} at byte ${flaw.atBytes}); it was not acknowledged and was cut.`,
      );
    }
  }
  return found;
};

/** Reads and replays every segment, repairs a torn end, and opens the last segment for appending. */
export const openLog = async (settings: LogSettings): Promise<JournalLog> => {
  const { disk, folder, schemaVersion, fileSeq } = settings;
  const old: { path: string; sizeBytes: number }[] = [];
  let lastSeq = fileSeq;
  let path = '';
  let file: DiskFile | undefined;
  /** Everything before this is durable. */
  let endBytes = 0;
  /** Whether nothing stands behind `endBytes`. */
  let isSound = true;

  const begin = async (firstSeq: number): Promise<void> => {
    const name = segmentName(firstSeq);
    const fresh = await disk.open(`${folder}/${name}`);
    try {
      await fresh.truncate(0);
      await fresh.write(encodeHeader({ schemaVersion, firstSeq }), 0);
      await fresh.sync();
      await disk.syncFolder(folder);
    } catch (error) {
      await fresh.close().catch(() => undefined);
      await disk.remove(`${folder}/${name}`).catch(() => undefined);
      throw error;
    }
    await file?.close();
    if (path !== '') old.push({ path, sizeBytes: endBytes - HEADER_BYTES });
    file = fresh;
    path = `${folder}/${name}`;
    endBytes = HEADER_BYTES;
  };

  const found = await readSegments(settings);
  // What the file holds is obsolete, and may have been removed in part. The last segment stays: it is written on.
  const isObsolete = ({ header, segment }: Found, i: number): boolean =>
    i < found.length - 1 && header.firstSeq + segment.records.length - 1 <= fileSeq;
  for (const { name, segment } of found.filter(isObsolete)) {
    old.push({ path: `${folder}/${name}`, sizeBytes: segment.endBytes - HEADER_BYTES });
  }
  for (const [i, { name, header, segment }] of found.filter((one, i) => !isObsolete(one, i)).entries()) {
    if (i === 0 && header.firstSeq > fileSeq + 1) {
      throw gap(`The file holds records up to ${fileSeq}, but the journal begins with ${header.firstSeq}.`);
    }
    if (i > 0 && header.firstSeq !== lastSeq + 1) {
      throw gap(`${name} follows record ${lastSeq}; the records between are missing.`);
    }
    for (const record of segment.records) {
      if (record.seq <= fileSeq) continue;
      try {
        settings.replay(parseFacts(utf8Text(record.payload)));
      } catch (error) {
        throw damaged(name, record.atBytes, `record ${record.seq} ${(error as Error).message}`);
      }
    }
    lastSeq = header.firstSeq + segment.records.length - 1;
    if (path !== '') old.push({ path, sizeBytes: endBytes - HEADER_BYTES });
    path = `${folder}/${name}`;
    endBytes = segment.endBytes;
  }
  if (lastSeq < fileSeq && path !== '') {
    throw gap(`The file holds records up to ${fileSeq}, but the journal ends with ${lastSeq}.`);
  }
  if (path === '') await begin(fileSeq + 1);
  else {
    // What was replayed is about to be relied on: it has to outlive a power cut too, and a crash does not say what was synced.
    file = await disk.open(path);
    await file.truncate(endBytes);
    await file.sync();
    await disk.syncFolder(folder);
  }

  return {
    append: async (entries) => {
      if (!file) throw new Error('the journal is closed');
      if (endBytes > MAX_SEGMENT_BYTES)
        throw new Error('the journal is full, because registry.db could not be written');
      const records = entries.map((entry, i) =>
        encodeRecord(lastSeq + 1 + i, endBytes, utf8(formatFacts(entry.map(factOf)))),
      );
      const bytes = concatBytes(...records);
      isSound = false;
      await file.write(bytes, endBytes);
      await file.sync();
      isSound = true;
      endBytes += bytes.length;
      lastSeq += entries.length;
    },
    recover: async () => {
      await file?.close().catch(() => undefined);
      file = undefined;
      const opened = await disk.open(path);
      try {
        // A disk that is full takes a truncation gladly: write as much as a batch may need, and take it back.
        await opened.truncate(endBytes);
        await opened.write(PROBE, endBytes);
        await opened.sync();
        await opened.truncate(endBytes);
        await opened.sync();
      } catch (error) {
        await opened.close().catch(() => undefined);
        throw error;
      }
      file = opened;
      isSound = true;
    },
    lastSeq: () => lastSeq,
    sizeBytes: () => old.reduce((sum, { sizeBytes }) => sum + sizeBytes, endBytes - HEADER_BYTES),
    rotate: async () => {
      if (!isSound) throw new Error('the end of the journal is not known');
      if (endBytes > HEADER_BYTES) await begin(lastSeq + 1);
    },
    dropOld: async () => {
      for (const { path } of old.splice(0)) await disk.remove(path);
      await disk.syncFolder(folder);
    },
    close: async () => {
      await file?.close();
      file = undefined;
    },
  };
};

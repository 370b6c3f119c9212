// The journal's bytes. A segment is a header and records; each record has its length, its number, the place up to which the
// segment was durable when the record was written, and a checksum over all of it. Encoding and reading are pure.
//
//   segment header   magic "TPJOURNL" · u32 schema version · u64 number of the first record · u32 CRC-32
//   record           magic "TPJR" · u32 length · u64 number · u32 durable up to · u32 CRC-32 · payload
//
// After a crash the end of the last segment may hold anything: a write that was not synced can leave any part of itself.
// Reading has to tell that from damage. A bad place is a torn end if no later record was written after it had become
// durable; records that follow it and say so prove that it once was whole, and then nothing may be cut.

import { crc32 } from 'node:zlib';
import { concatBytes, utf8 } from '../base/bytes.ts';

export const HEADER_BYTES = 24;
export const RECORD_BYTES = 24;
const SEGMENT_MAGIC = utf8('TPJOURNL');
const RECORD_MAGIC = Buffer.from('TPJR');

export interface SegmentHeader {
  readonly schemaVersion: number;
  readonly firstSeq: number;
}

export interface JournalRecord {
  readonly seq: number;
  readonly atBytes: number;
  readonly payload: Uint8Array;
}

export interface Segment {
  /** Undefined where the header itself is torn; then there are no records. */
  readonly header: SegmentHeader | undefined;
  readonly records: readonly JournalRecord[];
  /** Where the last good record ends. */
  readonly endBytes: number;
  readonly flaw?: { readonly kind: 'torn' | 'damaged'; readonly atBytes: number; readonly why: string };
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

export const encodeHeader = ({ schemaVersion, firstSeq }: SegmentHeader): Uint8Array => {
  const out = new Uint8Array(HEADER_BYTES);
  out.set(SEGMENT_MAGIC);
  const view = viewOf(out);
  view.setUint32(8, schemaVersion);
  view.setBigUint64(12, BigInt(firstSeq));
  view.setUint32(20, crc32(out.subarray(0, 20)));
  return out;
};

const decodeHeader = (bytes: Uint8Array): SegmentHeader | undefined => {
  if (bytes.length < HEADER_BYTES || SEGMENT_MAGIC.some((byte, i) => bytes[i] !== byte)) return undefined;
  const view = viewOf(bytes);
  if (crc32(bytes.subarray(0, 20)) !== view.getUint32(20)) return undefined;
  return { schemaVersion: view.getUint32(8), firstSeq: Number(view.getBigUint64(12)) };
};

export const encodeRecord = (seq: number, durableBytes: number, payload: Uint8Array): Uint8Array => {
  const head = new Uint8Array(RECORD_BYTES);
  head.set(RECORD_MAGIC);
  const view = viewOf(head);
  view.setUint32(4, payload.length);
  view.setBigUint64(8, BigInt(seq));
  view.setUint32(16, durableBytes);
  view.setUint32(20, crc32(payload, crc32(head.subarray(4, 20))));
  return concatBytes(head, payload);
};

type Decoded = { readonly record: JournalRecord; readonly durableBytes: number; readonly endBytes: number };

/** The record that begins here, or why none does. */
const decodeRecord = (bytes: Uint8Array, atBytes: number): Decoded | string => {
  const head = bytes.subarray(atBytes, atBytes + RECORD_BYTES);
  if (head.length < RECORD_BYTES) return 'a record ends before its head does';
  if (RECORD_MAGIC.some((byte, i) => head[i] !== byte)) return 'no record begins here';
  const view = viewOf(head);
  const endBytes = atBytes + RECORD_BYTES + view.getUint32(4);
  if (endBytes > bytes.length) return 'a record is cut short';
  const payload = bytes.subarray(atBytes + RECORD_BYTES, endBytes);
  if (crc32(payload, crc32(head.subarray(4, 20))) !== view.getUint32(20)) return 'a checksum is wrong';
  return {
    record: { seq: Number(view.getBigUint64(8)), atBytes, payload },
    durableBytes: view.getUint32(16),
    endBytes,
  };
};

/** Whether a record after this place was written when the place was durable. */
const wasDurable = (bytes: Uint8Array, atBytes: number): boolean => {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = buffer.indexOf(RECORD_MAGIC, atBytes + 1); at >= 0; at = buffer.indexOf(RECORD_MAGIC, at + 1)) {
    const decoded = decodeRecord(bytes, at);
    if (typeof decoded !== 'string' && decoded.durableBytes > atBytes) return true;
  }
  return false;
};

export const readSegment = (bytes: Uint8Array): Segment => {
  const header = decodeHeader(bytes);
  const records: JournalRecord[] = [];
  if (!header) {
    const kind = wasDurable(bytes, 0) ? 'damaged' : 'torn';
    return { header, records, endBytes: 0, flaw: { kind, atBytes: 0, why: 'the head of the segment is not whole' } };
  }
  let at = HEADER_BYTES;
  while (at < bytes.length) {
    const decoded = decodeRecord(bytes, at);
    if (typeof decoded === 'string') {
      const kind = wasDurable(bytes, at) ? 'damaged' : 'torn';
      return { header, records, endBytes: at, flaw: { kind, atBytes: at, why: decoded } };
    }
    const expected = header.firstSeq + records.length;
    if (decoded.record.seq !== expected) {
      const why = `record ${decoded.record.seq} stands where record ${expected} belongs`;
      return { header, records, endBytes: at, flaw: { kind: 'damaged', atBytes: at, why } };
    }
    records.push(decoded.record);
    at = decoded.endBytes;
  }
  return { header, records, endBytes: at };
};

// DNS messages (RFC 1035 section 4), as far as it takes to ask a name server and to change its records (RFC 2136, which
// gives the sections other names: zone, prerequisites, updates). Record data stays bytes.

import { concatBytes } from '../base/bytes.ts';
import { decodeName, encodeName } from './name.ts';

export const TYPE = { NS: 2, SOA: 6, TXT: 16, TSIG: 250 } as const;
export const CLASS = { IN: 1, ANY: 255 } as const;
export const OPCODE = { query: 0, update: 5 } as const;

/** Names of answers that are no success (RFC 1035, 2136, 8945). */
const RCODES: Readonly<Record<number, string>> = {
  1: 'FORMERR', 2: 'SERVFAIL', 3: 'NXDOMAIN', 4: 'NOTIMP', 5: 'REFUSED', 6: 'YXDOMAIN', 7: 'YXRRSET', 8: 'NXRRSET',
  9: 'NOTAUTH', 10: 'NOTZONE', 16: 'BADSIG', 17: 'BADKEY', 18: 'BADTIME', 22: 'BADTRUNC',
}; // prettier-ignore
export const rcodeName = (rcode: number): string => RCODES[rcode] ?? `code ${rcode}`;

export interface Question {
  readonly name: string;
  readonly type: number;
}

export interface ResourceRecord {
  readonly name: string;
  readonly type: number;
  readonly class: number;
  readonly ttlSeconds: number;
  readonly data: Uint8Array;
}

export interface DnsRequest {
  readonly id: number;
  readonly opcode: number;
  readonly question: Question;
  /** The authority section of a query, the updates of an update. */
  readonly authority?: readonly ResourceRecord[];
}

/** A record, and where in the message it stands: what a signature covers ends before its own record. */
export interface ReceivedRecord extends ResourceRecord {
  readonly start: number;
  /** Where its data begins, for names in there that lead elsewhere. */
  readonly dataStart: number;
}

export interface DnsResponse {
  readonly id: number;
  readonly isResponse: boolean;
  readonly rcode: number;
  readonly answers: readonly ReceivedRecord[];
  readonly authority: readonly ReceivedRecord[];
  readonly additional: readonly ReceivedRecord[];
}

const HEADER_BYTES = 12;

const uint16 = (value: number): Uint8Array => Uint8Array.of((value >>> 8) & 0xff, value & 0xff);

/** The name has been checked before; undefined comes from a name that is none. */
export const encodeRecord = (record: ResourceRecord): Uint8Array | undefined => {
  const name = encodeName(record.name);
  if (!name || record.data.length > 0xffff) return undefined;
  const ttl = Buffer.alloc(4);
  ttl.writeUInt32BE(record.ttlSeconds);
  return concatBytes(name, uint16(record.type), uint16(record.class), ttl, uint16(record.data.length), record.data);
};

export const encodeRequest = ({ id, opcode, question, authority = [] }: DnsRequest): Uint8Array | undefined => {
  const name = encodeName(question.name);
  const records = authority.map(encodeRecord);
  if (!name || records.includes(undefined)) return undefined;
  const counts = [1, 0, records.length, 0].map(uint16);
  const head = [uint16(id), uint16(opcode << 11), ...counts, name, uint16(question.type), uint16(CLASS.IN)];
  return concatBytes(...head, ...(records as Uint8Array[]));
};

/** One text in as many strings as it takes (RFC 1035 section 3.3.14). */
export const encodeText = (text: string): Uint8Array => {
  const bytes = Buffer.from(text, 'latin1');
  const parts: Uint8Array[] = [];
  for (let at = 0; at === 0 || at < bytes.length; at += 255) {
    const part = bytes.subarray(at, at + 255);
    parts.push(Uint8Array.of(part.length), part);
  }
  return concatBytes(...parts);
};

export const decodeText = (data: Uint8Array): string => {
  let text = '';
  for (let at = 0; at < data.length; at += 1 + (data[at] as number)) {
    text += Buffer.from(data.subarray(at + 1, at + 1 + (data[at] as number))).toString('latin1');
  }
  return text;
};

/** Undefined for anything that is no whole message. */
export const decodeResponse = (message: Uint8Array): DnsResponse | undefined => {
  if (message.length < HEADER_BYTES) return undefined;
  const view = Buffer.from(message.buffer, message.byteOffset, message.byteLength);
  let at = HEADER_BYTES;
  for (let left = view.readUInt16BE(4); left > 0; left--) {
    const name = decodeName(message, at);
    if (!name || name.end + 4 > message.length) return undefined;
    at = name.end + 4;
  }
  const section = (count: number): ReceivedRecord[] | undefined => {
    const records: ReceivedRecord[] = [];
    for (; count > 0; count--) {
      const start = at;
      const name = decodeName(message, at);
      if (!name || name.end + 10 > message.length) return undefined;
      const dataStart = name.end + 10;
      at = dataStart + view.readUInt16BE(name.end + 8);
      if (at > message.length) return undefined;
      records.push({
        name: name.value,
        type: view.readUInt16BE(name.end),
        class: view.readUInt16BE(name.end + 2),
        ttlSeconds: view.readUInt32BE(name.end + 4),
        data: message.subarray(dataStart, at),
        start,
        dataStart,
      });
    }
    return records;
  };
  const answers = section(view.readUInt16BE(6));
  const authority = answers && section(view.readUInt16BE(8));
  const additional = authority && section(view.readUInt16BE(10));
  if (!answers || !authority || !additional || at !== message.length) return undefined;
  const isResponse = (view[2] as number) >= 0x80;
  return { id: view.readUInt16BE(0), isResponse, rcode: (view[3] as number) & 15, answers, authority, additional };
};

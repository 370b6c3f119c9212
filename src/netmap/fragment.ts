// Fragments are zstd frames that are put together to a message; see wire/framing.ts. What several streams are sent is
// compressed once and its frame is shared. Level 1: most of a map is keys, which only entropy coding makes smaller, and
// higher levels make it larger and take four times as long (measured on pages of 64 peers: 91, 95 and 101 bytes a peer at
// levels 1, 3 and 9).

import { constants, zstdCompressSync } from 'node:zlib';
import { concatBytes } from '../base/bytes.ts';
import { encodeLength, encodeRawFrame } from '../wire/framing.ts';
import { COST, fieldCost } from './cost.ts';
import type { Cost } from './cost.ts';

const PARAMS = { [constants.ZSTD_c_compressionLevel]: 1 };
/** Below this the compressor costs more time than it saves bytes. */
const RAW_BELOW = 192;
/** The same for text that goes into one message only: making a compressor takes as long as sealing and sending some 8 KB. */
const OWN_RAW_BELOW = 4096;
/** Shared text shorter than this is copied into each message; longer text goes in as a shared frame. */
export const SHARE_FROM = 1024;

/** One zstd frame. Shared: never to be changed. */
export type Fragment = Uint8Array;

export const encodeFragment = (text: string, rawBelow = RAW_BELOW): Fragment => {
  const bytes = Buffer.from(text);
  if (bytes.length < rawBelow) return encodeRawFrame(bytes);
  // With the size known, zstd takes tables of that size and not half a megabyte for each call.
  return zstdCompressSync(bytes, { params: PARAMS, pledgedSrcSize: bytes.length, chunkSize: chunkBytes(bytes.length) });
};

/** Room for the frame in one piece, as far as that is sensible; zlib's least is 64. */
const chunkBytes = (sizeBytes: number): number => Math.min(sizeBytes + 64, 64 * 1024);

const COMMA = encodeRawFrame(Buffer.from(','));

/** Members of a JSON array: a frame with a comma, then one with the members, in one piece. The first in a list goes without. */
export type Member = Uint8Array;

export const encodeMember = (text: string): Member => concatBytes(COMMA, encodeFragment(text));

/** The same for members that no other message has. */
export const encodeOwnMember = (text: string): Member => concatBytes(COMMA, encodeFragment(text, OWN_RAW_BELOW));

export interface Message {
  /** Whether it holds everything, or brings the client from the message before to this one. */
  readonly full: boolean;
  /** Length, then frames. */
  readonly pieces: readonly Uint8Array[];
  readonly sizeBytes: number;
  /** Fields of tailcfg.MapResponse in it, for people: `PeersChangedPatch(3: endpoints, online)`. */
  readonly fields: readonly string[];
  readonly cost: Cost;
}

/** Puts one message together, field by field, from text of its own and shared fragments. */
export interface MessageBuilder {
  /** Begins the next field of the JSON object; its value follows. `note` is for people. */
  readonly field: (name: string, note?: string, cost?: Cost) => void;
  readonly text: (text: string) => void;
  readonly fragment: (fragment: Fragment) => void;
  /** Members as one JSON array. */
  readonly list: (members: readonly Member[]) => void;
  /** Whether no field was begun. */
  readonly isEmpty: () => boolean;
  readonly finish: (full: boolean) => Message;
}

export const createMessage = (): MessageBuilder => {
  const pieces: Uint8Array[] = [new Uint8Array(0)];
  let sizeBytes = 0;
  const fields: string[] = [];
  let cost: Cost = COST.none;
  let pending = '';
  const push = (piece: Uint8Array): void => {
    pieces.push(piece);
    sizeBytes += piece.length;
  };
  const flush = (): void => {
    if (pending === '') return;
    push(encodeFragment(pending, OWN_RAW_BELOW));
    pending = '';
  };
  return {
    field: (name, note, fieldsCost = fieldCost(name)) => {
      pending += `${fields.length === 0 ? '{' : ','}"${name}":`;
      fields.push(note === undefined ? name : `${name}(${note})`);
      if (fieldsCost > cost) cost = fieldsCost;
    },
    text: (text) => {
      pending += text;
    },
    fragment: (fragment) => {
      flush();
      push(fragment);
    },
    list: (members) => {
      pending += '[';
      flush();
      for (const [i, member] of members.entries()) push(i === 0 ? member.subarray(COMMA.length) : member);
      pending += ']';
    },
    isEmpty: () => fields.length === 0,
    finish: (full) => {
      pending += fields.length === 0 ? '{}' : '}';
      flush();
      const length = encodeLength(sizeBytes);
      pieces[0] = length;
      return { full, pieces, sizeBytes: length.length + sizeBytes, fields, cost };
    },
  };
};

/**
 * Counts the bytes of kept fragments. When there are too many, all are forgotten at once: what is in use is made again
 * within one pass, and nothing has to be ordered by age on the way.
 */
export interface FragmentBudget {
  /** Notes a kept fragment. Forgets all kept ones first if it doesn't fit. */
  readonly keep: (fragment: Fragment) => void;
  /** A kept fragment is no longer kept. */
  readonly drop: (sizeBytes: number, count: number) => void;
  readonly sizeBytes: number;
  readonly count: number;
}

export const createBudget = (limitBytes: number, forgetAll: () => void): FragmentBudget => {
  let sizeBytes = 0;
  let count = 0;
  return {
    keep: (fragment) => {
      if (sizeBytes + fragment.length > limitBytes) {
        forgetAll();
        sizeBytes = 0;
        count = 0;
      }
      sizeBytes += fragment.length;
      count++;
    },
    drop: (droppedBytes, droppedCount) => {
      sizeBytes -= droppedBytes;
      count -= droppedCount;
    },
    get sizeBytes() {
      return sizeBytes;
    },
    get count() {
      return count;
    },
  };
};

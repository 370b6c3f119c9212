// What a client answers to questions that came with its map: how a ping to a peer went (tailcfg.PingResponse), and the raw HTTP
// answer of a call into it, which Tailscale calls c2n (feature/c2n/c2n.go; RFC 9112 for the form).

import { utf8 } from '../base/bytes.ts';
import { accept, refuse } from '../base/outcome.ts';
import type { Outcome } from '../base/outcome.ts';
import { decodeObject, readInteger, readText } from './reading.ts';

/**
 * Ways of a client to reach a peer, each asking more than the one before: `disco` finds a path, `TSMP` goes through WireGuard,
 * and `ICMP` through the peer's packet filter too.
 */
export const PING_KINDS = ['disco', 'TSMP', 'ICMP'] as const;
export type PingKind = (typeof PING_KINDS)[number];

export interface PingResult {
  /** Undefined where the ping failed. */
  readonly latencyMs: number | undefined;
  readonly error: string | undefined;
  /** Where the peer answered from; absent where the packet went through a relay, or the client doesn't say. */
  readonly endpoint: string | undefined;
  readonly peerRelay: string | undefined;
  readonly relayCode: string | undefined;
}

export const decodePingResult = (bytes: Uint8Array): Outcome<PingResult> => {
  const decoded = decodeObject(bytes);
  if (!decoded.ok) return decoded;
  const from = decoded.value;
  const seconds = from['LatencySeconds'];
  const region = readInteger(from, 'DERPRegionID');
  return accept({
    latencyMs: typeof seconds === 'number' && seconds > 0 ? seconds * 1000 : undefined,
    error: readText(from, 'Err', 256),
    endpoint: readText(from, 'Endpoint', 64),
    peerRelay: readText(from, 'PeerRelay', 96),
    relayCode: readText(from, 'DERPRegionCode', 64) ?? (region ? String(region) : undefined),
  });
};

export const encodeCall = (method: 'GET' | 'POST', path: string, body = ''): Uint8Array =>
  utf8(`${method} ${path} HTTP/1.1\r\nHost: node\r\nContent-Length: ${utf8(body).length}\r\n\r\n${body}`);

export interface CallAnswer {
  readonly status: number;
  readonly body: Uint8Array;
}

const MALFORMED = refuse('wire/malformed', 'The node answered with something that is not HTTP.');
const BREAK = utf8('\r\n');

/** Heads and sizes are ASCII; as Latin-1 every byte is some character, so what a client sends can't throw. */
const textOf = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');

const indexOf = (bytes: Uint8Array, part: Uint8Array, from: number): number =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).indexOf(part, from);

/** The body as it was before it was sent in chunks; undefined where they don't fit together. */
const joinChunks = (bytes: Uint8Array): Uint8Array | undefined => {
  const chunks: Uint8Array[] = [];
  for (let at = 0; ;) {
    const end = indexOf(bytes, BREAK, at);
    const size = end < 0 ? undefined : /^[0-9a-f]{1,6}(?=;|$)/i.exec(textOf(bytes.subarray(at, end)))?.[0];
    if (size === undefined) return undefined;
    const from = end + 2;
    const to = from + Number.parseInt(size, 16);
    if (to === from) return Buffer.concat(chunks);
    if (to + 2 > bytes.length) return undefined;
    chunks.push(bytes.subarray(from, to));
    at = to + 2;
  }
};

export const decodeCallAnswer = (bytes: Uint8Array): Outcome<CallAnswer> => {
  const end = indexOf(bytes, utf8('\r\n\r\n'), 0);
  const head = end < 0 ? undefined : textOf(bytes.subarray(0, end));
  const status = /^HTTP\/1\.[01] (\d{3})/.exec(head ?? '')?.[1];
  if (head === undefined || status === undefined) return MALFORMED;
  const rest = bytes.subarray(end + 4);
  const body = /^transfer-encoding:\s*chunked\s*$/im.test(head) ? joinChunks(rest) : rest;
  return body ? accept({ status: Number(status), body }) : MALFORMED;
};

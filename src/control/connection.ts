// HTTP/2 inside Noise. One connection belongs to one machine, whose key every request on it is bound to. Requests are routed
// by path alone: the authority that clients send says nothing (protocol: control/ts2021/client.go).

import http2 from 'node:http2';
import type { IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream } from 'node:http2';

import { concatBytes, utf8 } from '../base/bytes.ts';
import type { Channel } from './channel.ts';
import type { ControlLimits, Note } from './ports.ts';
import type { Peer } from './upgrade.ts';
import type { Wheel } from './wheel.ts';

/** One request of a client. */
export interface Call {
  readonly peer: Peer;
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  readonly query: URLSearchParams;
  /** For answers that go on; others use `answer`. */
  readonly stream: ServerHttp2Stream;
  /** Aborted when the client gave up or is gone. */
  readonly gone: AbortSignal;
  /** The whole body, at most `limits.bodyBytes`; undefined if it was too long or too slow, which has been answered. */
  readonly readBody: () => Promise<Uint8Array | undefined>;
  readonly answer: (status: number, body?: Answer, headers?: Readonly<Record<string, string>>) => void;
}

/** Text goes out as text/plain, bytes as the JSON that they hold. */
export type Answer = string | Uint8Array;

export type Handler = (call: Call) => void | Promise<void>;

export interface ConnectionPorts {
  readonly limits: ControlLimits;
  readonly wheel: Wheel;
  /** For the requests of all connections. */
  readonly bodies: Room;
  readonly note: Note;
  readonly handle: Handler;
}

/** Bytes that may be held at a time. */
export interface Room {
  /** False if there is not so much left. */
  readonly take: (sizeBytes: number) => boolean;
  readonly give: (sizeBytes: number) => void;
}

/** A room inside another takes from both. */
export const createRoom = (limitBytes: number, outer?: Room): Room => {
  let usedBytes = 0;
  return {
    take: (sizeBytes) => {
      if (usedBytes + sizeBytes > limitBytes || outer?.take(sizeBytes) === false) return false;
      usedBytes += sizeBytes;
      return true;
    },
    give: (sizeBytes) => {
      usedBytes -= sizeBytes;
      outer?.give(sizeBytes);
    },
  };
};

const SETTINGS: http2.ServerOptions = {
  settings: { maxConcurrentStreams: 256, maxHeaderListSize: 16 * 1024, enablePush: false },
  maxHeaderListPairs: 64,
  // In MB, the data that waits for the client included: room for a full map of a very large tailnet.
  maxSessionMemory: 64,
};

const answer = (
  stream: ServerHttp2Stream,
  status: number,
  body: Answer = '',
  headers: Readonly<Record<string, string>> = {},
): void => {
  if (stream.destroyed || stream.headersSent) return;
  // A body that nobody reads would keep the stream open.
  stream.resume();
  if (body.length === 0) {
    stream.respond({ ':status': status, ...headers }, { endStream: true });
    return;
  }
  const bytes = typeof body === 'string' ? utf8(body) : body;
  const type = typeof body === 'string' ? 'text/plain; charset=utf-8' : 'application/json';
  stream.respond({ ':status': status, 'content-type': type, 'content-length': bytes.length, ...headers });
  stream.end(bytes);
};

const readBody = (stream: ServerHttp2Stream, limits: ControlLimits, room: Room): Promise<Uint8Array | undefined> =>
  new Promise((resolve) => {
    const parts: Buffer[] = [];
    let sizeBytes = 0;
    const settle = (body: Uint8Array | undefined): void => {
      clearTimeout(timer);
      stream.off('data', read);
      room.give(sizeBytes);
      sizeBytes = 0;
      resolve(body);
    };
    const refuse = (status: number, text: string): void => {
      settle(undefined);
      answer(stream, status, text);
      stream.close(http2.constants.NGHTTP2_NO_ERROR);
    };
    const read = (part: Buffer): void => {
      if (sizeBytes + part.length > limits.bodyBytes) refuse(413, 'the request is too large');
      else if (!room.take(part.length)) refuse(503, 'too many requests at a time');
      else {
        sizeBytes += part.length;
        parts.push(part);
      }
    };
    const timer = setTimeout(() => refuse(408, 'the request took too long'), limits.bodyTimeoutMs);
    stream.on('data', read);
    stream.once('end', () => settle(parts.length === 1 ? parts[0] : concatBytes(...parts)));
    stream.once('close', () => settle(undefined));
  });

const serve = (
  ports: ConnectionPorts,
  peer: Peer,
  room: Room,
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
): void => {
  const gone = new AbortController();
  stream.on('error', () => stream.destroy());
  stream.once('close', () => gone.abort());
  const target = String(headers[':path']);
  const mark = target.indexOf('?');
  const call: Call = {
    peer,
    method: String(headers[':method']),
    path: mark < 0 ? target : target.slice(0, mark),
    query: new URLSearchParams(mark < 0 ? '' : target.slice(mark + 1)),
    stream,
    gone: gone.signal,
    readBody: () => readBody(stream, ports.limits, room),
    answer: (status, body, extra) => answer(stream, status, body, extra),
  };
  const failed = (fault: unknown): void => {
    ports.note('error', 'request failed', { path: call.path, fault });
    answer(stream, 500, 'the server failed; its log says why');
  };
  try {
    const done = ports.handle(call);
    if (done) done.catch(failed);
  } catch (fault) {
    failed(fault);
  }
};

/** Asks now and then whether the client is still there: a path that went dead says nothing by itself. */
const probe = (session: ServerHttp2Session, { limits, wheel }: ConnectionPorts): (() => void) => {
  let answered = true;
  let cancel = (): void => {};
  const check = (): void => {
    if (!answered) session.destroy();
    else ask();
  };
  const ask = (): void => {
    if (session.destroyed) return;
    answered = false;
    session.ping((error) => {
      if (error) return;
      answered = true;
      cancel();
      cancel = wheel.after(limits.probeEveryMs, ask);
    });
    cancel = wheel.after(limits.probeAnswerMs, check);
  };
  cancel = wheel.after(limits.probeEveryMs, ask);
  return () => cancel();
};

export interface Connection {
  readonly peer: Peer;
  /** Whether the machine itself is there, and not somebody who plays its first message again. */
  readonly isProven: () => boolean;
  /** Lets running requests finish and takes no more. */
  readonly drain: () => void;
  readonly destroy: () => void;
}

export const openConnection = (
  ports: ConnectionPorts,
  peer: Peer,
  channel: Channel,
  on: { readonly proven: () => void; readonly closed: () => void },
): Connection => {
  const session = http2.performServerHandshake(channel, SETTINGS);
  const stopProbing = probe(session, ports);
  const room = createRoom(2 * ports.limits.bodyBytes, ports.bodies);
  channel.once('proven', on.proven);
  session.on('stream', (stream, headers) => serve(ports, peer, room, stream, headers));
  session.on('error', () => session.destroy());
  session.once('close', () => {
    stopProbing();
    channel.destroy();
    on.closed();
  });
  return {
    peer,
    isProven: () => channel.isProven,
    drain: () => session.close(),
    destroy: () => session.destroy(),
  };
};

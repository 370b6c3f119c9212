// The socket below a session: TCP, TLS or a WebSocket as a stream. Frames of one turn of the event loop leave in one write,
// and no more is given to the socket than it takes: the rest waits in the session's queues, which know what to drop.

import type { Duplex } from 'node:stream';

import { Session, type Link, type Remote, type Shared } from './session.ts';

const HANDSHAKE_MS = 10_000;
/** What a socket may hold beyond what the kernel took: a burst of a client that sends 128 packets at once fits in. */
const WRITE_BUFFER_BYTES = 256 << 10;
/** A socket whose buffer is full has to take something within this time, or the client is gone. */
const WRITE_MS = 10_000;
const MESH_WRITE_MS = 30_000;
const KEEP_ALIVE_MS = 60_000;
/** Keep-alives of many connections spread over five seconds, in steps, so that timers share their lists. */
const KEEP_ALIVE_STEPS = 50;
const KEEP_ALIVE_STEP_MS = 100;

export interface ConnectionSetup {
  readonly shared: Shared;
  readonly socket: Duplex;
  readonly remote: Remote;
  /** The most that one write may hold, for transports of messages; 0: no limit. */
  readonly writeLimitBytes: number;
  /** What `createFlusher` gave; one for all connections of a relay. */
  readonly flushLater: (connection: Connection) => void;
  readonly onProven: () => void;
  readonly onClosed: () => void;
  readonly onFault: (fault: unknown) => void;
}

/** Calls `onTurnEnd` of each connection once, when the event loop has read from every socket that was ready. */
export const createFlusher = (): ((connection: Connection) => void) => {
  const woken: Connection[] = [];
  const flushAll = (): void => {
    for (let i = 0; i < woken.length; i++) woken[i]?.onTurnEnd();
    woken.length = 0;
  };
  return (connection) => {
    if (woken.push(connection) === 1) setImmediate(flushAll);
  };
};

export class Connection implements Link {
  readonly session: Session;
  readonly socket: Duplex;
  readonly remote: Remote;
  readonly #setup: ConnectionSetup;
  #isWoken = false;
  #isClosed = false;
  #isProven = false;
  #deadline: NodeJS.Timeout | undefined;
  #keepAlive: NodeJS.Timeout | undefined;
  #writeDeadline: NodeJS.Timeout | undefined;

  constructor(setup: ConnectionSetup) {
    const { shared, socket, remote } = setup;
    this.#setup = setup;
    this.socket = socket;
    this.remote = remote;
    this.session = new Session(shared, this);
    const end = (): void => this.session.close();
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
    socket.on('drain', () => this.#onDrain());
    socket.on('end', end);
    socket.on('error', end);
    socket.on('close', end);
    this.#deadline = setTimeout(() => {
      shared.tally.refused.handshake++;
      this.session.close();
    }, HANDSHAKE_MS);
    this.session.start();
  }

  isWritable(): boolean {
    return this.socket.writableLength < WRITE_BUFFER_BYTES;
  }

  wake(): void {
    if (this.#isWoken) return;
    this.#isWoken = true;
    this.#setup.flushLater(this);
  }

  flush(): void {
    if (this.#isClosed || !this.isWritable()) return;
    const frames: Uint8Array[] = [];
    this.session.drain(frames);
    this.#write(frames);
    if (!this.isWritable() && !this.#writeDeadline) this.#startWriteDeadline();
  }

  /** The end of a turn of the event loop in which something woke it. */
  onTurnEnd(): void {
    this.#isWoken = false;
    this.flush();
  }

  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
    this.#noteProven();
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearTimeout(this.#deadline);
    clearTimeout(this.#writeDeadline);
    clearInterval(this.#keepAlive);
    this.socket.destroy();
    this.#setup.onClosed();
  }

  /** Writes what waits, then closes. */
  end(): void {
    this.flush();
    this.socket.end();
  }

  /** Bytes that came with the request already. */
  unshift(head: Buffer): void {
    if (head.length > 0) this.#read(head);
  }

  #read(chunk: Buffer): void {
    try {
      this.session.read(chunk);
    } catch (fault) {
      // What one client sends may end its own connection, never the relay.
      this.#setup.onFault(fault);
      this.session.close();
    }
    if (!this.#isProven) this.#noteProven();
  }

  #noteProven(): void {
    if (this.#isProven || this.#isClosed || !this.session.isProven) return;
    this.#isProven = true;
    clearTimeout(this.#deadline);
    this.#deadline = undefined;
    const step = (this.#setup.shared.random(1)[0] as number) % KEEP_ALIVE_STEPS;
    this.#keepAlive = setInterval(() => this.session.keepAlive(), KEEP_ALIVE_MS + step * KEEP_ALIVE_STEP_MS);
    this.#setup.onProven();
  }

  #write(frames: readonly Uint8Array[]): void {
    const socket = this.socket;
    const limit = this.#setup.writeLimitBytes;
    if (limit > 0) {
      const all = Buffer.concat(frames);
      for (let at = 0; at < all.length; at += limit) socket.write(all.subarray(at, at + limit));
    } else if (frames.length === 1) {
      socket.write(frames[0]);
    } else if (frames.length > 1) {
      socket.cork();
      for (const frame of frames) socket.write(frame);
      socket.uncork();
    }
  }

  #startWriteDeadline(): void {
    const heldBytes = this.socket.writableLength;
    this.#writeDeadline = setTimeout(
      () => {
        if (this.socket.writableLength < heldBytes) {
          this.#startWriteDeadline();
          return;
        }
        this.#setup.shared.tally.writeTimeouts++;
        this.session.close();
      },
      this.session.isMesh ? MESH_WRITE_MS : WRITE_MS,
    );
  }

  #onDrain(): void {
    clearTimeout(this.#writeDeadline);
    this.#writeDeadline = undefined;
    this.flush();
  }
}

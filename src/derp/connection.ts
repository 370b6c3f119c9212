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
  readonly flusher: Flusher;
  readonly onProven: () => void;
  readonly onClosed: () => void;
  readonly onFault: (fault: unknown) => void;
}

/** Decides when those who have something to write do so; one for all connections of a relay. */
export interface Flusher {
  readonly wake: (connection: Connection) => void;
  /** All frames of a chunk were handed on. */
  readonly chunkEnded: () => void;
}

/**
 * In each turn of the event loop the first frames for a connection leave as soon as the chunk that brought them is read,
 * so that the receiver works while the relay goes on reading; what others bring for it in the same turn leaves in one
 * write at the turn's end.
 */
export const createFlusher = (): Flusher => {
  const woken: Connection[] = [];
  const gathering: Connection[] = [];
  let turn = 0;
  let scheduled = false;
  // Writing may wake others.
  const flushAll = (connections: Connection[]): void => {
    for (let i = 0; i < connections.length; i++) connections[i]?.onFlush();
    connections.length = 0;
  };
  const endTurn = (): void => {
    scheduled = false;
    turn++;
    flushAll(gathering);
    flushAll(woken);
  };
  return {
    wake: (connection) => {
      woken.push(connection);
      if (scheduled) return;
      scheduled = true;
      setImmediate(endTurn);
    },
    chunkEnded: () => {
      for (let i = 0; i < woken.length; i++) {
        const connection = woken[i] as Connection;
        if (connection.flushedIn === turn) gathering.push(connection);
        else {
          connection.flushedIn = turn;
          connection.onFlush();
        }
      }
      woken.length = 0;
    },
  };
};

export class Connection implements Link {
  readonly session: Session;
  readonly socket: Duplex;
  readonly remote: Remote;
  /** The turn in which it was flushed at the end of a chunk; the flusher's. */
  flushedIn = -1;
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
    this.#setup.flusher.wake(this);
  }

  flush(): void {
    if (this.#isClosed || !this.isWritable()) return;
    const frames: Uint8Array[] = [];
    this.session.drain(frames);
    this.#write(frames);
    if (!this.isWritable() && !this.#writeDeadline) this.#startWriteDeadline();
  }

  /** The flusher says that it is time. */
  onFlush(): void {
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
    this.#setup.flusher.chunkEnded();
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

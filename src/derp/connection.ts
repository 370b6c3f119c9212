// The socket below a session: TCP, TLS or a WebSocket as a stream. Frames of one turn of the event loop leave in one write,
// and no more is given to the socket than it takes: the rest waits in the session's queues, which know what to drop.

import type { Duplex } from 'node:stream';

import { Session, type Link, type Shared } from './session.ts';

const HANDSHAKE_MS = 10_000;
/** Within this time a socket has to take what it buffers, 64 KiB: a client slower than that is of no use to its peers. */
const WRITE_MS = 10_000;
const MESH_WRITE_MS = 30_000;
const KEEP_ALIVE_MS = 60_000;
/** Keep-alives of many connections spread over five seconds, in steps, so that timers share their lists. */
const KEEP_ALIVE_STEPS = 50;
const KEEP_ALIVE_STEP_MS = 100;

export interface Remote {
  readonly address: string;
  /** 16 bytes, IPv4 mapped. */
  readonly bytes: Uint8Array;
  readonly port: number;
  readonly isIdeal: boolean;
}

export interface ConnectionSetup {
  readonly shared: Shared;
  readonly socket: Duplex;
  readonly remote: Remote;
  /** The most that one write may hold, for transports of messages; 0: no limit. */
  readonly writeLimitBytes: number;
  readonly onProven: () => void;
  readonly onClosed: () => void;
}

/** Collects connections with something to say until the event loop has read from every socket that was ready. */
const dirty: Connection[] = [];

const flushDirty = (): void => {
  const flushed = dirty.splice(0);
  for (const connection of flushed) connection.flush();
};

export class Connection implements Link {
  readonly session: Session;
  readonly socket: Duplex;
  readonly remoteAddress: string;
  readonly remoteBytes: Uint8Array;
  readonly remotePort: number;
  readonly isIdeal: boolean;
  readonly #setup: ConnectionSetup;
  #isDirty = false;
  #isClosed = false;
  #isProven = false;
  #deadline: NodeJS.Timeout | undefined;
  #keepAlive: NodeJS.Timeout | undefined;
  #writeDeadline: NodeJS.Timeout | undefined;

  constructor(setup: ConnectionSetup) {
    const { shared, socket, remote } = setup;
    this.#setup = setup;
    this.socket = socket;
    this.remoteAddress = remote.address;
    this.remoteBytes = remote.bytes;
    this.remotePort = remote.port;
    this.isIdeal = remote.isIdeal;
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
    return !this.socket.writableNeedDrain;
  }

  wake(): void {
    if (this.#isDirty) return;
    this.#isDirty = true;
    if (dirty.push(this) === 1) setImmediate(flushDirty);
  }

  flush(): void {
    this.#isDirty = false;
    if (this.#isClosed || !this.isWritable()) return;
    const frames: Uint8Array[] = [];
    this.session.drain(frames);
    this.#write(frames);
    if (!this.isWritable() && !this.#writeDeadline) this.#startWriteDeadline();
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
    this.session.read(chunk);
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
    this.#writeDeadline = setTimeout(
      () => {
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

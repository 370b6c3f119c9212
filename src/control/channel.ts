// A Noise connection as a plain byte stream, which HTTP/2 runs over: what is written goes out as records, what comes in as
// records is read. Back-pressure passes through in both directions. Anything that is not the next record ends it.

import { Duplex } from 'node:stream';

import type { Crypto } from '../keys/crypto.ts';
import { recordDecoder, recordEncoder, type RecordDecoder } from '../noise/record.ts';
import { NO_BYTES } from '../keys/crypto.ts';

export interface ChannelKeys {
  /** Key of the records that this side sends. */
  readonly send: Uint8Array;
  readonly receive: Uint8Array;
}

export interface ChannelOptions {
  /** Goes out in front of the first records: the head of the answer and the handshake's response. */
  readonly before?: Uint8Array;
  /** What the socket had already read. */
  readonly head?: Uint8Array;
  /** The largest piece that the socket may be given; browsers end a WebSocket at a message of more than 32 KiB. */
  readonly maxWriteBytes?: number;
}

interface Chunk {
  readonly chunk: Buffer;
}

export class Channel extends Duplex {
  readonly #socket: Duplex;
  readonly #decoder: RecordDecoder;
  readonly #encode: (parts: readonly Uint8Array[]) => Uint8Array;
  readonly #maxWriteBytes: number;
  #before: Uint8Array;
  /**
   * Whether a record came that only the machine itself can have made. The handshake's first message can be recorded and
   * played again by anybody; then `proven` is never emitted.
   */
  isProven = false;

  constructor(socket: Duplex, crypto: Crypto, keys: ChannelKeys, options: ChannelOptions = {}) {
    super({ allowHalfOpen: false, highWaterMark: 64 * 1024 });
    this.#socket = socket;
    this.#encode = recordEncoder(crypto, keys.send);
    this.#decoder = recordDecoder(crypto, keys.receive);
    this.#before = options.before ?? NO_BYTES;
    this.#maxWriteBytes = options.maxWriteBytes ?? Infinity;
    socket.on('data', (bytes: Buffer) => this.#receive(bytes));
    socket.on('end', () => this.push(null));
    socket.on('error', () => this.destroy());
    socket.on('close', () => this.destroy());
    if (options.head && options.head.length > 0) this.#receive(options.head);
  }

  #receive(bytes: Uint8Array): void {
    let room = true;
    const sound = this.#decoder.push(bytes, (plaintext) => {
      if (!this.isProven) {
        this.isProven = true;
        this.emit('proven');
      }
      room = this.push(plaintext);
    });
    if (!sound) this.destroy();
    else if (!room) this.#socket.pause();
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.#send([chunk], done);
  }

  override _writev(chunks: Chunk[], done: () => void): void {
    this.#send(
      chunks.map(({ chunk }) => chunk),
      done,
    );
  }

  #send(parts: readonly Uint8Array[], done: () => void): void {
    if (this.#socket.destroyed) {
      this.destroy();
      return;
    }
    let bytes = this.#encode(parts);
    if (this.#before.length > 0) {
      bytes = Buffer.concat([this.#before, bytes]);
      this.#before = NO_BYTES;
    }
    let room = true;
    for (let at = 0; at < bytes.length; at += this.#maxWriteBytes)
      room = this.#socket.write(bytes.subarray(at, Math.min(at + this.#maxWriteBytes, bytes.length)));
    if (room) done();
    else this.#socket.once('drain', done);
  }

  override _final(done: () => void): void {
    this.#socket.end();
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#socket.destroy();
    done(error);
  }
}

// A session recorder as clients expect one at port 80 of a node with the recorder's tag (sessionrecording/connect.go): HTTP/2
// without TLS; a HEAD says that it is there, a POST brings the recording while it is made and is told how much has arrived.

import { once } from 'node:events';
import http2 from 'node:http2';
import type { Http2Stream, ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';

export interface Recording {
  /** asciinema's cast format, version 2: a header, then a line for each piece of output. */
  text: string;
  whole: boolean;
}

export class Recorder {
  readonly recordings: Recording[] = [];
  readonly #server = http2.createServer();
  readonly #sockets = new Set<Socket>();

  private constructor() {
    this.#server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    this.#server.on('sessionError', () => {});
    this.#server.on('stream', (stream: Http2Stream, headers) =>
      this.#take(stream as ServerHttp2Stream, headers[':method'], headers[':path']),
    );
  }

  /** Clients without a network device hand what comes to a port of theirs to the same port of loopback. */
  static async start(): Promise<Recorder> {
    const recorder = new Recorder();
    recorder.#server.listen(80, '127.0.0.1');
    await once(recorder.#server, 'listening');
    return recorder;
  }

  #take(stream: ServerHttp2Stream, method: string | undefined, path: string | undefined): void {
    stream.on('error', () => {});
    if (path !== '/v2/record' || (method !== 'HEAD' && method !== 'POST')) {
      stream.respond({ ':status': 404 }, { endStream: true });
      return;
    }
    stream.respond({ ':status': 200 }, { endStream: method === 'HEAD' });
    if (method === 'HEAD') return;
    const recording: Recording = { text: '', whole: false };
    this.recordings.push(recording);
    let sizeBytes = 0;
    stream.on('data', (chunk: Buffer) => {
      recording.text += chunk.toString();
      sizeBytes += chunk.length;
      stream.write(JSON.stringify({ ack: sizeBytes }));
    });
    stream.on('end', () => {
      recording.whole = true;
      stream.end();
    });
  }

  /** Like a recorder that dies: who records is cut off. */
  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.resetAndDestroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

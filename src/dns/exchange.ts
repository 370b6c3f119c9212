// One request to a name server and its answer, over TCP (RFC 7766): two bytes of length, then the message. Size and time
// are limited, and an answer to something else is none.

import net from 'node:net';

export interface NameServer {
  readonly host: string;
  readonly port: number;
}

export type Exchange = (server: NameServer, request: Uint8Array) => Promise<Uint8Array>;

const ANSWER_MS = 5_000;

/** Rejects with a few words on what went wrong. */
export const exchangeOverTcp: Exchange = async ({ host, port }, request) =>
  new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let sizeBytes = 0;
    const socket = net.connect({ host, port });
    const end = (settle: () => void): void => {
      clearTimeout(timer);
      socket.destroy();
      settle();
    };
    const fail = (words: string): void => end(() => reject(new Error(words)));
    const timer = setTimeout(() => fail('it does not answer in time'), ANSWER_MS);
    socket.on('connect', () => socket.write(Buffer.concat([Buffer.from([request.length >> 8, request.length & 0xff]), request]))); // prettier-ignore
    socket.on('error', (error: NodeJS.ErrnoException) => fail(error.code ?? 'no connection'));
    socket.on('close', () => fail('it closed the connection'));
    socket.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      sizeBytes += chunk.length;
      if (sizeBytes < 2) return;
      const bytes = Buffer.concat(chunks);
      const length = bytes.readUInt16BE(0);
      if (sizeBytes < 2 + length) return;
      const answer = bytes.subarray(2, 2 + length);
      const isAnswer = length >= 12 && answer.readUInt16BE(0) === Buffer.from(request).readUInt16BE(0) && (answer[2] as number) >= 0x80; // prettier-ignore
      if (isAnswer) end(() => resolve(new Uint8Array(answer)));
      else fail('its answer is to something else');
    });
  });

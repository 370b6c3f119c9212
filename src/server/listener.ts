// One TCP port for plain HTTP and TLS. Clients reach relays by TLS only, but a server on a laptop has no certificate that
// browsers and `/key` would trust; so the first byte decides: a TLS ClientHello begins with 0x16 (RFC 8446 section 5.1), an
// HTTP request with a letter, or with an empty line that clients may send before it (RFC 9112 section 2.2). A connection
// that says nothing or anything else is closed, before any parser is made for it.

import type net from 'node:net';

export interface SplitPorts {
  readonly plain: (socket: net.Socket) => void;
  /** `hello` is what came so far; it is still to be read from the socket, too. */
  readonly tls: (socket: net.Socket, hello: Buffer) => void;
  /** How long a connection may say nothing. */
  readonly firstByteMs?: number;
}

const TLS_HANDSHAKE = 0x16;
const [CR, LF, UPPER_A, UPPER_Z] = [0x0d, 0x0a, 0x41, 0x5a];
/** Methods are upper case (RFC 9110 section 9.1): those that Node knows, too. */
const mayBeHttp = (byte: number): boolean => (byte >= UPPER_A && byte <= UPPER_Z) || byte === CR || byte === LF;
const FIRST_BYTE_MS = 10_000;

/** Hands each new connection to `plain` or `tls`, with its first bytes still unread. */
export const splitByFirstByte = ({
  plain,
  tls,
  firstByteMs = FIRST_BYTE_MS,
}: SplitPorts): ((socket: net.Socket) => void) => {
  return (socket) => {
    const give = (): void => {
      socket.destroy();
    };
    socket.setTimeout(firstByteMs, give);
    socket.on('error', give);
    socket.once('readable', () => {
      const first = socket.read() as Buffer | null;
      const byte = first?.[0];
      if (first === null || byte === undefined || (byte !== TLS_HANDSHAKE && !mayBeHttp(byte))) {
        socket.destroy();
        return;
      }
      socket.setNoDelay(true);
      socket.setTimeout(0);
      socket.off('timeout', give);
      socket.off('error', give);
      socket.unshift(first);
      if (byte === TLS_HANDSHAKE) tls(socket, first);
      else plain(socket);
    });
  };
};

// One TCP port for plain HTTP and TLS. Clients reach relays by TLS only, but a server on a laptop has no certificate that
// browsers and `/key` would trust; so the first byte decides: a TLS ClientHello begins with 0x16 (RFC 8446 section 5.1),
// which no HTTP method does. A connection that says nothing is closed.

import type net from 'node:net';

export interface SplitPorts {
  readonly plain: (socket: net.Socket) => void;
  /** `hello` is what came so far; it is still to be read from the socket, too. */
  readonly tls: (socket: net.Socket, hello: Buffer) => void;
  /** How long a connection may say nothing. */
  readonly firstByteMs?: number;
}

const TLS_HANDSHAKE = 0x16;
const FIRST_BYTE_MS = 10_000;

/** Hands each new connection to `plain` or `tls`, with its first bytes still unread. */
export const splitByFirstByte = ({
  plain,
  tls,
  firstByteMs = FIRST_BYTE_MS,
}: SplitPorts): ((socket: net.Socket) => void) => {
  return (socket) => {
    socket.setNoDelay(true);
    const give = (): void => {
      socket.destroy();
    };
    socket.setTimeout(firstByteMs, give);
    socket.on('error', give);
    socket.once('readable', () => {
      const first = socket.read() as Buffer | null;
      if (first === null || first.length === 0) {
        socket.destroy();
        return;
      }
      socket.setTimeout(0);
      socket.off('timeout', give);
      socket.off('error', give);
      socket.unshift(first);
      if (first[0] === TLS_HANDSHAKE) tls(socket, first);
      else plain(socket);
    });
  };
};

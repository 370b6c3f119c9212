// The address that clients reach: one port for plain HTTP and TLS, with limits of time and size on everything that a
// stranger may send, and upgrades handed to whom they belong.

import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import type { Duplex } from 'node:stream';
import { listen } from './listen.ts';
import { splitByFirstByte } from './listener.ts';
import type { HostPort } from './settings.ts';
import type { ServerCertificate } from './tls.ts';

export interface FrontPorts {
  readonly answer: http.RequestListener;
  /** False where the upgrade is nobody's; the socket is then still untouched. */
  readonly upgrade: (request: http.IncomingMessage, socket: Duplex, head: Buffer) => boolean;
}

export interface Front {
  /** What is really bound, which matters where port 0 was asked for. */
  readonly at: HostPort;
  /** Begins to answer; until then connections wait. */
  readonly open: (ports: FrontPorts, certificate: ServerCertificate) => void;
  readonly connections: () => number;
  /** Takes no more connections. */
  readonly refuse: () => void;
  /** Ends every connection that is left. */
  readonly close: () => void;
}

const MAX_HEADER_BYTES = 16 << 10;
const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 30_000;
const KEEP_ALIVE_TIMEOUT_MS = 5_000;
const HTTP_OPTIONS = { maxHeaderSize: MAX_HEADER_BYTES, noDelay: true };

const BAD_REQUEST = 'HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n';
const NOT_FOUND = 'HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n';

/** Prepares an HTTP server that gets its connections handed over instead of listening itself. */
const prepare = (server: http.Server | https.Server, upgrade: FrontPorts['upgrade']): void => {
  server.headersTimeout = HEADERS_TIMEOUT_MS;
  server.requestTimeout = REQUEST_TIMEOUT_MS;
  server.keepAliveTimeout = KEEP_ALIVE_TIMEOUT_MS;
  server.on('upgrade', (request: http.IncomingMessage, socket: Duplex, head: Buffer) => {
    if (upgrade(request, socket, head)) return;
    socket.on('error', () => socket.destroy());
    socket.end(NOT_FOUND);
  });
  server.on('clientError', (_error: Error, socket: Duplex) => {
    if (socket.writable) socket.end(BAD_REQUEST);
    else socket.destroy();
  });
  // The checks for slow requests begin with this event, which only a listening server would emit.
  server.emit('listening');
};

/** Binds the port. Throws a StartFailure where that can't be done. */
export const bindFront = async (at: HostPort): Promise<Front> => {
  const sockets = new Set<net.Socket>();
  const waiting: net.Socket[] = [];
  let give: (socket: net.Socket) => void = (socket) => waiting.push(socket);
  const closers: (() => void)[] = [];
  const port = net.createServer((socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    give(socket);
  });
  const bound: HostPort = { host: at.host, port: await listen(port, at) };
  return {
    at: bound,
    open: ({ answer, upgrade }, certificate) => {
      const plain = http.createServer(HTTP_OPTIONS, answer);
      // No ALPN beyond HTTP/1.1: upgrades need it, and clients of /ts2021 offer none at all.
      const secure = https.createServer(
        { ...certificate.context(), ...HTTP_OPTIONS, ALPNProtocols: ['http/1.1'] },
        answer,
      );
      prepare(plain, upgrade);
      prepare(secure, upgrade);
      certificate.onChange(() => secure.setSecureContext(certificate.context()));
      closers.push(
        () => plain.close(),
        () => secure.close(),
      );
      give = splitByFirstByte({
        plain: (socket) => plain.emit('connection', socket),
        tls: (socket) => secure.emit('connection', socket),
      });
      for (const socket of waiting.splice(0)) give(socket);
    },
    connections: () => sockets.size,
    refuse: () => {
      port.close();
    },
    close: () => {
      port.close();
      for (const close of closers) close();
      for (const socket of sockets) socket.destroy();
    },
  };
};

// The address that clients reach: one port for plain HTTP and TLS, with limits of time and size on everything that a
// stranger may send, and upgrades handed to whom they belong.

import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import type { Duplex } from 'node:stream';
import { createChallengeServer } from './challenges.ts';
import { listen } from './listen.ts';
import { splitByFirstByte } from './listener.ts';
import { createNewcomers, isLoopback } from './newcomers.ts';
import type { NewcomerLimits, Newcomers } from './newcomers.ts';
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

export interface FrontLimits {
  /** For the first byte and then for the TLS handshake. */
  readonly handshakeMs: number;
  readonly headersMs: number;
  readonly newcomers: NewcomerLimits;
}

/** Far more newcomers than honest clients are, even if all come back at once: a request follows within milliseconds. */
export const FRONT_LIMITS: FrontLimits = {
  handshakeMs: 10_000,
  headersMs: 10_000,
  newcomers: { all: 8_192, perPrefix: 512, perSecond: 200, isExempt: isLoopback },
};
const MAX_HEADER_BYTES = 16 << 10;
const MAX_HEADERS = 100;
const REQUEST_TIMEOUT_MS = 30_000;
const KEEP_ALIVE_TIMEOUT_MS = 5_000;
/** How often slow requests are looked for, as a part of the time that they have. */
const CHECKS = 4;

const BAD_REQUEST = 'HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n';
const NOT_FOUND = 'HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n';

/** Prepares an HTTP server that gets its connections handed over instead of listening itself. */
const prepare = (server: http.Server | https.Server, upgrade: FrontPorts['upgrade'], newcomers: Newcomers): void => {
  server.maxHeadersCount = MAX_HEADERS;
  server.requestTimeout = REQUEST_TIMEOUT_MS;
  server.keepAliveTimeout = KEEP_ALIVE_TIMEOUT_MS;
  server.on('request', ({ socket }: http.IncomingMessage) => newcomers.settle(socket));
  server.on('upgrade', (request: http.IncomingMessage, socket: Duplex, head: Buffer) => {
    newcomers.settle(request.socket);
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
export const bindFront = async (at: HostPort, limits: Partial<FrontLimits> = {}): Promise<Front> => {
  const { handshakeMs, headersMs, newcomers: newcomerLimits } = { ...FRONT_LIMITS, ...limits };
  const newcomers = createNewcomers(newcomerLimits);
  const httpOptions = {
    maxHeaderSize: MAX_HEADER_BYTES,
    noDelay: true,
    headersTimeout: headersMs,
    connectionsCheckingInterval: headersMs / CHECKS,
  };
  const sockets = new Set<net.Socket>();
  const waiting: net.Socket[] = [];
  let give: (socket: net.Socket) => void = (socket) => waiting.push(socket);
  const closers: (() => void)[] = [];
  const port = net.createServer((socket) => {
    if (!newcomers.admit(socket)) {
      socket.destroy();
      return;
    }
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    give(socket);
  });
  const bound: HostPort = { host: at.host, port: await listen(port, at) };
  return {
    at: bound,
    open: ({ answer: answerOthers, upgrade }, certificate) => {
      const { challenges } = certificate;
      const answer: http.RequestListener = (request, response) => {
        if (challenges?.answerHttp(request, response) !== true) answerOthers(request, response);
      };
      const plain = http.createServer(httpOptions, answer);
      // No ALPN beyond HTTP/1.1: upgrades need it, and clients of /ts2021 offer none at all.
      const secure = https.createServer(
        {
          ...certificate.context(),
          ...httpOptions,
          ALPNProtocols: ['http/1.1'],
          minVersion: 'TLSv1.2',
          handshakeTimeout: handshakeMs,
        },
        answer,
      );
      const challenged = challenges && createChallengeServer(challenges, handshakeMs);
      prepare(plain, upgrade, newcomers);
      prepare(secure, upgrade, newcomers);
      // What `prepare` would answer waits for a handshake that never ends.
      secure.on('tlsClientError', (_error, socket) => socket.destroy());
      certificate.onChange(() => secure.setSecureContext(certificate.context()));
      closers.push(
        () => plain.close(),
        () => secure.close(),
      );
      give = splitByFirstByte({
        plain: (socket) => plain.emit('connection', socket),
        tls: (socket, hello) =>
          (challenged && challenges?.isAsked(hello) ? challenged : secure).emit('connection', socket),
        firstByteMs: handshakeMs,
      });
      for (const socket of waiting.splice(0)) give(socket);
      certificate.begin();
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

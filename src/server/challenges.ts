// What an ACME server asks to see before it signs a certificate: a file under a well-known path (RFC 8555 section 8.3), or a
// certificate of a special kind by TLS (RFC 8737). Both are answered by the listeners that are there anyway.

import type { RequestListener } from 'node:http';
import tls from 'node:tls';

export interface Challenges {
  readonly answerHttp: (...request: Parameters<RequestListener>) => boolean;
  /** Whether the first bytes of a connection, a TLS ClientHello, ask for a challenge that waits. */
  readonly isAsked: (hello: Buffer) => boolean;
  readonly contextOf: (serverName: string) => tls.SecureContext | undefined;
}

export interface PendingChallenges extends Challenges {
  /** Each gives a function that takes the challenge back. */
  readonly offerHttp: (token: string, keyAuthorization: string) => () => void;
  readonly offerTls: (serverName: string, context: { readonly cert: Buffer; readonly key: Buffer }) => () => void;
}

export const ACME_TLS = 'acme-tls/1';
/** As it stands in the list of protocols of a ClientHello: with its length before it. */
const ACME_TLS_OFFERED = Buffer.from(`${String.fromCharCode(ACME_TLS.length)}${ACME_TLS}`, 'latin1');
const PREFIX = '/.well-known/acme-challenge/';

export const createChallenges = (): PendingChallenges => {
  const files = new Map<string, string>();
  const contexts = new Map<string, tls.SecureContext>();
  return {
    answerHttp: (request, response) => {
      if (request.url?.startsWith(PREFIX) !== true) return false;
      const text = files.get(request.url.slice(PREFIX.length));
      response.writeHead(text === undefined ? 404 : 200, { 'Content-Type': 'application/octet-stream' });
      response.end(text);
      return true;
    },
    isAsked: (hello) => contexts.size > 0 && hello.includes(ACME_TLS_OFFERED),
    contextOf: (serverName) => contexts.get(serverName.toLowerCase()),
    offerHttp: (token, keyAuthorization) => {
      files.set(token, keyAuthorization);
      return () => files.delete(token);
    },
    offerTls: (serverName, context) => {
      const name = serverName.toLowerCase();
      contexts.set(name, tls.createSecureContext(context));
      return () => contexts.delete(name);
    },
  };
};

/** A server for connections that ask for a challenge; it shows the certificate, and that is all there is to say. */
export const createChallengeServer = (challenges: Challenges, handshakeTimeout: number): tls.Server =>
  tls.createServer(
    {
      ALPNProtocols: [ACME_TLS],
      handshakeTimeout,
      SNICallback: (name, done) => done(null, challenges.contextOf(name)),
    },
    (socket) => socket.end(),
  );

// The command line's way to a running server: HTTP over the Unix socket in its data folder. Whoever may open the socket
// is an administrator (the folder is 0700), so there is no other credential.

import http from 'node:http';
import path from 'node:path';
import { EXIT, Failure } from './failure.ts';

export const SOCKET_NAME = 'admin.sock';
export const socketPath = (dataFolder: string): string => path.join(dataFolder, SOCKET_NAME);

export interface AdminClient {
  readonly get: <T>(path: string) => Promise<T>;
  readonly post: <T>(path: string, body?: unknown) => Promise<T>;
  readonly remove: <T>(path: string) => Promise<T>;
  /** Streams an answer's body, for backups. */
  readonly download: (path: string, body: unknown, write: (chunk: Buffer) => void) => Promise<void>;
}

const TIMEOUT_MS = 60_000;

/** Why the socket can't be reached, in words. */
export const unreachable = (dataFolder: string, error: NodeJS.ErrnoException): Failure => {
  if (error.code === 'EACCES' || error.code === 'EPERM') {
    return new Failure(
      EXIT.unreachable,
      'cli/server-forbidden',
      `You may not talk to the server of ${dataFolder}.`,
      'Run the command as the user that runs the server.',
    );
  }
  return new Failure(
    EXIT.unreachable,
    'cli/server-unreachable',
    `No server answers for the data folder ${dataFolder}.`,
    'Start one with `tailplane serve`, or name its data folder with --data DIR or TAILPLANE_DATA.',
  );
};

const request = (
  dataFolder: string,
  method: string,
  route: string,
  body: unknown,
  onChunk: (chunk: Buffer) => void,
): Promise<number> =>
  new Promise((resolve, reject) => {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const outgoing = http.request(
      {
        socketPath: socketPath(dataFolder),
        method,
        path: `/v0${route}`,
        timeout: TIMEOUT_MS,
        headers: {
          host: 'tailplane',
          ...(text === undefined
            ? {}
            : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
        },
      },
      (answer) => {
        answer.on('data', onChunk);
        answer.on('end', () => resolve(answer.statusCode ?? 0));
        answer.on('error', reject);
      },
    );
    outgoing.on('timeout', () => outgoing.destroy(new Error('timed out')));
    outgoing.on('error', (error) => reject(unreachable(dataFolder, error)));
    outgoing.end(text);
  });

interface Refused {
  readonly error?: { readonly code: Failure['code']; readonly message: string; readonly help?: string };
}

export const connectAdmin = (dataFolder: string): AdminClient => {
  const call = async <T>(method: string, route: string, body?: unknown): Promise<T> => {
    const chunks: Buffer[] = [];
    const status = await request(dataFolder, method, route, body, (chunk) => chunks.push(chunk));
    const value = JSON.parse(Buffer.concat(chunks).toString('utf8') || 'null') as T & Refused;
    if (status >= 400) {
      const { code = 'cli/server-refused', message = `The server answered ${status}.`, help } = value?.error ?? {};
      throw new Failure(EXIT.findings, code, message, help);
    }
    return value;
  };
  return {
    get: (route) => call('GET', route),
    post: (route, body = {}) => call('POST', route, body),
    remove: (route) => call('DELETE', route),
    download: async (route, body, write) => {
      const refusal: Buffer[] = [];
      let first = true;
      let refused = false;
      const status = await request(dataFolder, 'POST', route, body, (chunk) => {
        // A refusal is one JSON object; a backup never begins with a brace.
        if (first) refused = chunk[0] === 0x7b;
        first = false;
        if (refused) refusal.push(chunk);
        else write(chunk);
      });
      if (status < 400) return;
      const { error } = JSON.parse(Buffer.concat(refusal).toString('utf8') || '{}') as Refused;
      throw new Failure(
        EXIT.findings,
        error?.code ?? 'cli/server-refused',
        error?.message ?? `The server answered ${status}.`,
        error?.help,
      );
    },
  };
};

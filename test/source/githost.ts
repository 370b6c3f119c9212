// A git host for tests: git http-backend (the CGI program of git itself) behind a small Node server that checks Basic
// credentials and can misbehave on demand; and real git as the person who writes.

import { execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';

/** What goes wrong with the next requests. */
export type Weather =
  | { readonly kind: 'fine' }
  | { readonly kind: 'hang' }
  /** A byte now and then, for ever. */
  | { readonly kind: 'trickle' }
  | { readonly kind: 'status'; readonly status: number }
  | { readonly kind: 'redirect'; readonly to: string }
  /** Cuts the connection after so many bytes of a pack. */
  | { readonly kind: 'cut'; readonly afterBytes: number }
  | { readonly kind: 'garbage' };

export interface GitHost {
  readonly url: string;
  /** The bare repository. */
  readonly repository: string;
  weather: Weather;
  /** Requests seen, as `GET info/refs` and so on. */
  readonly seen: string[];
  close(): Promise<void>;
}

const ENV = {
  ...process.env,
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_AUTHOR_NAME: 'Alice',
  GIT_AUTHOR_EMAIL: 'alice@example.com',
  GIT_COMMITTER_NAME: 'Alice',
  GIT_COMMITTER_EMAIL: 'alice@example.com',
};

export const git = (
  dir: string,
  args: readonly string[],
  options: { input?: string | Uint8Array; env?: object } = {},
): string =>
  execFileSync('git', ['-C', dir, ...args], {
    env: { ...ENV, ...options.env },
    stdio: ['pipe', 'pipe', 'pipe'],
    maxBuffer: 1 << 28,
    ...(options.input === undefined ? {} : { input: options.input }),
  })
    .toString()
    .trim();

export const tempDir = (t: Pick<TestContext, 'after'>, name: string): string => {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), `${name}-`));
  t.after(() => fs.rmSync(dir, { recursive: true, force: true, maxRetries: 5 }));
  return dir;
};

const USER = 'tailplane';
export const PASSWORD = 'correct-horse';

const serveBackend = (
  root: string,
  host: GitHost,
  request: http.IncomingMessage,
  response: http.ServerResponse,
): void => {
  const url = new URL(request.url ?? '/', 'http://host');
  const backend = spawn('git', ['http-backend'], {
    env: {
      ...ENV,
      GIT_PROJECT_ROOT: root,
      GIT_HTTP_EXPORT_ALL: '1',
      REMOTE_USER: USER,
      PATH_INFO: url.pathname,
      QUERY_STRING: url.search.slice(1),
      REQUEST_METHOD: request.method ?? 'GET',
      CONTENT_TYPE: request.headers['content-type'] ?? '',
      CONTENT_LENGTH: request.headers['content-length'] ?? '',
      GIT_PROTOCOL: String(request.headers['git-protocol'] ?? ''),
      REMOTE_ADDR: '127.0.0.1',
    },
  });
  request.pipe(backend.stdin);
  backend.stdin.on('error', () => {});
  let head: Buffer | undefined = Buffer.alloc(0);
  let sent = 0;
  const cut = host.weather.kind === 'cut' && request.method === 'POST' ? host.weather.afterBytes : Infinity;
  const send = (chunk: Buffer): void => {
    if (sent + chunk.length > cut) {
      response.write(chunk.subarray(0, cut - sent), () => response.destroy());
      backend.kill();
    } else if (!response.destroyed) response.write(chunk);
    sent += chunk.length;
  };
  backend.stdout.on('data', (chunk: Buffer) => {
    if (head === undefined) {
      send(chunk);
      return;
    }
    head = Buffer.concat([head, chunk]);
    const end = head.indexOf('\r\n\r\n');
    if (end < 0) return;
    for (const line of head.subarray(0, end).toString('latin1').split('\r\n')) {
      const [name = '', value = ''] = line.split(': ');
      if (name === 'Status') response.statusCode = Number(value.slice(0, 3));
      else response.setHeader(name, value);
    }
    const rest = head.subarray(end + 4);
    head = undefined;
    if (rest.length > 0) send(rest);
  });
  backend.on('close', () => response.end());
};

/** Starts a host with one bare repository, `main` as its HEAD. */
export const startHost = async (
  t: Pick<TestContext, 'after'>,
  options: { readonly tls?: { readonly key: string; readonly cert: string } } = {},
): Promise<GitHost> => {
  const root = tempDir(t, 'githost');
  const repository = path.join(root, 'tailnet.git');
  fs.mkdirSync(repository);
  git(repository, ['init', '-q', '--bare', '-b', 'main', '.']);
  git(repository, ['config', 'http.receivepack', 'true']);
  git(repository, ['config', 'uploadpack.allowFilter', 'true']);
  const handle: http.RequestListener = (request, response) => {
    const url = new URL(request.url ?? '/', 'http://host');
    host.seen.push(`${request.method} ${url.pathname.split('/').slice(2).join('/')}`);
    const { weather } = host;
    if (weather.kind === 'hang') return;
    if (weather.kind === 'trickle') {
      response.writeHead(200, { 'content-type': 'application/x-git-upload-pack-advertisement' });
      const drip = setInterval(() => response.write('0'), 50);
      response.on('close', () => clearInterval(drip));
      return;
    }
    if (weather.kind === 'status') {
      response.writeHead(weather.status).end('a secret of the host');
      return;
    }
    if (weather.kind === 'redirect') {
      response.writeHead(302, { location: weather.to + (request.url ?? '') }).end();
      return;
    }
    if (weather.kind === 'garbage') {
      response.writeHead(200, { 'content-type': 'text/html' }).end('<html>Sign in</html>');
      return;
    }
    const expected = `Basic ${Buffer.from(`${USER}:${PASSWORD}`).toString('base64')}`;
    if (request.headers.authorization !== expected) {
      response.writeHead(401, { 'www-authenticate': 'Basic realm="git"' }).end();
      return;
    }
    // A repository that moved within the host keeps its old name as a redirect.
    if (url.pathname.startsWith('/old.git/')) {
      response.writeHead(301, { location: (request.url ?? '').replace('/old.git/', '/tailnet.git/') }).end();
      return;
    }
    serveBackend(root, host, request, response);
  };
  const server = options.tls ? https.createServer(options.tls, handle) : http.createServer(handle);
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  const host: GitHost = {
    url: `${options.tls ? 'https' : 'http'}://127.0.0.1:${port}/tailnet.git`,
    repository,
    weather: { kind: 'fine' },
    seen: [],
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => {
        server.close(resolve);
      });
    },
  };
  t.after(() => host.close());
  return host;
};

export interface Writer {
  readonly dir: string;
  /** Writes files (undefined removes), commits everything and pushes; gives the commit. */
  commit(files: Readonly<Record<string, string | Uint8Array | undefined>>, options?: CommitOptions): string;
  git(...args: readonly string[]): string;
}

export interface CommitOptions {
  readonly message?: string;
  readonly args?: readonly string[];
  readonly push?: boolean;
  readonly env?: Readonly<Record<string, string>>;
}

/** A person's clone of a bare repository, written with real git. */
export const startWriter = (t: Pick<TestContext, 'after'>, repository: string): Writer => {
  const dir = tempDir(t, 'writer');
  git(dir, ['init', '-q', '-b', 'main', '.']);
  git(dir, ['remote', 'add', 'origin', repository]);
  return {
    dir,
    git: (...args) => git(dir, args),
    commit: (files, { message = 'Change', args = [], push = true, env = {} } = {}) => {
      for (const [name, content] of Object.entries(files)) {
        const file = path.join(dir, name);
        fs.rmSync(file, { force: true, recursive: true });
        if (content === undefined) continue;
        fs.mkdirSync(path.dirname(file), { recursive: true });
        fs.writeFileSync(file, content);
      }
      git(dir, ['add', '-A'], { env });
      git(dir, ['commit', '-q', '--allow-empty', '-m', message, ...args], { env });
      if (push) git(dir, ['push', '-q', '--force', 'origin', 'HEAD:main'], { env });
      return git(dir, ['rev-parse', 'HEAD']);
    },
  };
};

// isomorphic-git's HttpClient over node:https with its own agent: time limits for connecting and for silence, a limit of
// bytes, and redirects only within the same host, because a credential must never travel to another one.

import http from 'node:http';
import https from 'node:https';
import { rootCertificates } from 'node:tls';
import type { GitHttpRequest, GitHttpResponse, HttpClient } from 'isomorphic-git';
import { refuse } from '../base/outcome.ts';
import { refusalOfProxy, type Proxy } from './proxy.ts';
import { Refused } from './refused.ts';
import type { SourceLimits } from './source.ts';

const REDIRECTS = 3;

/** A body that is there already, in the form that isomorphic-git reads. */
export async function* whole(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(bytes);
}

/** The list of refs, or of what the host can do. isomorphic-git takes one with other object ids for an empty one. */
export const advertised = (bytes: Uint8Array): AsyncGenerator<Uint8Array> => {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.includes('object-format=sha256')) {
    const reason = 'The repository names its objects by SHA-256, which is not read.';
    throw new Refused(refuse('source/repository-form', reason));
  }
  return whole(bytes);
};

export interface GitTransport {
  readonly client: HttpClient;
  close(): void;
}

export interface HttpsOptions {
  /** The whole value of the Authorization header. */
  readonly authorization?: string | undefined;
  readonly caPem?: string | undefined;
  readonly proxy?: Proxy | undefined;
  readonly limits: SourceLimits;
}

/** One transport serves one operation; its limit of bytes counts everything received through it. */
export const openHttps = ({ authorization, caPem, proxy, limits }: HttpsOptions): GitTransport => {
  const secure = new https.Agent({
    keepAlive: true,
    maxSockets: 2,
    minVersion: 'TLSv1.2',
    ...(caPem === undefined ? {} : { ca: [...rootCertificates, caPem] }),
    ...(proxy ? { proxyEnv: { ...proxy } } : {}),
  });
  const plain = new http.Agent({ keepAlive: true, maxSockets: 2 });
  let receivedBytes = 0;
  /** A limit of time that ended an answer half-way; the stream itself only tells that it was cut. */
  let late: Refused | undefined;
  /** A repository that moved within its host: requests under the old URL go to the new one. */
  let moved: { readonly from: string; readonly to: string } | undefined;

  const send = async (url: string, method: string, headers: Record<string, string>, body: Buffer) =>
    await new Promise<http.IncomingMessage>((resolve, reject) => {
      const lib = url.startsWith('https:') ? https : http;
      const request = lib.request(url, {
        method,
        headers: {
          ...headers,
          ...(authorization === undefined ? {} : { authorization }),
          'content-length': body.length,
        },
        agent: lib === https ? secure : plain,
      });
      const timedOut = (): void => {
        late = new Refused(refuse('source/timeout', 'The git host did not answer in time.'));
        request.destroy(late);
        // While a proxy is asked for a tunnel, the request has no socket whose end it would hear of.
        reject(late);
      };
      const connecting = setTimeout(timedOut, limits.connectMs);
      request.on('socket', (socket) => {
        const ready = (): void => clearTimeout(connecting);
        if (!socket.connecting) ready();
        socket.once(lib === https ? 'secureConnect' : 'connect', ready);
      });
      request.setTimeout(limits.idleMs, timedOut);
      request.on('error', (error) => {
        clearTimeout(connecting);
        const refusal = proxy && refusalOfProxy(error, proxy);
        reject(refusal ? new Refused(refusal) : error);
      });
      request.on('response', (response) => {
        clearTimeout(connecting);
        resolve(response);
      });
      request.end(body);
    });

  const follow = (url: string, response: http.IncomingMessage): string => {
    const target = new URL(response.headers.location ?? '', url);
    if (target.origin !== new URL(url).origin) {
      throw new Refused(
        refuse(
          'source/redirect',
          `The git host redirects to ${target.host}, which is not followed; set the URL to its new place.`,
        ),
      );
    }
    const refs = '/info/refs';
    const from = url.split(refs)[0] as string;
    const to = target.href.split(refs)[0] as string;
    if (url.includes(refs) && target.href.includes(refs)) moved = { from, to };
    return target.href;
  };

  /** The whole body, counted. isomorphic-git takes an error in the middle of one for its end, so it never sees a part. */
  const receive = async (response: http.IncomingMessage): Promise<Uint8Array> => {
    const chunks: Uint8Array[] = [];
    try {
      for await (const chunk of response as AsyncIterable<Uint8Array>) {
        receivedBytes += chunk.length;
        if (receivedBytes > limits.fetchBytes) {
          response.destroy();
          const reason = `The fetch is larger than ${Math.floor(limits.fetchBytes / 1024 / 1024)} MiB.`;
          throw new Refused(refuse('source/fetch-too-large', reason));
        }
        chunks.push(chunk);
      }
    } catch (error) {
      if (error instanceof Refused) throw error;
      throw late ?? new Refused(refuse('source/protocol', 'The git host cut the answer off.'));
    }
    return Buffer.concat(chunks);
  };

  const request = async ({ url, method = 'GET', headers = {}, body }: GitHttpRequest): Promise<GitHttpResponse> => {
    const parts: Uint8Array[] = [];
    if (body) for await (const part of body as AsyncIterable<Uint8Array>) parts.push(part);
    const bytes = Buffer.concat(parts);
    let target = moved && url.startsWith(moved.from) ? moved.to + url.slice(moved.from.length) : url;
    let response = await send(target, method, headers, bytes);
    for (let count = 0; [301, 302, 303, 307, 308].includes(response.statusCode ?? 0); count++) {
      response.resume();
      if (count === REDIRECTS) throw new Refused(refuse('source/redirect', 'The git host redirects in circles.'));
      target = follow(target, response);
      response = await send(target, method, headers, bytes);
    }
    const received = await receive(response);
    return {
      url: target,
      method,
      statusCode: response.statusCode ?? 0,
      statusMessage: response.statusMessage ?? '',
      headers: response.headers as Record<string, string>,
      body: method === 'GET' ? advertised(received) : whole(received),
    };
  };

  return {
    client: { request },
    close: () => {
      secure.destroy();
      plain.destroy();
    },
  };
};

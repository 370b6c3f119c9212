// The Koa application on the Unix socket of the data folder: what an administrator may ask of a running server. It knows
// no operation itself; the server hands it a list, so that each operation stands next to what it works on.

import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import { Router } from '@koa/router';
import Koa from 'koa';
import { accept } from '../base/outcome.ts';
import type { Outcome, Refusal } from '../base/outcome.ts';
import type { Metrics } from './metrics.ts';
import { HttpRefusal, readJson, refusals } from './refusal.ts';
import type { FaultLog } from './refusal.ts';

export interface AdminRequest {
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  /** The JSON object that came along; empty for GET and DELETE. */
  readonly body: Readonly<Record<string, unknown>>;
}

export interface AdminOperation {
  readonly method: 'get' | 'post' | 'delete';
  /** Below /v0, with `:name` for parameters. */
  readonly path: string;
  readonly run: (request: AdminRequest) => Outcome<unknown> | Promise<Outcome<unknown>>;
}

/** An operation whose answer is bytes, written as they come. */
export interface AdminDownload {
  readonly path: string;
  readonly run: (request: AdminRequest, write: (chunk: Uint8Array) => Promise<void>) => Promise<Outcome<void>>;
}

const STATUS_OF: Readonly<Record<string, number>> = { 'http/not-found': 404, 'http/bad-request': 400 };

const throwRefusal = ({ code, reason }: Refusal): never => {
  throw new HttpRefusal(STATUS_OF[code] ?? 409, code, reason);
};

export interface AdminPorts {
  readonly operations: readonly AdminOperation[];
  readonly downloads: readonly AdminDownload[];
  readonly metrics: Metrics;
  readonly onFault: FaultLog;
}

export const createAdminApp = (ports: AdminPorts): Koa => {
  const app = new Koa();
  app.silent = true;
  app.use(refusals(ports.onFault));
  const router = new Router({ prefix: '/v0' });
  for (const { method, path, run } of ports.operations) {
    router[method](path, async (ctx) => {
      const body = method === 'post' ? await readJson(ctx) : {};
      const outcome = await run({ params: ctx.params, query: ctx.URL.searchParams, body });
      if (!outcome.ok) throwRefusal(outcome);
      else ctx.body = outcome.value === undefined ? {} : (outcome.value as object);
    });
  }
  for (const { path, run } of ports.downloads) {
    router.post(path, async (ctx) => {
      const body = await readJson(ctx);
      const stream = new PassThrough();
      let started = false;
      // The answer begins with the first bytes, so that what fails before them is still a refusal with a status.
      const first = new Promise<Outcome<void>>((resolve, reject) => {
        const write = async (chunk: Uint8Array): Promise<void> => {
          if (!started) {
            started = true;
            resolve(accept(undefined));
          }
          if (!stream.write(chunk)) await once(stream, 'drain');
        };
        const finish = async (): Promise<void> => {
          try {
            const outcome = await run({ params: ctx.params, query: ctx.URL.searchParams, body }, write);
            if (outcome.ok) stream.end();
            else if (started) stream.destroy(new Error(outcome.reason));
            resolve(outcome);
          } catch (fault) {
            stream.destroy(fault as Error);
            reject(fault as Error);
          }
        };
        void finish();
      });
      stream.on('error', () => ctx.res.destroy());
      const outcome = await first;
      if (!outcome.ok) throwRefusal(outcome);
      else {
        ctx.type = 'application/octet-stream';
        ctx.body = stream;
      }
    });
  }
  router.get('/metrics', async (ctx) => {
    ctx.set('Content-Type', ports.metrics.contentType);
    ctx.body = await ports.metrics.render();
  });
  app.use(router.routes()).use(router.allowedMethods());
  app.use(() => {
    throw new HttpRefusal(404, 'http/not-found', 'The server knows no such operation.');
  });
  return app;
};

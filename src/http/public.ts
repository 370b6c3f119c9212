// The Koa application on the address that clients and strangers reach: the server's key, health, the relay's plain HTTP
// endpoints, webhooks. Answers to strangers are constants; what needs an administrator is on the socket (admin.ts).

import type { IncomingMessage, ServerResponse } from 'node:http';
import { Router } from '@koa/router';
import Koa from 'koa';
import type { Context } from 'koa';
import { html, page } from './html.ts';
import type { Metrics } from './metrics.ts';
import { readBody, refusals, safeHeaders } from './refusal.ts';
import type { FaultLog } from './refusal.ts';
import { PAGE_POLICY } from './style.ts';

export interface PlainAnswer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface PublicPorts {
  /** Answers `GET /key?v=`; the text of `v`, or undefined where it is missing. */
  readonly keyAnswer: (capver: string | undefined) => PlainAnswer;
  /** Empty when ready; else constant words that say what is missing. */
  readonly unready: () => readonly string[];
  /** The relay's own requests; false where the path isn't one of them. */
  readonly relayRequest?: (request: IncomingMessage, response: ServerResponse) => boolean;
  /** `POST /verify` of stock relays. */
  readonly verify?: (body: Buffer) => Promise<PlainAnswer>;
  /** `POST /hooks/git`. */
  readonly webhook?: (headers: IncomingMessage['headers'], body: Buffer) => Promise<PlainAnswer>;
  readonly metrics: Metrics;
  readonly metricsFor: 'loopback' | 'all' | 'off';
  readonly onFault: FaultLog;
  /** Further pages, for example sign-in. */
  readonly mount?: (router: Router) => void;
}

const WEBHOOK_LIMIT_BYTES = 1 << 20;
const VERIFY_LIMIT_BYTES = 4 << 10;

const PAGE = page(
  'Tailplane',
  html`<h1>Nothing to see here</h1>
<p>This is the control server of a private network, which machines talk to.</p>
<section>
<h2>To join with a machine</h2>
<p>Ask an administrator of the network first, then run this with the address of this page:</p>
<pre><code>tailscale up --login-server https://…</code></pre>
</section>`,
);

const isLoopback = (address: string | undefined): boolean =>
  address !== undefined && /^(?:127\.|::1$|::ffff:127\.)/.test(address);

const answer = (ctx: Context, { status, type, body, headers }: PlainAnswer): void => {
  ctx.status = status;
  ctx.type = type;
  for (const [name, value] of Object.entries(headers ?? {})) ctx.set(name, value);
  ctx.body = body;
};

export const createPublicApp = (ports: PublicPorts): Koa => {
  const app = new Koa();
  app.silent = true;
  app.use(safeHeaders);
  app.use(refusals(ports.onFault));
  app.use(async (ctx, next) => {
    await next();
    ports.metrics.count('http_requests_total', 1, {
      method: ctx.method === 'GET' ? 'GET' : 'other',
      status: String(ctx.status),
    });
  });
  app.use(async (ctx, next) => {
    if (ports.relayRequest?.(ctx.req, ctx.res)) ctx.respond = false;
    else await next();
  });

  const router = new Router();
  router.get('/', (ctx) => {
    ctx.set('Content-Security-Policy', PAGE_POLICY);
    answer(ctx, { status: 200, type: 'text/html', body: PAGE });
  });
  router.get('/key', (ctx) => {
    const v = ctx.query['v'];
    ctx.set('Cache-Control', 'no-store');
    answer(ctx, ports.keyAnswer(typeof v === 'string' ? v : undefined));
  });
  router.get('/healthz', (ctx) => answer(ctx, { status: 200, type: 'text/plain', body: 'ok\n' }));
  router.get('/readyz', (ctx) => {
    const unready = ports.unready();
    answer(ctx, {
      status: unready.length === 0 ? 200 : 503,
      type: 'text/plain',
      body: `${unready.join('\n') || 'ok'}\n`,
    });
  });
  router.get('/metrics', async (ctx) => {
    const own = isLoopback(ctx.req.socket.remoteAddress) && ctx.get('X-Forwarded-For') === '';
    if (ports.metricsFor === 'off' || (ports.metricsFor === 'loopback' && !own)) return;
    ctx.set('Content-Type', ports.metrics.contentType);
    ctx.body = await ports.metrics.render();
  });
  const { verify, webhook } = ports;
  if (verify) router.post('/verify', async (ctx) => answer(ctx, await verify(await readBody(ctx, VERIFY_LIMIT_BYTES))));
  if (webhook) {
    router.post('/hooks/git', async (ctx) =>
      answer(ctx, await webhook(ctx.req.headers, await readBody(ctx, WEBHOOK_LIMIT_BYTES))),
    );
  }
  ports.mount?.(router);
  app.use(router.routes()).use(router.allowedMethods());
  app.use((ctx) => answer(ctx, { status: 404, type: 'text/plain', body: 'not found\n' }));
  return app;
};

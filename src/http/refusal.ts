// How the HTTP applications refuse: one JSON shape for programs, and constant answers for strangers. A fault never shows
// its text to the other side; it goes to the log under a number that the answer carries.

import type { Context, Middleware } from 'koa';
import type { Code } from '../base/catalogue.ts';

export class HttpRefusal extends Error {
  readonly status: number;
  readonly code: Code;
  readonly help: string | undefined;

  constructor(status: number, code: Code, message: string, help?: string) {
    super(message);
    this.name = 'HttpRefusal';
    this.status = status;
    this.code = code;
    this.help = help;
  }
}

export type FaultLog = (fault: unknown, at: string) => void;

/** Turns refusals into `{error: {code, message, help}}` and faults into a constant 500. */
export const refusals = (onFault: FaultLog): Middleware => {
  return async (ctx: Context, next) => {
    try {
      await next();
    } catch (error) {
      if (error instanceof HttpRefusal) {
        ctx.status = error.status;
        ctx.body = { error: { code: error.code, message: error.message, help: error.help } };
      } else {
        onFault(error, `${ctx.method} ${ctx.path}`);
        ctx.status = 500;
        ctx.body = { error: { code: 'http/fault', message: 'The server failed; its log says why.' } };
      }
    }
  };
};

/** Headers that every answer to a browser carries; pages add their own content security policy. */
export const safeHeaders: Middleware = async (ctx, next) => {
  ctx.set('X-Content-Type-Options', 'nosniff');
  ctx.set('Referrer-Policy', 'no-referrer');
  ctx.set('X-Frame-Options', 'DENY');
  await next();
};

const BODY_LIMIT_BYTES = 1 << 20;

/** The request's body as bytes; refuses more than `limitBytes`. */
export const readBody = async (ctx: Context, limitBytes = BODY_LIMIT_BYTES): Promise<Buffer> => {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of ctx.req as AsyncIterable<Buffer>) {
    sizeBytes += chunk.length;
    if (sizeBytes > limitBytes) throw new HttpRefusal(413, 'http/too-large', 'The request is too large.');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
};

export const readJson = async (ctx: Context): Promise<Record<string, unknown>> => {
  const text = (await readBody(ctx)).toString('utf8');
  try {
    const value: unknown = text === '' ? {} : JSON.parse(text);
    if (value !== null && typeof value === 'object' && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    // falls through to the refusal
  }
  throw new HttpRefusal(400, 'http/bad-request', 'The request is not a JSON object.');
};

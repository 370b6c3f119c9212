// The page that a machine without a key points its person to: what machine asks, from where, and how an administrator says
// yes. The page holds no session and sets no cookie; a decision carries its credential, so there is nothing for another
// site to ride on. It works without script.

import type { Router } from '@koa/router';
import type { Context } from 'koa';
import type { Outcome } from '../base/outcome.ts';
import { html, page, PAGE_POLICY } from './html.ts';
import type { Markup } from './html.ts';
import { HttpRefusal, readBody } from './refusal.ts';

/** What the page says about a login; text from the client, to be shown as text. */
export interface PendingLogin {
  /** What an administrator types: `tailplane auth approve CODE`. */
  readonly code: string;
  readonly hostname: string;
  readonly os: string;
  readonly version: string;
  /** The address that asked. */
  readonly remote: string;
  readonly createdMs: number;
  readonly expiresMs: number;
  readonly state: 'pending' | 'approved' | 'denied';
}

export interface LoginPagePorts {
  readonly tailnet: () => string;
  /** Undefined for an unknown login and for one whose time is over: strangers learn no difference. */
  readonly find: (id: string) => PendingLogin | undefined;
  /** Decides by an API credential; absent where none is declared. */
  readonly decide?: (id: string, credential: string, approve: boolean, remote: string) => Promise<Outcome<void>>;
  readonly now: () => number;
}

const FORM_LIMIT_BYTES = 4 << 10;
const LOOK_AGAIN_SECONDS = 5;

const GONE = page(
  'This link is over',
  html`<h1>This link is over</h1>
<p>The machine asked too long ago, or the link isn’t complete.</p>
<p class="soft">Run <code>tailscale up</code> on the machine again: it shows a fresh link.</p>`,
);

const facts = (login: PendingLogin, nowMs: number): Markup => {
  const minutes = Math.max(0, Math.round((nowMs - login.createdMs) / 60_000));
  return html`<dl>
<dt>Machine</dt><dd>${login.hostname || 'without a name'}</dd>
<dt>System</dt><dd>${login.os || 'unknown'}</dd>
<dt>Client</dt><dd>${login.version.split('-')[0] || 'unknown'}</dd>
<dt>Asks from</dt><dd>${login.remote}</dd>
<dt>Since</dt><dd>${minutes === 0 ? 'just now' : minutes === 1 ? 'a minute ago' : `${minutes} minutes ago`}</dd>
</dl>`;
};

const waiting = (login: PendingLogin, tailnet: string, nowMs: number, withForm: boolean, problem?: string): string =>
  page(
    `Join ${tailnet}`,
    html`<h1>A machine wants to join ${tailnet}</h1>
<p class="soft">Go on only if you started this yourself, on a machine that you know.</p>
${facts(login, nowMs)}
<p>An administrator lets it in with</p>
<pre><code>tailplane auth approve ${login.code}</code></pre>
${withForm ? form(problem) : html`<p class="soft">This page looks again every few seconds.</p>`}`,
    withForm ? undefined : LOOK_AGAIN_SECONDS,
  );

const form = (problem: string | undefined): Markup => html`<form method="post" autocomplete="off">
${problem === undefined ? undefined : html`<p class="stop" role="alert">${problem}</p>`}
<label for="credential">Or with your credential, here</label>
<input id="credential" name="credential" type="password" autocomplete="off" spellcheck="false" required placeholder="tpkey-api-…">
<div class="row"><button class="yes" name="decision" value="approve">Let it in</button><button name="decision" value="deny">Turn it away</button></div>
</form>`;

const done = (login: PendingLogin): string =>
  login.state === 'approved'
    ? page(
        'The machine is in',
        html`<h1 class="go">The machine is in</h1>
<p><strong>${login.hostname}</strong> is part of the network now. You can close this page.</p>`,
      )
    : page(
        'The machine was turned away',
        html`<h1 class="stop">The machine was turned away</h1>
<p>An administrator refused <strong>${login.hostname}</strong>. Nothing was changed.</p>`,
      );

export const mountLoginPage = (router: Router, ports: LoginPagePorts): void => {
  const show = (ctx: Context, status: number, body: string): void => {
    ctx.status = status;
    ctx.type = 'text/html';
    ctx.set('Content-Security-Policy', PAGE_POLICY);
    ctx.set('Cache-Control', 'no-store');
    ctx.body = body;
  };
  const look = (ctx: Context, id: string, problem?: string): void => {
    const login = ports.find(id);
    if (!login) show(ctx, 404, GONE);
    else if (login.state !== 'pending') show(ctx, 200, done(login));
    else {
      const body = waiting(login, ports.tailnet(), ports.now(), ports.decide !== undefined, problem);
      show(ctx, problem === undefined ? 200 : 403, body);
    }
  };

  router.get('/register/:id', (ctx) => look(ctx, ctx.params['id'] ?? ''));

  router.post('/register/:id', async (ctx) => {
    const id = ctx.params['id'] ?? '';
    const origin = ctx.get('Origin');
    // A browser names the page that sent the form; another site's form is refused whatever it carries.
    if (origin !== '' && origin !== 'null' && new URL(origin).host !== ctx.host) {
      throw new HttpRefusal(403, 'http/bad-request', 'The form was sent by another site.');
    }
    const fields = new URLSearchParams((await readBody(ctx, FORM_LIMIT_BYTES)).toString('utf8'));
    const decision = fields.get('decision');
    if (!ports.decide || !ports.find(id) || (decision !== 'approve' && decision !== 'deny')) return look(ctx, id);
    const outcome = await ports.decide(
      id,
      fields.get('credential') ?? '',
      decision === 'approve',
      ctx.req.socket.remoteAddress ?? '',
    );
    return look(ctx, id, outcome.ok ? undefined : outcome.reason);
  });
};

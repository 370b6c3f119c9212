// Pages on which a person says yes or no: a machine that wants to join, a shell that wants to be opened. A page holds no
// session and sets no cookie; a decision carries its credential, so there is nothing for another site to ride on. It works
// without script, and what came from a client is shown as text.

import type { Router } from '@koa/router';
import type { Context } from 'koa';
import type { Outcome } from '../base/outcome.ts';
import { html, page, PAGE_POLICY } from './html.ts';
import type { Markup } from './html.ts';
import { HttpRefusal, readBody } from './refusal.ts';

/** Something that waits for a person. */
export interface Question {
  readonly title: string;
  /** Said before the facts: whom it concerns, when to stop. */
  readonly caution: string;
  /** Names and values, in order. */
  readonly facts: readonly (readonly [name: string, value: string])[];
  /** The command with which an administrator says yes. */
  readonly command: string;
  readonly yes: string;
  readonly no: string;
  readonly state: 'pending' | 'approved' | 'denied';
  /** Shown when it is decided. */
  readonly approved: string;
  readonly denied: string;
}

export interface DecisionPorts {
  /** `/register`: a question is at `<path>/<id>`. */
  readonly path: string;
  /** Undefined for an unknown question and for one whose time is over: strangers learn no difference. */
  readonly find: (id: string) => Question | undefined;
  /** Decides by an API credential; undefined while none is declared that may. */
  readonly decide?: () => ((id: string, credential: string, approve: boolean) => Promise<Outcome<void>>) | undefined;
}

const FORM_LIMIT_BYTES = 4 << 10;
const LOOK_AGAIN_SECONDS = 5;

const GONE = page(
  'This link is over',
  html`<h1>This link is over</h1>
<p>It was for a short time, or it isn’t complete.</p>
<p class="soft">Start again where the link came from: it shows a fresh one.</p>`,
);

const form = (
  { yes, no }: Question,
  problem: string | undefined,
): Markup => html`<form method="post" autocomplete="off">
${problem === undefined ? undefined : html`<p class="stop" role="alert">${problem}</p>`}
<label for="credential">Or with your credential, here</label>
<input id="credential" name="credential" type="password" autocomplete="off" spellcheck="false" required placeholder="tpkey-api-…">
<div class="row"><button class="yes" name="decision" value="approve">${yes}</button><button name="decision" value="deny">${no}</button></div>
</form>`;

const waiting = (question: Question, withForm: boolean, problem: string | undefined): string =>
  page(
    question.title,
    html`<h1>${question.title}</h1>
<p class="soft">${question.caution}</p>
<dl>${question.facts.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>
<p>An administrator allows it with</p>
<pre><code>${question.command}</code></pre>
${withForm ? form(question, problem) : html`<p class="soft">This page looks again every few seconds.</p>`}`,
    withForm ? undefined : LOOK_AGAIN_SECONDS,
  );

const decided = ({ title, state, approved, denied }: Question): string =>
  page(
    title,
    state === 'approved'
      ? html`<h1 class="go">Done</h1><p>${approved}</p><p class="soft">You can close this page.</p>`
      : html`<h1 class="stop">Refused</h1><p>${denied}</p>`,
  );

export const mountDecisionPage = (router: Router, ports: DecisionPorts): void => {
  const show = (ctx: Context, status: number, body: string): void => {
    ctx.status = status;
    ctx.type = 'text/html';
    ctx.set('Content-Security-Policy', PAGE_POLICY);
    ctx.set('Cache-Control', 'no-store');
    ctx.body = body;
  };
  const look = (ctx: Context, id: string, problem?: string): void => {
    const question = ports.find(id);
    if (!question) show(ctx, 404, GONE);
    else if (question.state !== 'pending') show(ctx, 200, decided(question));
    else show(ctx, problem === undefined ? 200 : 403, waiting(question, ports.decide?.() !== undefined, problem));
  };

  router.get(`${ports.path}/:id`, (ctx) => look(ctx, ctx.params['id'] ?? ''));

  router.post(`${ports.path}/:id`, async (ctx) => {
    const id = ctx.params['id'] ?? '';
    // A browser names the site whose page sent the form; another site's form is refused whatever it carries.
    const site = ctx.get('Sec-Fetch-Site');
    const origin = ctx.get('Origin');
    const foreign = site !== '' ? site !== 'same-origin' : origin !== '' && URL.parse(origin)?.host !== ctx.host;
    if (foreign) throw new HttpRefusal(403, 'http/bad-request', 'The form was sent by another site.');
    const fields = new URLSearchParams((await readBody(ctx, FORM_LIMIT_BYTES)).toString('utf8'));
    const decision = fields.get('decision');
    const decide = ports.decide?.();
    if (!decide || !ports.find(id) || (decision !== 'approve' && decision !== 'deny')) return look(ctx, id);
    const outcome = await decide(id, fields.get('credential') ?? '', decision === 'approve');
    return look(ctx, id, outcome.ok ? undefined : outcome.reason);
  });
};

/** `just now`, `2 minutes ago`: how long somebody has waited. */
export const waitedSince = (sinceMs: number, nowMs: number): string => {
  const minutes = Math.max(0, Math.round((nowMs - sinceMs) / 60_000));
  return minutes === 0 ? 'just now' : minutes === 1 ? 'a minute ago' : `${minutes} minutes ago`;
};

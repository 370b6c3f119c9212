// Pages on which a person says yes or no: a machine that wants to join, a shell that wants to be opened. Who decides shows a
// credential first, and is then known by a cookie for this one page and a few minutes. Before that a page sets no cookie, and a
// browser can't bring one along that the server didn't make. It works without script.

import type { IncomingMessage } from 'node:http';
import type { Router } from '@koa/router';
import type { Context } from 'koa';
import type { Outcome } from '../base/outcome.ts';
import type { Note } from '../control/ports.ts';
import type { Actor } from '../identity/credential.ts';
import { decidedPage, foreignPage, offerPage, overPage, waitingPage } from './decision-views.ts';
import type { Form, Offer, Question } from './decision-views.ts';
import { VISIT_MS } from './desk.ts';
import type { Desk } from './desk.ts';
import { PAGE_POLICY } from './style.ts';
import { readBody } from './refusal.ts';

/** What all pages of a server share. */
export interface DecisionHouse {
  readonly desk: Desk;
  /** The server's URL as people reach it. */
  readonly origin: string;
  readonly remoteAddressOf: (request: IncomingMessage) => string;
  readonly note: Note;
}

export interface Verdict {
  readonly approve: boolean;
  /** Whom it is for; empty where there was no choice. */
  readonly person: string;
}

export interface DecisionPorts {
  /** `/register`: a question is at `<path>/<id>`. */
  readonly path: string;
  /** Whether a credential is declared with which somebody could decide here. */
  readonly isOpen: () => boolean;
  /** Undefined for an unknown question and for one whose time is over: strangers learn no difference. */
  readonly find: (id: string) => Question | undefined;
  /** What the person may decide about the question; a refusal says why nothing. */
  readonly offer: (id: string, actor: Actor) => Outcome<Offer>;
  /** Judges anew whether the actor may. */
  readonly decide: (id: string, actor: Actor, verdict: Verdict) => Promise<Outcome<void>>;
}

const FORM_LIMIT_BYTES = 4 << 10;
const REFUSED = 403;
const TOO_MANY = 429;
const LOOPBACK = /^(?:localhost|127\..*|\[::1\])$/;

export const mountDecisionPage = (router: Router, house: DecisionHouse, ports: DecisionPorts): void => {
  const { desk, origin } = house;
  const secure = origin.startsWith('https:');
  const plain = !secure && !LOOPBACK.test(new URL(origin).hostname);
  const cookieName = secure ? '__Secure-tailplane-visit' : 'tailplane-visit';

  const show = (ctx: Context, status: number, body: string): void => {
    ctx.status = status;
    ctx.type = 'text/html';
    ctx.set('Content-Security-Policy', PAGE_POLICY);
    ctx.set('Cache-Control', 'no-store');
    // Own forms must say where they come from; other sites still learn nothing.
    ctx.set('Referrer-Policy', 'same-origin');
    ctx.set('Cross-Origin-Opener-Policy', 'same-origin');
    ctx.set('Cross-Origin-Resource-Policy', 'same-origin');
    ctx.body = body;
  };
  const form = (): Form | null => (ports.isOpen() ? { plain } : null);
  const pathOf = (id: string): string => `${ports.path}/${id}`;
  /** An empty value takes the cookie away. */
  const setCookie = (ctx: Context, id: string, value: string): void => {
    const life = value === '' ? 0 : VISIT_MS / 1000;
    ctx.set(
      'Set-Cookie',
      `${cookieName}=${value}; Path=${pathOf(id)}; Max-Age=${life}; HttpOnly; SameSite=Strict${secure ? '; Secure' : ''}`,
    );
  };
  const cookieOf = (ctx: Context): string => ctx.cookies.get(cookieName) ?? '';
  /** The page anew, by GET: what was sent is not sent again when somebody reloads. */
  const turnTo = (ctx: Context, id: string): void => {
    ctx.set('Cache-Control', 'no-store');
    ctx.status = 303;
    ctx.set('Location', pathOf(id));
    ctx.body = '';
  };

  const look = (ctx: Context, id: string, problem?: string, status = problem === undefined ? 200 : REFUSED): void => {
    const question = ports.find(id);
    if (!question) return show(ctx, 404, overPage);
    if (question.state !== 'pending') return show(ctx, 200, decidedPage(question));
    const visit = desk.visitOf(pathOf(id), cookieOf(ctx));
    if (!visit) return show(ctx, status, waitingPage(question, form(), problem));
    const offer = ports.offer(id, visit.actor);
    if (!offer.ok) return show(ctx, REFUSED, waitingPage(question, form(), offer.reason));
    return show(ctx, status, offerPage(question, offer.value, visit.formToken, problem));
  };

  const enter = (ctx: Context, id: string, credential: string): void => {
    const address = house.remoteAddressOf(ctx.req);
    const proof = desk.show(credential, address);
    const actor = proof.ok ? proof.value() : proof;
    const offer = actor.ok ? ports.offer(id, actor.value) : actor;
    if (!offer.ok) {
      house.note('warn', 'credential refused', { page: ports.path, code: offer.code, remote: address });
      look(ctx, id, offer.reason, offer.code === 'identity/too-many-attempts' ? TOO_MANY : REFUSED);
    } else if (proof.ok) {
      setCookie(ctx, id, desk.admit(pathOf(id), proof.value));
      turnTo(ctx, id);
    }
  };

  const decide = async (ctx: Context, id: string, fields: URLSearchParams): Promise<void> => {
    const cookie = cookieOf(ctx);
    const visit = desk.visitOf(pathOf(id), cookie);
    if (!visit || !desk.isOwnForm(visit, fields.get('token') ?? '')) {
      look(ctx, id, 'That took too long. Show your credential again.');
      return;
    }
    const decision = fields.get('decision');
    if (decision === 'approve' || decision === 'deny') {
      const verdict = { approve: decision === 'approve', person: fields.get('person') ?? '' };
      const outcome = await ports.decide(id, visit.actor, verdict);
      if (!outcome.ok) {
        look(ctx, id, outcome.reason);
        return;
      }
      house.note('info', 'decided on a page', {
        page: ports.path,
        decision,
        by: visit.actor.login,
        via: visit.actor.via,
      });
    }
    desk.leave(cookie);
    setCookie(ctx, id, '');
    turnTo(ctx, id);
  };

  /** A browser names the site whose page sent the form; another site's form is refused whatever it carries. */
  const isForeign = (ctx: Context): boolean => {
    const site = ctx.get('Sec-Fetch-Site');
    if (site !== '') return site !== 'same-origin';
    const from = ctx.get('Origin');
    return from !== '' && from !== origin && URL.parse(from)?.host !== ctx.host;
  };

  router.get(`${ports.path}/:id`, (ctx) => look(ctx, ctx.params['id'] ?? ''));

  router.post(`${ports.path}/:id`, async (ctx) => {
    const id = ctx.params['id'] ?? '';
    if (isForeign(ctx)) return show(ctx, REFUSED, foreignPage);
    const fields = new URLSearchParams((await readBody(ctx, FORM_LIMIT_BYTES)).toString('utf8'));
    const credential = fields.get('credential');
    // A question that is unknown or decided is the same for everybody: what came along is not even looked at.
    if (ports.find(id)?.state !== 'pending' || !ports.isOpen()) return look(ctx, id);
    if (credential !== null) return enter(ctx, id, credential);
    return await decide(ctx, id, fields);
  });
};

/** `just now`, `2 minutes ago`: how long somebody has waited. */
export const waitedSince = (sinceMs: number, nowMs: number): string => {
  const minutes = Math.max(0, Math.round((nowMs - sinceMs) / 60_000));
  return minutes === 0 ? 'just now' : minutes === 1 ? 'a minute ago' : `${minutes} minutes ago`;
};

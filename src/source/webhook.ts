// What a git host posts to `/hooks/git` when somebody pushed. It is a hint and nothing more: a hint that is signed with the
// shared secret makes the server ask the host, and nothing in it is believed. Without the signature it is nothing.

import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { accept, refuse, type Outcome, type Refusal } from '../base/outcome.ts';
import type { Secret } from '../base/secret.ts';

/** A larger body is refused by whoever reads it, before it is read whole. */
export const HOOK_LIMIT_BYTES = 1024 * 1024;

const REMEMBERED = 4096;
const CLOCK_SKEW_MS = 5 * 60_000;

export interface HookRequest {
  /** Names in lower case, as node:http gives them. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly body: Uint8Array;
  readonly nowMs: number;
}

export interface Hook {
  readonly host: 'github' | 'gitlab' | 'gitea' | 'generic';
  /** Whether it is about a push; hosts also post to say that the hook exists. */
  readonly isPush: boolean;
  /** `refs/heads/main` where it is told; another branch needs no fetch. */
  readonly ref?: string;
}

/** Compares digests, so that neither content nor length shows in the time taken. */
const sameText = (a: string, b: string): boolean => {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
};

const hmac = (secret: string, ...parts: readonly (string | Uint8Array)[]): string => {
  const mac = createHmac('sha256', secret);
  for (const part of parts) mac.update(part);
  return mac.digest('hex');
};

const wrong = refuse('source/hook-signature', 'The webhook is not signed with the secret.');
const badForm = refuse('source/hook-form', 'The webhook is not of a known form.');

/** `t=<seconds>,v1=<hex>`: HMAC-SHA-256 of `<seconds>.<body>`. The form of our own notifications as well. */
export const signGeneric = (secret: Secret<string>, body: Uint8Array, nowMs: number): string => {
  const seconds = String(Math.floor(nowMs / 1000));
  return `t=${seconds},v1=${hmac(secret.reveal(), `${seconds}.`, body)}`;
};

const checkGeneric = (header: string, secret: string, body: Uint8Array, nowMs: number): boolean => {
  const match = /^t=(\d{1,12}),v1=([0-9a-f]{64})$/.exec(header);
  if (!match) return false;
  const [, seconds = '', mac = ''] = match;
  return sameText(hmac(secret, `${seconds}.`, body), mac) && Math.abs(Number(seconds) * 1000 - nowMs) <= CLOCK_SKEW_MS;
};

const refOf = (body: Uint8Array): string | undefined => {
  try {
    const value: unknown = JSON.parse(Buffer.from(body).toString('utf8'));
    if (typeof value === 'object' && value !== null && 'ref' in value && typeof value.ref === 'string') {
      return value.ref.slice(0, 1000);
    }
  } catch {
    // A body that is no JSON is still a hint.
  }
  return undefined;
};

/** Makes the check for one shared secret; it remembers what it has accepted, so that nothing is accepted twice. */
export const createHookCheck = (secret: Secret<string>): ((request: HookRequest) => Outcome<Hook>) => {
  const accepted = new Set<string>();

  const authenticate = ({ headers, body, nowMs }: HookRequest): Hook['host'] | Refusal => {
    const header = (name: string): string | undefined => {
      const value = headers[name];
      return typeof value === 'string' ? value : undefined;
    };
    const key = secret.reveal();
    const check = (host: Hook['host'], fits: boolean): Hook['host'] | Refusal => (fits ? host : wrong);
    const generic = header('x-tailplane-signature');
    if (generic !== undefined) return check('generic', checkGeneric(generic, key, body, nowMs));
    const gitea = header('x-forgejo-signature') ?? header('x-gitea-signature');
    if (gitea !== undefined) return check('gitea', sameText(gitea, hmac(key, body)));
    const github = header('x-hub-signature-256');
    if (github !== undefined) return check('github', sameText(github, `sha256=${hmac(key, body)}`));
    const gitlab = header('x-gitlab-token');
    if (gitlab !== undefined) return check('gitlab', sameText(gitlab, key));
    return badForm;
  };

  return (request) => {
    if (request.body.length > HOOK_LIMIT_BYTES) return badForm;
    const host = authenticate(request);
    if (typeof host !== 'string') return host;
    // Delivery ids are not signed; the body is, and it names the commit.
    const seen = createHash('sha256').update(request.body).digest('base64');
    if (accepted.has(seen)) return refuse('source/hook-replayed', 'The webhook was delivered before.');
    accepted.add(seen);
    const [oldest] = accepted;
    if (accepted.size > REMEMBERED && oldest !== undefined) accepted.delete(oldest);
    const { headers, body } = request;
    const event = headers['x-github-event'] ?? headers['x-forgejo-event'] ?? headers['x-gitea-event'];
    const isPush =
      host === 'gitlab' ? headers['x-gitlab-event'] === 'Push Hook' : host === 'generic' || event === 'push';
    const ref = refOf(body);
    return accept({ host, isPush, ...(ref === undefined ? {} : { ref }) });
  };
};

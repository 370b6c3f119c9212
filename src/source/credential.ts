// How a git host knows us. Values come from files or the environment as Secrets and are turned into one Authorization
// header at the moment of a request; they are never part of a URL.

import { sign } from 'node:crypto';
import { accept, refuse, type Outcome } from '../base/outcome.ts';
import { Secret } from '../base/secret.ts';

export type Credential =
  /** A personal, project or fine-grained access token. */
  | { readonly kind: 'token'; readonly token: Secret<string> }
  /** A user name with a password, or a deploy token with its user name. */
  | { readonly kind: 'basic'; readonly username: string; readonly password: Secret<string> }
  /** A GitHub App: its private key signs a short-lived request for an installation token. */
  | {
      readonly kind: 'github-app';
      readonly appId: string;
      readonly installationId: string;
      readonly privateKeyPem: Secret<string>;
      /** `https://api.github.com`, or `https://HOST/api/v3` on GitHub Enterprise. */
      readonly apiUrl?: string;
    };

/** The value of an Authorization header for the next request; undefined where no credential is set. */
export type Authorize = () => Promise<Outcome<string | undefined>>;

const basic = (username: string, password: string): string =>
  `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;

// GitHub wants this user name with a token; GitLab, Gitea and Forgejo take any.
const TOKEN_USER = 'x-access-token';

const APP_TOKEN_MARGIN_MS = 5 * 60_000;
const APP_REQUEST_MS = 15_000;
const APP_ANSWER_LIMIT_BYTES = 64 * 1024;

type AppCredential = Extract<Credential, { kind: 'github-app' }>;

/** RFC 7519, signed with RS256: GitHub takes a life of at most ten minutes, and clocks that run a minute ahead. */
const appToken = ({ appId, privateKeyPem }: AppCredential, nowMs: number): string => {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const nowSeconds = Math.floor(nowMs / 1000);
  const text = `${part({ alg: 'RS256', typ: 'JWT' })}.${part({ iat: nowSeconds - 60, exp: nowSeconds + 540, iss: appId })}`;
  return `${text}.${sign('sha256', Buffer.from(text), privateKeyPem.reveal()).toString('base64url')}`;
};

const requestInstallationToken = async (
  credential: AppCredential,
): Promise<Outcome<{ readonly token: Secret<string>; readonly untilMs: number }>> => {
  const api = credential.apiUrl ?? 'https://api.github.com';
  let answer: Response;
  try {
    answer = await fetch(`${api}/app/installations/${encodeURIComponent(credential.installationId)}/access_tokens`, {
      method: 'POST',
      redirect: 'error',
      signal: AbortSignal.timeout(APP_REQUEST_MS),
      headers: {
        accept: 'application/vnd.github+json',
        authorization: `Bearer ${appToken(credential, Date.now())}`,
        'user-agent': 'tailplane',
      },
    });
  } catch {
    return refuse('source/unreachable', 'GitHub gave no token for the App: it cannot be reached.');
  }
  const text = (await answer.text()).slice(0, APP_ANSWER_LIMIT_BYTES);
  if (!answer.ok) return refuse('source/credentials', `GitHub gave no token for the App (HTTP ${answer.status}).`);
  try {
    const { token, expires_at } = JSON.parse(text) as { token?: unknown; expires_at?: unknown };
    const untilMs = Date.parse(String(expires_at));
    if (typeof token === 'string' && !Number.isNaN(untilMs)) return accept({ token: new Secret(token), untilMs });
  } catch {
    // Answered below.
  }
  return refuse('source/credentials', 'GitHub gave no token for the App: its answer has another form.');
};

export const authorizeBy = (credential: Credential | undefined): Authorize => {
  let held: { readonly token: Secret<string>; readonly untilMs: number } | undefined;
  const installationToken = async (app: AppCredential): Promise<Outcome<string>> => {
    if (!held || held.untilMs - APP_TOKEN_MARGIN_MS < Date.now()) {
      const made = await requestInstallationToken(app);
      if (!made.ok) return made;
      held = made.value;
    }
    return accept(basic(TOKEN_USER, held.token.reveal()));
  };
  return async () => {
    if (!credential) return accept(undefined);
    if (credential.kind === 'token') return accept(basic(TOKEN_USER, credential.token.reveal()));
    if (credential.kind === 'basic') return accept(basic(credential.username, credential.password.reveal()));
    return await installationToken(credential);
  };
};

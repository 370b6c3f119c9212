// The status of a commit on its git host: the mark next to it says whether the server serves it, and if not, why. Three
// hosts with three forms: GitHub, GitLab, Gitea (and Forgejo).

import { accept, refuse, type Outcome } from '../base/outcome.ts';
import type { Secret } from '../base/secret.ts';

export type ForgeKind = 'github' | 'gitlab' | 'gitea';

export interface Forge {
  readonly kind: ForgeKind;
  /** `https://api.github.com`, `https://HOST/api/v4`, `https://HOST/api/v1`. */
  readonly apiUrl: string;
  /** `owner/name`, or for GitLab the whole path. */
  readonly project: string;
  readonly token: Secret<string>;
}

export interface CommitStatus {
  readonly commit: string;
  readonly state: 'pending' | 'success' | 'failure';
  /** One sentence. */
  readonly description: string;
  readonly targetUrl?: string;
}

const CONTEXT = 'tailplane';
const DESCRIPTION_LIMIT = 140;
const REQUEST_MS = 10_000;

/** The API of the host of a repository URL; `kind` is told where the name of the host does not tell it. */
export const forgeOf = (url: string, token: Secret<string>, kind?: ForgeKind): Forge | undefined => {
  const parsed = URL.parse(url);
  const project = parsed?.pathname.replace(/^\/+/, '').replace(/(?:\.git)?\/*$/, '') ?? '';
  if (!parsed || project === '') return undefined;
  const { hostname, origin } = parsed;
  const known = kind ?? (hostname === 'github.com' ? 'github' : /(^|\.)gitlab\./.test(hostname) ? 'gitlab' : undefined);
  const api = {
    github: hostname === 'github.com' ? 'https://api.github.com' : `${origin}/api/v3`,
    gitlab: `${origin}/api/v4`,
    gitea: `${origin}/api/v1`,
  };
  return known && { kind: known, apiUrl: api[known], project, token };
};

const shorten = (text: string): string =>
  text.length > DESCRIPTION_LIMIT ? `${text.slice(0, DESCRIPTION_LIMIT - 1)}…` : text;

const requestOf = (
  { kind, apiUrl, project, token }: Forge,
  { commit, state, description, targetUrl }: CommitStatus,
) => {
  const json = { 'content-type': 'application/json', 'user-agent': 'tailplane' };
  const body = {
    state,
    context: CONTEXT,
    description: shorten(description),
    ...(targetUrl === undefined ? {} : { target_url: targetUrl }),
  };
  if (kind === 'gitlab') {
    return {
      url: `${apiUrl}/projects/${encodeURIComponent(project)}/statuses/${commit}`,
      headers: { ...json, 'private-token': token.reveal() },
      body: { ...body, state: state === 'failure' ? 'failed' : state },
    };
  }
  const url = `${apiUrl}/repos/${project}/statuses/${commit}`;
  const authorization = `${kind === 'github' ? 'Bearer' : 'token'} ${token.reveal()}`;
  return { url, headers: { ...json, accept: 'application/json', authorization }, body };
};

/** Sets the status; a refusal is for the log, since nothing waits for it. */
export const reportStatus = async (forge: Forge, status: CommitStatus): Promise<Outcome<undefined>> => {
  const { url, headers, body } = requestOf(forge, status);
  try {
    const answer = await fetch(url, {
      method: 'POST',
      redirect: 'error',
      headers,
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(REQUEST_MS),
    });
    await answer.body?.cancel();
    if (answer.ok) return accept(undefined);
    const code = answer.status === 401 || answer.status === 403 ? 'source/credentials' : 'source/host-error';
    return refuse(code, `The git host took no commit status (HTTP ${answer.status}).`);
  } catch (error) {
    const isTimeout = error instanceof Error && error.name === 'TimeoutError';
    return isTimeout
      ? refuse('source/timeout', 'The git host did not take a commit status in time.')
      : refuse('source/unreachable', 'The git host cannot be reached for a commit status.');
  }
};

// The few calls of GitHub's REST API that a review needs (docs.github.com/rest, version 2022-11-28): the files of the base,
// and one comment that is kept up to date. Refusals are values: a pull request from a fork has a token that may only read.

import { accept, refuse, type Outcome } from '../base/outcome.ts';
import type { Secret } from '../base/secret.ts';

export interface GitHub {
  /** A file at a commit; undefined where there is none. */
  readonly readFile: (path: string, ref: string) => Promise<Outcome<Uint8Array | undefined>>;
  /** Writes the comment that begins with the marker, or makes it. */
  readonly writeComment: (
    pullRequest: number,
    marker: string,
    body: string,
  ) => Promise<Outcome<'made' | 'updated' | 'same'>>;
}

export interface GitHubOptions {
  /** `https://api.github.com`, or that of an enterprise server. */
  readonly apiUrl: string;
  /** `owner/name`. */
  readonly repository: string;
  readonly token: Secret<string>;
  readonly fetch: typeof fetch;
}

const TIMEOUT_MS = 20_000;
const PAGES = 10;
const PER_PAGE = 100;
const FILE_LIMIT_BYTES = 4 << 20;
/** What GitHub takes in a comment. */
export const COMMENT_LIMIT = 65_536;

interface Comment {
  readonly id: number;
  readonly body?: string;
}

export const connectGitHub = ({ apiUrl, repository, token, fetch: request }: GitHubOptions): GitHub => {
  const call = async (method: string, path: string, accepts: string, body?: unknown): Promise<Response> =>
    await request(`${apiUrl}/repos/${repository}${path}`, {
      method,
      headers: {
        accept: accepts,
        authorization: `Bearer ${token.reveal()}`,
        'user-agent': 'tailplane',
        'x-github-api-version': '2022-11-28',
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      redirect: 'error',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  const refusal = (what: string, { status }: Response): Outcome<never> =>
    refuse('action/github-refused', `GitHub answered ${status} to ${what}.`);
  const guarded = async <T>(what: string, run: () => Promise<Outcome<T>>): Promise<Outcome<T>> => {
    try {
      return await run();
    } catch (error) {
      return refuse('action/github-refused', `GitHub could not be asked to ${what}: ${(error as Error).message}.`);
    }
  };
  const JSON_TYPE = 'application/vnd.github+json';

  const findComment = async (pullRequest: number, marker: string): Promise<Outcome<Comment | undefined>> => {
    for (let page = 1; page <= PAGES; page++) {
      const answer = await call('GET', `/issues/${pullRequest}/comments?per_page=${PER_PAGE}&page=${page}`, JSON_TYPE);
      if (!answer.ok) return refusal('list the comments', answer);
      const comments = (await answer.json()) as readonly Comment[];
      const found = comments.find(({ body }) => body?.startsWith(marker) === true);
      if (found || comments.length < PER_PAGE) return accept(found);
    }
    return accept(undefined);
  };

  return {
    readFile: (path, ref) =>
      guarded('read a file', async () => {
        const where = path.split('/').map(encodeURIComponent).join('/');
        const answer = await call(
          'GET',
          `/contents/${where}?ref=${encodeURIComponent(ref)}`,
          'application/vnd.github.raw+json',
        );
        if (answer.status === 404) return accept(undefined);
        if (!answer.ok) return refusal(`read ${path}`, answer);
        const bytes = new Uint8Array(await answer.arrayBuffer());
        return bytes.length > FILE_LIMIT_BYTES
          ? refuse('action/github-refused', `${path} is larger than 4 MiB.`)
          : accept(bytes);
      }),
    writeComment: (pullRequest, marker, text) =>
      guarded('write the comment', async () => {
        const body = `${marker}\n${text}`;
        const old = await findComment(pullRequest, marker);
        if (!old.ok) return old;
        if (old.value?.body === body) return accept('same');
        const answer = old.value
          ? await call('PATCH', `/issues/comments/${old.value.id}`, JSON_TYPE, { body })
          : await call('POST', `/issues/${pullRequest}/comments`, JSON_TYPE, { body });
        return answer.ok ? accept(old.value ? 'updated' : 'made') : refusal('write the comment', answer);
      }),
  };
};

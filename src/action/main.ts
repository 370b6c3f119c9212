// The entry of the GitHub Action: reads what GitHub sets in the environment and files, runs one review, and writes outputs,
// summary and annotations where GitHub looks for them (docs.github.com, workflow commands).

import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Secret } from '../base/secret.ts';
import type { Risk } from '../review/risk.ts';
import { connectGitHub } from './github.ts';
import { headline, reviewCheckout, type ReviewInputs } from './review.ts';

declare const TAILPLANE_VERSION: string | undefined;

const env = process.env;
const input = (name: string): string => (env[`INPUT_${name.replaceAll(' ', '_').toUpperCase()}`] ?? '').trim();
const flag = (name: string): boolean => input(name).toLowerCase() === 'true';

const NO_COMMIT = /^0+$/;

interface Event {
  readonly before?: string;
  readonly head_commit?: { readonly message?: string };
  readonly pull_request?: {
    readonly number: number;
    readonly base: { readonly sha: string };
    readonly head?: { readonly sha: string };
    readonly body?: string | null;
  };
}

const readEvent = (): Event => {
  try {
    return JSON.parse(readFileSync(env['GITHUB_EVENT_PATH'] ?? '', 'utf8')) as Event;
  } catch {
    return {};
  }
};

const REPOSITORY = /^[\w.-]+\/[\w.-]+$/;

/** The pages of the repository; only what can be part of a link as it is. */
const webUrlOf = (server: string, repository: string): string | undefined =>
  /^https?:\/\/[\w.-]+(?::\d+)?$/.test(server) && REPOSITORY.test(repository) ? `${server}/${repository}` : undefined;

/** A path below the checkout; anything that leads out of it is refused. */
const inside = (workspace: string, relative: string, what: string): string => {
  const resolved = path.resolve(workspace, relative);
  if (resolved !== workspace && !resolved.startsWith(workspace + path.sep))
    throw new Error(`«${what}» leads out of the checkout`);
  return resolved;
};

const main = async (): Promise<void> => {
  const event = readEvent();
  const workspace = path.resolve(env['GITHUB_WORKSPACE'] ?? '.');
  const folder = path
    .relative(workspace, inside(workspace, input('folder') || '.', 'folder'))
    .split(path.sep)
    .join('/');
  const risk = input('fail-on-risk');
  if (!['', 'low', 'medium', 'high'].includes(risk)) throw new Error('«fail-on-risk» is low, medium or high');
  const nodesFile = input('nodes');
  const repository = env['GITHUB_REPOSITORY'] ?? '';
  const given = input('base') || event.pull_request?.base.sha || event.before;
  const inputs: ReviewInputs = {
    workspace,
    folder,
    base: given === undefined || NO_COMMIT.test(given) ? undefined : given,
    head: event.pull_request?.head?.sha ?? env['GITHUB_SHA'],
    webUrl: webUrlOf(env['GITHUB_SERVER_URL'] ?? '', repository),
    pullRequest: event.pull_request?.number,
    nodes: nodesFile === '' ? undefined : readFileSync(inside(workspace, nodesFile, 'nodes'), 'utf8'),
    comment: input('comment') !== 'false',
    strict: flag('strict'),
    failOnRisk: risk === '' ? undefined : (risk as Risk),
    requireTrailer: flag('require-trailer'),
    commitMessage: event.head_commit?.message ?? event.pull_request?.body ?? '',
    version: typeof TAILPLANE_VERSION === 'string' ? TAILPLANE_VERSION : '0.0.0',
    nowMs: Date.now(),
  };
  const token = input('token');
  const github =
    token !== '' && REPOSITORY.test(repository)
      ? connectGitHub({
          apiUrl: env['GITHUB_API_URL'] ?? 'https://api.github.com',
          repository,
          token: new Secret(token),
          fetch,
        })
      : undefined;

  const result = await reviewCheckout(inputs, github);
  process.stdout.write(result.annotations);
  for (const notice of result.notices)
    process.stdout.write(`::notice title=tailplane::${notice.replaceAll('%', '%25').replaceAll(/[\r\n]/g, ' ')}\n`);
  if (env['GITHUB_STEP_SUMMARY']) appendFileSync(env['GITHUB_STEP_SUMMARY'], result.summary);
  const sarif = input('sarif');
  if (sarif !== '' && result.sarif !== '') writeFileSync(inside(workspace, sarif, 'sarif'), result.sarif);
  const outputs = {
    risk: result.plan?.risk ?? 'none',
    summary: headline(result).replaceAll(/[\r\n]/g, ' '),
    ok: String(result.ok),
  };
  if (env['GITHUB_OUTPUT'])
    appendFileSync(
      env['GITHUB_OUTPUT'],
      Object.entries(outputs)
        .map(([name, value]) => `${name}=${value}\n`)
        .join(''),
    );
  process.stdout.write(`${headline(result)}\n`);
  if (!result.ok) {
    process.exitCode = 1;
    for (const failure of result.failures)
      process.stdout.write(`::error title=tailplane::${failure.replaceAll('%', '%25').replaceAll(/[\r\n]/g, ' ')}\n`);
  }
};

main().catch((error: unknown) => {
  process.stdout.write(
    `::error title=tailplane::${String(error instanceof Error ? error.message : error).replaceAll(/[\r\n]/g, ' ')}\n`,
  );
  process.exitCode = 1;
});

// The Action as GitHub runs it: the bundle in a process of its own, with the environment and files that a runner sets, and
// the few API calls answered by a server that keeps GitHub's documented rules.

import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { connectGitHub } from '../../src/action/github.ts';
import { headline, MARKER } from '../../src/action/review.ts';
import { Secret } from '../../src/base/secret.ts';
import { parseNodeList } from '../../src/review/node-list.ts';

const root = path.join(import.meta.dirname, '../..');
const bundle = path.join(root, 'dist/action/index.cjs');

const TAILNET = `{ name: 'example.com', baseDomain: 'tail.internal' }\n`;
const USERS = `{ users: [{ login: 'alice@example.com', role: 'owner' }, { login: 'bob@example.com' }] }\n`;
const POLICY = `{
  "tagOwners": { "tag:web": [] },
  "grants": [
    { "src": ["alice@example.com"], "dst": ["tag:web"], "ip": ["tcp:443"] },
  ],
}
`;
const WIDER = POLICY.replace('"alice@example.com"', '"autogroup:member"');

interface Call {
  readonly method: string;
  readonly url: string;
  readonly body: string;
}

/** GitHub's side: the files of the base, and comments that a token may or may not write. */
const playGitHub = async (
  t: TestContext,
  { base, mayWrite }: { readonly base: Readonly<Record<string, string>>; readonly mayWrite: boolean },
) => {
  const calls: Call[] = [];
  const comments: { id: number; body: string }[] = [{ id: 1, body: 'looks good' }];
  const server = http.createServer((request, response) => {
    let body = '';
    request.on('data', (chunk) => (body += String(chunk)));
    request.on('end', () => {
      const { method = '', url = '' } = request;
      calls.push({ method, url, body });
      const answer = (status: number, value: unknown): void => {
        response.writeHead(status, { 'content-type': 'application/json' });
        response.end(typeof value === 'string' ? value : JSON.stringify(value));
      };
      if (request.headers.authorization !== 'Bearer secret-token') return answer(401, {});
      const file = /^\/repos\/o\/r\/contents\/(.+)\?ref=/.exec(url)?.[1];
      if (file !== undefined) return base[file] === undefined ? answer(404, {}) : answer(200, base[file]);
      if (method === 'GET' && url.startsWith('/repos/o/r/issues/7/comments')) return answer(200, comments);
      if (!mayWrite) return answer(403, { message: 'Resource not accessible by integration' });
      const { body: text } = JSON.parse(body) as { body: string };
      if (text.length > 65_536) return answer(422, {});
      if (method === 'POST') comments.push({ id: comments.length + 1, body: text });
      const id = /^\/repos\/o\/r\/issues\/comments\/(\d+)$/.exec(url)?.[1];
      const old = comments.find((comment) => comment.id === Number(id));
      if (method === 'PATCH' && old) old.body = text;
      return answer(method === 'POST' ? 201 : 200, {});
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, calls, comments };
};

const checkout = (t: TestContext, files: Readonly<Record<string, string>>): string => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tailplane-action-'));
  t.after(() => fs.rmSync(folder, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(files)) {
    fs.mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
    fs.writeFileSync(path.join(folder, name), text);
  }
  return folder;
};

const runAction = async (
  workspace: string,
  event: unknown,
  apiUrl: string,
  inputs: Readonly<Record<string, string>>,
) => {
  const file = (name: string): string => path.join(workspace, `.${name}`);
  fs.writeFileSync(file('event'), JSON.stringify(event));
  fs.writeFileSync(file('summary'), '');
  fs.writeFileSync(file('output'), '');
  const env = {
    PATH: process.env['PATH'],
    GITHUB_WORKSPACE: workspace,
    GITHUB_EVENT_PATH: file('event'),
    GITHUB_STEP_SUMMARY: file('summary'),
    GITHUB_OUTPUT: file('output'),
    GITHUB_REPOSITORY: 'o/r',
    GITHUB_API_URL: apiUrl,
    GITHUB_SERVER_URL: 'https://code.example.com',
    ...Object.fromEntries(Object.entries(inputs).map(([name, value]) => [`INPUT_${name.toUpperCase()}`, value])),
  };
  const { code, stdout } = await new Promise<{ code: number; stdout: string }>((resolve) => {
    execFile(process.execPath, [bundle], { env, cwd: workspace, timeout: 60_000 }, (error, stdout, stderr) => {
      assert.equal(stderr, '');
      resolve({ code: error ? Number(error.code) : 0, stdout });
    });
  });
  return {
    code,
    stdout,
    summary: fs.readFileSync(file('summary'), 'utf8'),
    output: fs.readFileSync(file('output'), 'utf8'),
  };
};

const files = (policy: string) => ({
  'net/tailnet.json5': TAILNET,
  'net/users.json5': USERS,
  'net/policy.json5': policy,
});
const pullRequest = { pull_request: { number: 7, base: { sha: 'b'.repeat(40) }, head: { sha: 'c'.repeat(40) } } };

test('the bundle is what the sources make', () => {
  const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'tailplane-bundle-'));
  try {
    const kept = fs.readFileSync(bundle);
    execFileSync(process.execPath, [path.join(root, 'build.ts'), '--action-only', '--out', scratch], {
      stdio: 'inherit',
    });
    assert.ok(
      kept.equals(fs.readFileSync(path.join(scratch, 'action/index.cjs'))),
      'run `npm run build` and commit dist/action/index.cjs',
    );
  } finally {
    fs.rmSync(scratch, { recursive: true });
  }
});

test('a pull request gets one comment, which is kept up to date', async (t) => {
  const github = await playGitHub(t, { base: files(POLICY), mayWrite: true });
  const workspace = checkout(t, files(WIDER));
  const inputs = { folder: 'net', token: 'secret-token' };
  const first = await runAction(workspace, pullRequest, github.url, inputs);
  assert.equal(first.code, 0, first.stdout);
  assert.equal(github.comments.length, 2);
  const comment = github.comments[1]?.body ?? '';
  assert.ok(comment.startsWith(MARKER));
  assert.match(
    comment,
    /#### Who gains access\n\n- ➕ `bob@example\.com` → `tag:web`&#58; tcp 443 .*<br><sub>rule 1 of grants, \[policy\.json5[^\]]*4\]\(https:\/\/code\.example\.com\/o\/r\/blob\/c{40}\/net\/policy\.json5#L4\)<\/sub>/,
  );
  assert.doesNotMatch(comment, /missing-tests/, 'what the base had already is no news');
  assert.match(first.stdout, /::notice title=tailplane::1 finding was there before/);
  assert.match(first.output, /^risk=low\n/m);
  assert.match(
    first.stdout,
    /^::notice file=net\/policy\.json5,line=4,.*bob@example\.com may now reach tag:web: tcp 443 \(HTTPS\)\./m,
  );
  assert.match(first.summary, /Who gains access/);
  assert.doesNotMatch(first.stdout + first.summary, /secret-token/);

  await runAction(workspace, pullRequest, github.url, inputs);
  assert.equal(
    github.calls.filter(({ method }) => method === 'POST' || method === 'PATCH').length,
    1,
    'an equal comment is left alone',
  );
  fs.writeFileSync(path.join(workspace, 'net/policy.json5'), POLICY);
  await runAction(workspace, pullRequest, github.url, inputs);
  assert.equal(github.comments.length, 2);
  assert.match(github.comments[1]?.body ?? '', /Nobody gains or loses access/);
});

test('a pull request from a fork gets its answer in the job summary', async (t) => {
  const github = await playGitHub(t, { base: files(POLICY), mayWrite: false });
  const result = await runAction(checkout(t, files(WIDER)), pullRequest, github.url, {
    folder: 'net',
    token: 'secret-token',
  });
  assert.equal(result.code, 0, result.stdout);
  assert.match(result.stdout, /::notice title=tailplane::No comment was written .*403/);
  assert.match(result.summary, /Who gains access/);
});

test('errors fail, on their lines, and a risk fails where that is asked for', async (t) => {
  const github = await playGitHub(t, { base: files(POLICY), mayWrite: true });
  const broken = await runAction(
    checkout(t, files(POLICY.replace('tag:web"]', 'tag:wbe"]'))),
    pullRequest,
    github.url,
    { folder: 'net', token: 'secret-token' },
  );
  assert.equal(broken.code, 1);
  assert.match(
    broken.stdout,
    /^::error file=net\/policy\.json5,line=4,.*tag%3Awbe|^::error file=net\/policy\.json5,line=4,/m,
  );
  assert.match(github.comments[1]?.body ?? '', /tag&#58;|policy\/unknown-tag/);

  const shell = POLICY.replace(
    '"grants"',
    '"ssh": [{ "action": "accept", "src": ["autogroup:member"], "dst": ["tag:web"], "users": ["root"] }],\n  "grants"',
  );
  const risky = await runAction(checkout(t, files(shell)), pullRequest, github.url, {
    folder: 'net',
    token: 'secret-token',
    'fail-on-risk': 'high',
  });
  assert.equal(risky.code, 1);
  assert.match(risky.output, /^risk=high$/m);
});

test('a push is compared with what was there before, from the checkout alone', async (t) => {
  const workspace = checkout(t, files(POLICY));
  const git = (...args: string[]): string =>
    execFileSync('git', ['-c', 'user.name=Alice', '-c', 'user.email=alice@example.com', ...args], {
      cwd: workspace,
      encoding: 'utf8',
    }).trim();
  git('init', '-q');
  git('add', 'net');
  git('commit', '-qm', 'first');
  const before = git('rev-parse', 'HEAD');
  fs.writeFileSync(path.join(workspace, 'net/policy.json5'), WIDER);
  const result = await runAction(workspace, { before, head_commit: { message: 'wider' } }, 'http://127.0.0.1:9', {
    folder: 'net',
  });
  assert.equal(result.code, 0, result.stdout);
  assert.match(result.output, /^summary=1 gain of access/m);
});

test('a path that leads out of the checkout is refused', async (t) => {
  const result = await runAction(checkout(t, files(POLICY)), {}, 'http://127.0.0.1:9', { folder: '../..' });
  assert.equal(result.code, 1);
  assert.match(result.stdout, /«folder» leads out of the checkout/);
});

test('a call that GitHub refuses, or that finds nobody, is a value', async () => {
  const connect = (request: typeof fetch) =>
    connectGitHub({ apiUrl: 'http://127.0.0.1:9', repository: 'o/r', token: new Secret('t'), fetch: request });
  const codes = await Promise.all(
    [connect(async () => new Response('', { status: 500 })), connect(fetch)].map(async (github) => {
      const outcome = await github.writeComment(7, MARKER, 'text');
      return outcome.ok ? '' : outcome.code;
    }),
  );
  assert.deepEqual(codes, ['action/github-refused', 'action/github-refused']);
});

test('the headline is one line, whatever a list of nodes in the pull request says', () => {
  const name = 'x\n::stop-commands::y\r\n::error::z';
  const list = parseNodeList(JSON.stringify([{ name }]));
  assert.ok(!list.ok);
  assert.match(
    headline({ plan: undefined, failures: [list.reason] }),
    /^Node 1 of the list \(x␊::stop-commands::y␍␊.*$/,
  );
});

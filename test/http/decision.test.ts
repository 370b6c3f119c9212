// Pages on which a person decides: what they show, what they hide, and who may decide.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { accept, refuse } from '../../src/base/outcome.ts';
import type { DecisionPorts, Question } from '../../src/http/decision.ts';
import { mountDecisionPage } from '../../src/http/decision.ts';
import { createMetrics } from '../../src/http/metrics.ts';
import { createPublicApp } from '../../src/http/public.ts';

const question: Question = {
  title: 'A machine wants to join example.com',
  caution: 'Go on only if you started this yourself.',
  facts: [
    ['Machine', '<img src=x onerror=alert(1)>'],
    ['Asks from', '203.0.113.7'],
  ],
  command: 'tailplane auth approve QK3F-7TZA',
  yes: 'Let it in',
  no: 'Turn it away',
  state: 'pending',
  approved: 'The machine is in the network.',
  denied: 'The machine was turned away.',
};

const serve = async (t: TestContext, ports: Partial<DecisionPorts>) => {
  const app = createPublicApp({
    keyAnswer: () => ({ status: 200, type: 'application/json', body: '{}' }),
    unready: () => [],
    metrics: createMetrics('0'),
    metricsFor: 'off',
    onFault: (fault) => assert.fail(String(fault)),
    mount: (router) => mountDecisionPage(router, { path: '/register', find: () => undefined, ...ports }),
  });
  const server = http.createServer((request, response) => void app.callback()(request, response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/register/abc`;
};

test('it tells what asks and from where, as text, and looks again by itself', async (t) => {
  const url = await serve(t, { find: (id) => (id === 'abc' ? question : undefined) });
  const answer = await fetch(url);
  const text = await answer.text();
  assert.equal(answer.status, 200);
  assert.match(text, /&lt;img src=x onerror=alert\(1\)&gt;/);
  assert.doesNotMatch(text, /<img|<script/);
  for (const part of ['203.0.113.7', 'tailplane auth approve QK3F-7TZA', 'http-equiv="refresh"']) {
    assert.ok(text.includes(part), part);
  }
  assert.match(answer.headers.get('content-security-policy') ?? '', /default-src 'none'.*frame-ancestors 'none'/);
  assert.equal(answer.headers.get('cache-control'), 'no-store');
});

test('an unknown link and one whose time is over are one constant page', async (t) => {
  const url = await serve(t, {});
  const pages = await Promise.all([url, `${url}x`].map(async (link) => (await fetch(link)).text()));
  assert.equal(pages[0], pages[1]);
});

test('a decision needs a good credential and a form of our own', async (t) => {
  const decided: unknown[] = [];
  const url = await serve(t, {
    find: () => (decided.length > 0 ? { ...question, state: 'approved' } : question),
    decide: () => async (id, credential, approve) => {
      if (credential !== 'good') return refuse('http/bad-request', 'This credential is not known.');
      decided.push([id, approve]);
      return accept(undefined);
    },
  });
  const send = (credential: string, origin?: string) =>
    fetch(url, {
      method: 'POST',
      body: new URLSearchParams({ credential, decision: 'approve' }),
      headers: origin === undefined ? {} : { origin },
    });
  const wrong = await send('bad');
  assert.equal(wrong.status, 403);
  assert.match(await wrong.text(), /This credential is not known\./);
  assert.equal((await send('good', 'https://elsewhere.example')).status, 403);
  assert.deepEqual(decided, []);
  const right = await send('good', new URL(url).origin);
  assert.match(await right.text(), /The machine is in the network/);
  assert.deepEqual(decided, [['abc', true]]);
});

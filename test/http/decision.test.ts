// Pages on which a person decides: what they show, what they hide, who may decide, and what another site or a stranger can't.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import type { Login } from '../../src/base/ids.ts';
import { accept, refuse } from '../../src/base/outcome.ts';
import type { Outcome } from '../../src/base/outcome.ts';
import type { Verdict } from '../../src/http/decision.ts';
import { mountDecisionPage } from '../../src/http/decision.ts';
import type { Question } from '../../src/http/decision-views.ts';
import { createDesk, VISIT_MS } from '../../src/http/desk.ts';
import { createMetrics } from '../../src/http/metrics.ts';
import { createPublicApp } from '../../src/http/public.ts';
import type { Actor } from '../../src/identity/credential.ts';

const QUESTION: Question = {
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
const GOOD = 'tpkey-api-a1-0123456789abcdef';
const ALICE: Actor = {
  login: 'alice@example.com' as Login,
  displayName: 'Alice',
  role: 'owner',
  scopes: ['logins'],
  via: 'credential a1',
};
const UNKNOWN = refuse('identity/credential-unknown', 'This credential is not known here.');

interface Sent {
  readonly fields: Readonly<Record<string, string>>;
  readonly cookie?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly id?: string;
}

const open = async (t: TestContext, { origin = 'http://tail.example.com', isOpen = true } = {}) => {
  let nowMs = 0;
  let random = 0;
  let withdrawn = false;
  let tried = 0;
  const questions = new Map<string, Question>([
    ['abc', QUESTION],
    ['def', QUESTION],
  ]);
  const decided: (Verdict & { by: string; id: string })[] = [];
  const notes: unknown[] = [];
  const desk = createDesk({
    now: () => nowMs,
    random: (sizeBytes) => new Uint8Array(sizeBytes).fill(++random),
    prove: (text) => {
      tried++;
      return text === GOOD ? accept((): Outcome<Actor> => (withdrawn ? UNKNOWN : accept(ALICE))) : UNKNOWN;
    },
  });
  const app = createPublicApp({
    keyAnswer: () => ({ status: 200, type: 'application/json', body: '{}' }),
    unready: () => [],
    metrics: createMetrics('0'),
    metricsFor: 'off',
    onFault: (fault) => assert.fail(String(fault)),
    mount: (router) =>
      mountDecisionPage(
        router,
        {
          desk,
          origin,
          remoteAddressOf: ({ headers }) => String(headers['x-from'] ?? '203.0.113.1'),
          note: (...note) => void notes.push(note),
        },
        {
          path: '/register',
          isOpen: () => isOpen,
          find: (id) => questions.get(id),
          offer: (_id, { displayName }) =>
            accept({
              as: displayName,
              consequence: 'It gets what the policy gives.',
              choice: {
                label: 'Whose machine is it?',
                options: [{ value: 'bob@example.com', text: '<Bob>' }],
                chosen: 'bob@example.com',
              },
            }),
          decide: async (id, actor, verdict) => {
            if (verdict.person === 'nobody') return refuse('http/bad-request', 'Choose whose machine it is.');
            decided.push({ ...verdict, by: actor.login, id });
            questions.set(id, { ...QUESTION, state: verdict.approve ? 'approved' : 'denied' });
            return accept(undefined);
          },
        },
      ),
  });
  const server = http.createServer((request, response) => void app.callback()(request, response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}/register/`;
  const send = async ({ fields, cookie, headers = {}, id = 'abc' }: Sent): Promise<Response> =>
    fetch(base + id, {
      method: 'POST',
      redirect: 'manual',
      body: new URLSearchParams(fields),
      headers: { origin: 'http://tail.example.com', ...(cookie === undefined ? {} : { cookie }), ...headers },
    });
  const get = async (id = 'abc', cookie?: string): Promise<Response> =>
    fetch(base + id, { headers: cookie === undefined ? {} : { cookie } });
  return {
    base,
    send,
    get,
    decided,
    notes,
    questions,
    tried: () => tried,
    pass: (ms: number) => (nowMs += ms),
    withdraw: () => (withdrawn = true),
    /** Shows the credential; gives the cookie and the token of the form. */
    enter: async (id = 'abc') => {
      const answer = await send({ fields: { credential: GOOD }, id });
      assert.equal(answer.status, 303);
      const cookie = (answer.headers.get('set-cookie') ?? '').split(';')[0] as string;
      const token = /name="token" value="([a-z2-7]{32})"/.exec(await (await get(id, cookie)).text())?.[1] ?? '';
      assert.notEqual(token, '');
      return { cookie, token };
    },
  };
};

test('it tells what asks and from where, as text, under a policy that allows its own style alone', async (t) => {
  const { get } = await open(t);
  const answer = await get();
  const text = await answer.text();
  assert.equal(answer.status, 200);
  assert.match(text, /&lt;img src=x onerror=alert\(1\)&gt;/);
  const markup = text.replace('&lt;img src=x onerror=alert(1)&gt;', '');
  assert.doesNotMatch(markup, /<img|<script|\sstyle=|\son[a-z]+=|http-equiv/);
  assert.match(text, /came without encryption/, 'over HTTP, and not on this machine');
  for (const part of ['203.0.113.7', 'tailplane auth approve QK3F-7TZA', 'type="password"']) assert.ok(text.includes(part), part); // prettier-ignore
  const style = /<style>([^]*?)<\/style>/.exec(text)?.[1] ?? '';
  const hash = createHash('sha256').update(style).digest('base64');
  assert.equal(
    answer.headers.get('content-security-policy'),
    `default-src 'none'; style-src 'sha256-${hash}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'`,
  );
  assert.equal(answer.headers.get('cache-control'), 'no-store');
  // With `no-referrer` a browser would not say where a form of ours comes from.
  assert.equal(answer.headers.get('referrer-policy'), 'same-origin');
  assert.equal(answer.headers.get('set-cookie'), null, 'no cookie before somebody shows who they are');
});

test('where no credential is declared there is no form, and nothing that is sent is looked at', async (t) => {
  const { get, send, tried } = await open(t, { isOpen: false });
  assert.doesNotMatch(await (await get()).text(), /<form|<input/);
  assert.doesNotMatch(await (await send({ fields: { credential: GOOD } })).text(), /<form/);
  assert.equal(tried(), 0);
});

test('an unknown link and one whose time is over are one constant page, whatever is sent there', async (t) => {
  const { get, send, questions, enter, tried } = await open(t);
  const { cookie, token } = await enter();
  const before = tried();
  questions.delete('abc');
  const answers = await Promise.all([
    get('abc'),
    get('nonsense'),
    get('abc', cookie),
    send({ id: 'nonsense', fields: { credential: GOOD } }),
    send({ fields: { credential: 'wrong' } }),
    send({ fields: { token, decision: 'approve' }, cookie }),
  ]);
  for (const { status } of answers) assert.equal(status, 404);
  assert.equal(new Set(await Promise.all(answers.map((answer) => answer.text()))).size, 1);
  assert.equal(tried(), before, 'no credential is judged there');
});

test('who shows a good credential is known for this page, decides once, and is forgotten', async (t) => {
  const { send, get, decided, notes } = await open(t);
  const wrong = await send({ fields: { credential: 'tpkey-api-a1-wrongwrong' } });
  assert.equal(wrong.status, 403);
  const said = await wrong.text();
  assert.match(said, /role="alert">This credential is not known here\./);
  assert.match(said, /aria-invalid="true"/);
  assert.doesNotMatch(said, /wrongwrong/);

  const right = await send({ fields: { credential: GOOD } });
  assert.equal(right.status, 303);
  assert.equal(right.headers.get('location'), '/register/abc');
  const set = right.headers.get('set-cookie') ?? '';
  assert.match(
    set,
    /^tailplane-visit=[a-z2-7]{32}; Path=\/register\/abc; Max-Age=300; HttpOnly; SameSite=Strict(?:,|$)/,
  );
  const cookie = set.split(';')[0] as string;

  const offer = await (await get('abc', cookie)).text();
  assert.match(offer, /You are <strong>Alice<\/strong>/);
  assert.match(offer, /<option value="bob@example.com" selected>&lt;Bob&gt;<\/option>/);
  assert.doesNotMatch(offer, /0123456789abcdef|type="password"/);
  const token = /name="token" value="([a-z2-7]{32})"/.exec(offer)?.[1] ?? '';

  const incomplete = await send({ fields: { token, decision: 'approve', person: 'nobody' }, cookie });
  assert.equal(incomplete.status, 403);
  assert.match(await incomplete.text(), /role="alert">Choose whose machine it is\./);
  const yes = await send({ fields: { token, decision: 'approve', person: 'bob@example.com' }, cookie });
  assert.equal(yes.status, 303);
  assert.match(yes.headers.get('set-cookie') ?? '', /tailplane-visit=; Path=\/register\/abc; Max-Age=0/);
  assert.match(await (await get()).text(), /The machine is in the network/);
  const again = await send({ fields: { token, decision: 'deny' }, cookie });
  assert.match(await again.text(), /The machine is in the network/, 'decided once');
  assert.deepEqual(decided, [{ id: 'abc', approve: true, person: 'bob@example.com', by: 'alice@example.com' }]);
  assert.deepEqual(notes, [
    ['warn', 'credential refused', { page: '/register', code: 'identity/credential-unknown', remote: '203.0.113.1' }],
    [
      'info',
      'decided on a page',
      { page: '/register', decision: 'approve', by: 'alice@example.com', via: 'credential a1' },
    ],
  ]);
});

test('behind TLS the cookie never travels without it', async (t) => {
  const { send, get } = await open(t, { origin: 'https://tail.example.com' });
  assert.doesNotMatch(await (await get()).text(), /without encryption/);
  const answer = await send({ fields: { credential: GOOD }, headers: { origin: 'https://tail.example.com' } });
  assert.match(
    answer.headers.get('set-cookie') ?? '',
    /^__Secure-tailplane-visit=.*; HttpOnly; SameSite=Strict; Secure/,
  );
});

test('a decision needs the cookie and the form of the same page, and both in time', async (t) => {
  const world = await open(t);
  const { cookie, token } = await world.enter();
  const other = await world.enter('def');
  const fields = { token, decision: 'approve', person: 'bob@example.com' };
  const cases: readonly [what: string, sent: Sent][] = [
    ['no cookie', { fields }],
    ['a cookie of one’s own making', { fields, cookie: `tailplane-visit=${'a'.repeat(32)}` }],
    ['the cookie of another page', { fields, cookie: other.cookie }],
    ['no token', { fields: { ...fields, token: '' }, cookie }],
    ['the token of another page', { fields: { ...fields, token: other.token }, cookie }],
    ['another page', { fields, cookie, id: 'def' }],
  ];
  for (const [what, sent] of cases) {
    const answer = await world.send(sent);
    assert.equal(answer.status, 403, what);
    assert.match(await answer.text(), /That took too long/, what);
  }
  // What a browser brings along is not taken up: whoever put it there would know it.
  const planted = `tailplane-visit=${'b'.repeat(32)}`;
  const entered = await world.send({ fields: { credential: GOOD }, cookie: planted });
  assert.doesNotMatch(entered.headers.get('set-cookie') ?? '', /bbbb/);
  assert.match(await (await world.get('abc', planted)).text(), /type="password"/);

  world.pass(VISIT_MS);
  assert.equal((await world.send({ fields, cookie })).status, 403);
  assert.match(await (await world.get('abc', cookie)).text(), /type="password"/);
  assert.deepEqual(world.decided, []);
});

test('a credential that is withdrawn meanwhile decides nothing; who leaves is forgotten', async (t) => {
  const world = await open(t);
  const first = await world.enter();
  assert.equal(
    (await world.send({ fields: { token: first.token, decision: 'leave' }, cookie: first.cookie })).status,
    303,
  );
  assert.match(await (await world.get('abc', first.cookie)).text(), /type="password"/);
  const second = await world.enter();
  world.withdraw();
  const late = await world.send({ fields: { token: second.token, decision: 'approve' }, cookie: second.cookie });
  assert.equal(late.status, 403);
  assert.deepEqual(world.decided, []);
});

test('a form of another site is refused, whatever it carries', async (t) => {
  const world = await open(t);
  const { cookie, token } = await world.enter();
  const fields = { token, decision: 'approve', person: 'bob@example.com' };
  const foreign: readonly Record<string, string>[] = [
    { origin: 'https://elsewhere.example' },
    { origin: 'null' },
    { origin: 'http://tail.example.com:81' },
    { origin: 'http://tail.example.com', 'sec-fetch-site': 'cross-site' },
    { origin: 'http://tail.example.com', 'sec-fetch-site': 'same-site' },
    { origin: 'http://tail.example.com', 'sec-fetch-site': 'none' },
  ];
  for (const headers of foreign) {
    assert.equal((await world.send({ fields, cookie, headers })).status, 403, JSON.stringify(headers));
    const shown = await world.send({ fields: { credential: GOOD }, headers });
    assert.equal(shown.headers.get('set-cookie'), null, JSON.stringify(headers));
  }
  assert.deepEqual(world.decided, []);
  // Under the name in the address bar too, which need not be the one that clients use.
  const own = await world.send({ fields, cookie, headers: { origin: new URL(world.base).origin } });
  assert.equal(own.status, 303);
  assert.equal(world.decided.length, 1);
});

test('ten attempts at once and ten a minute from one address, right ones too; others are not touched', async (t) => {
  const world = await open(t);
  const tryFrom = async (from: string, credential: string): Promise<number> =>
    (await world.send({ fields: { credential }, headers: { 'x-from': from } })).status;
  for (let i = 0; i < 10; i++) assert.equal(await tryFrom('2001:db8::1', 'wrong'), 403);
  assert.equal(await tryFrom('2001:db8::2', GOOD), 429, 'the same /64');
  assert.equal(world.tried(), 10);
  assert.equal(await tryFrom('2001:db8:0:1::1', GOOD), 303);
  world.pass(6_000);
  assert.equal(await tryFrom('2001:db8::3', GOOD), 303);
  assert.equal(await tryFrom('2001:db8::3', GOOD), 429);
  const codes = world.notes.map((note) => (note as [string, string, { code: string }])[2].code);
  assert.deepEqual([...new Set(codes)], ['identity/credential-unknown', 'identity/too-many-attempts']);
});

test('a form that is too large is refused', async (t) => {
  const { send, tried } = await open(t);
  assert.equal((await send({ fields: { credential: 'x'.repeat(5 << 10) } })).status, 413);
  assert.equal(tried(), 0);
});

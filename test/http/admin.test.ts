// The administration application: operations answer, refuse with a code, and stream; faults keep their text to the log.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { accept, refuse } from '../../src/base/outcome.ts';
import { createAdminApp } from '../../src/http/admin.ts';
import type { AdminDownload, AdminOperation } from '../../src/http/admin.ts';
import { createMetrics } from '../../src/http/metrics.ts';

const serve = async (t: TestContext, operations: AdminOperation[], downloads: AdminDownload[] = []) => {
  const faults: string[] = [];
  const metrics = createMetrics('0.0.0');
  const app = createAdminApp({
    operations,
    downloads,
    metrics,
    onFault: (fault, at) => faults.push(`${at}: ${(fault as Error).message}`),
  });
  const server = http.createServer((request, response) => void app.callback()(request, response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v0`, faults };
};

test('operations get parameters and a body, and answer with values or refusals', async (t) => {
  const { url, faults } = await serve(t, [
    {
      method: 'get',
      path: '/nodes/:id',
      run: ({ params, query }) => accept({ id: params['id'], deep: query.get('deep') }),
    },
    { method: 'post', path: '/keys', run: ({ body }) => accept(body) },
    { method: 'delete', path: '/keys/:id', run: () => refuse('http/not-found', 'There is no key «k».') },
    {
      method: 'post',
      path: '/broken',
      run: () => {
        throw new Error('password=hunter2');
      },
    },
  ]);
  const call = async (method: string, path: string, body?: string) => {
    const answer = await fetch(`${url}${path}`, { method, ...(body === undefined ? {} : { body }) });
    return [answer.status, await answer.json()];
  };
  assert.deepEqual(await call('GET', '/nodes/a%2Fb?deep=1'), [200, { id: 'a/b', deep: '1' }]);
  assert.deepEqual(await call('POST', '/keys', '{"reusable":true}'), [200, { reusable: true }]);
  assert.deepEqual(await call('DELETE', '/keys/k'), [
    404,
    { error: { code: 'http/not-found', message: 'There is no key «k».' } },
  ]);
  assert.deepEqual(await call('POST', '/keys', '[1]'), [
    400,
    { error: { code: 'http/bad-request', message: 'The request is not a JSON object.' } },
  ]);
  const [status, large] = await call('POST', '/keys', `{"x":"${'y'.repeat(2 << 20)}"}`);
  assert.deepEqual([status, large], [413, { error: { code: 'http/too-large', message: 'The request is too large.' } }]);
  assert.deepEqual(await call('POST', '/broken', '{}'), [
    500,
    { error: { code: 'http/fault', message: 'The server failed; its log says why.' } },
  ]);
  assert.deepEqual(faults, ['POST /v0/broken: password=hunter2']);
});

test('a download is refused with a status before its first byte and broken off after it', async (t) => {
  const { url } = await serve(
    t,
    [],
    [
      {
        path: '/whole',
        run: async (_, write) => {
          await write(Buffer.from('ab'));
          await write(Buffer.from('c'));
          return accept(undefined);
        },
      },
      { path: '/refused', run: async () => refuse('http/bad-request', 'No.') },
      {
        path: '/broken',
        run: async (_, write) => {
          await write(Buffer.from('ab'));
          throw new Error('disk');
        },
      },
    ],
  );
  const post = (path: string) => fetch(`${url}${path}`, { method: 'POST', body: '{}' });
  assert.equal(await (await post('/whole')).text(), 'abc');
  assert.equal((await post('/refused')).status, 400);
  await assert.rejects(async () => (await post('/broken')).text());
});

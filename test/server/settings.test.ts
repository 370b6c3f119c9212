// Where settings come from, and that every wrong one is told, all at once, with its place.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseHostPort, resolveSettings } from '../../src/server/settings.ts';
import type { SettingInputs } from '../../src/server/settings.ts';

const resolve = (inputs: Partial<SettingInputs>) =>
  resolveSettings({
    flags: {},
    env: {},
    cwd: '/here',
    readSecret: (path) => {
      if (path === '/etc/token') return 'from-file\n';
      throw new Error('ENOENT');
    },
    ...inputs,
  });

test('flags win over variables, variables over the file, and paths start where they were written', () => {
  const file = {
    path: '/etc/tailplane/tailplane.json5',
    value: { listen: ':1', data: 'state', branch: 'main', relay: false },
  };
  const { settings, problems } = resolve({
    flags: { listen: ':3', logLevel: 'warn' },
    env: { TAILPLANE_LISTEN: ':2', TAILPLANE_BRANCH: 'live' },
    file,
  });
  assert.deepEqual(problems, []);
  assert.deepEqual(settings, {
    listen: ':3',
    logLevel: 'warn',
    branch: 'live',
    data: '/etc/tailplane/state',
    relay: false,
  });
});

test('secrets come from a variable or a file, never from a flag or from tailplane.json5', () => {
  assert.equal(resolve({ env: { TAILPLANE_SOURCE_TOKEN: 't' } }).settings.sourceToken?.reveal(), 't');
  assert.equal(
    resolve({ env: { TAILPLANE_SOURCE_TOKEN_FILE: '/etc/token' } }).settings.sourceToken?.reveal(),
    'from-file',
  );
  assert.equal(resolve({ flags: { sourceToken: 't' } }).settings.sourceToken, undefined);
  const { settings, problems } = resolve({ file: { path: '/p/tailplane.json5', value: { sourceToken: 't' } } });
  assert.equal(settings.sourceToken, undefined);
  assert.match(problems[0]?.message ?? '', /is a secret .* TAILPLANE_SOURCE_TOKEN or «sourceTokenFile»/);
});

test('every problem is told with its place', () => {
  const { problems } = resolve({
    env: { TAILPLANE_METRICS: 'some', TAILPLANE_RELAY: 'perhaps' },
    file: { path: '/p/tailplane.json5', value: { lisen: ':1', webhookSecretFile: 'gone' } },
  });
  assert.deepEqual(problems, [
    { from: '/p/gone', message: "the secret «webhookSecret» can't be read: ENOENT" },
    { from: 'TAILPLANE_RELAY', message: '«relay» wants true or false' },
    { from: 'TAILPLANE_METRICS', message: '«metrics» wants loopback, all, off' },
    { from: '/p/tailplane.json5', message: '«lisen» is not a setting' },
  ]);
});

test('addresses to listen on', () => {
  const cases: [string, { host: string; port: number } | undefined][] = [
    ['127.0.0.1:8080', { host: '127.0.0.1', port: 8080 }],
    ['[::1]:80', { host: '::1', port: 80 }],
    [':443', { host: '::', port: 443 }],
    ['tail.example.com:443', { host: 'tail.example.com', port: 443 }],
    ['::1:80', undefined],
    ['127.0.0.1', undefined],
    ['127.0.0.1:99999', undefined],
  ];
  for (const [text, want] of cases) assert.deepEqual(parseHostPort(text), want, text);
});

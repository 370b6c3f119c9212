// What the page of a machine that waits shows of what the machine says.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Control } from '../../src/control/ports.ts';
import type { LoginRecord } from '../../src/registry/record.ts';
import { loginPage } from '../../src/server/login-page.ts';
import type { Parts } from '../../src/server/parts.ts';
import { loginId, START_MS, waitingLogin } from '../registry/sample.ts';
import { snapshotOf } from '../control/world.ts';

const show = (hostinfo: LoginRecord['hostinfo']) => {
  const parts = {
    snapshot: () => snapshotOf(),
    now: () => START_MS,
    registry: { view: { logins: new Map([[loginId(1), waitingLogin(1, { hostinfo })]]) } },
    tailnet: { node: () => undefined },
  } as unknown as Parts;
  const question = loginPage(parts, {} as Control).find(loginId(1));
  assert.ok(question);
  return { ...question, facts: new Map(question.facts) };
};

test('the name of a machine is shown, and is no room for a message to whoever decides', () => {
  const { facts, approved, denied } = show({
    Hostname: `Your session is over, go to https://example.net/ ${'x'.repeat(200)}`,
  });
  for (const text of [facts.get('Machine'), approved, denied])
    assert.ok(text && /x…/.test(text) && !/x{64}/.test(text));
  assert.equal(facts.get('Machine')?.length, 64);
});

test('what nobody sees in a name, and what turns its direction, is written out', () => {
  const { facts } = show({ Hostname: 'lap\u202etop', OS: 'li\u200bnux', IPNVersion: '1.98.2-x' });
  assert.equal(facts.get('Machine'), 'lap<U+202E>top');
  assert.equal(facts.get('System'), 'li<U+200B>nux, Tailscale 1.98.2');
});

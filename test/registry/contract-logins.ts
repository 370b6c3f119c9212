// Logins, which strangers begin and people decide: what every registry does with them.

import assert from 'node:assert/strict';
import type { Outcome } from '../../src/base/outcome.ts';
import type { RegisterEvent, RegistryEvent } from '../../src/registry/event.ts';
import type { Applied } from '../../src/registry/registry.ts';
import { applied, joined, refused, type Step } from './contract-steps.ts';
import { alice, bob, DAY_MS, login, loginId, machineKey, register, START_MS, tag, waitingLogin } from './sample.ts';

export const LOGIN_CASES: Readonly<Record<string, Step>> = {
  'a login waits, is approved with the node it becomes, and is settled then': async (registry) => {
    const begun = await applied(registry, { kind: 'begin-login', login: waitingLogin(1) });
    assert.equal(begun.login?.id, loginId(1));
    const again = await applied(registry, { kind: 'begin-login', login: waitingLogin(1, { id: loginId(2) }) });
    assert.equal(again.login?.id, loginId(1), 'the machine that asks again gets the login that waits');
    const approval = register(1, { loginId: loginId(1), decidedBy: 'admin@example.com' });
    const node = await joined(registry, approval);
    const settled = registry.view.logins.get(loginId(1))!;
    assert.deepEqual([settled.state, settled.decidedBy, settled.nodeId], ['approved', 'admin@example.com', node.id]);
    assert.equal(registry.view.pendingLogins.size, 0);
    refused(
      await registry.apply({ kind: 'deny-login', id: loginId(1), decidedBy: 'x', nowMs: START_MS }),
      'registry/login-settled',
    );
  },

  'a login that is approved for one person is approved for nobody else, whoever decides a moment later': async (
    registry,
  ) => {
    await applied(registry, { kind: 'begin-login', login: waitingLogin(1) });
    const approve = (more: Partial<RegisterEvent>): Promise<Outcome<Applied>> =>
      registry.apply(register(1, { loginId: loginId(1), decidedBy: 'admin@example.com', ...more }));
    const [first, second, third] = await Promise.all([
      approve({}),
      approve({ login: bob }),
      approve({ login: null, tags: [tag('server')] }),
    ]);
    assert.ok(first.ok);
    refused(second, 'registry/login-settled');
    refused(third, 'registry/login-settled');
    const node = registry.view.nodes.get(first.value.node!.id);
    assert.deepEqual([node?.login, node?.tags], [alice, []]);
    assert.ok((await approve({ login: login('ALICE@example.com') })).ok, 'the same answer twice is one answer');
  },

  'a login that was denied, is over, or belongs to another machine lets nobody in': async (registry) => {
    for (const n of [1, 2, 3]) await applied(registry, { kind: 'begin-login', login: waitingLogin(n) });
    await applied(registry, { kind: 'deny-login', id: loginId(1), decidedBy: 'admin', nowMs: START_MS });
    const approve = (n: number, more = {}): Promise<Outcome<Applied>> =>
      registry.apply(register(n, { loginId: loginId(n), decidedBy: 'admin', ...more }));
    refused(await approve(1), 'registry/login-settled');
    refused(await approve(2, { nowMs: START_MS + DAY_MS }), 'registry/login-expired');
    refused(await approve(3, { machineKey: machineKey(9) }), 'registry/machine-mismatch');
    refused(await registry.apply(register(4, { loginId: loginId(4) })), 'registry/unknown-login');
    assert.equal(registry.view.nodes.size, 0);
  },

  'logins are forgotten an hour after their time is over': async (registry) => {
    await applied(registry, { kind: 'begin-login', login: waitingLogin(1) });
    const { expiresMs } = waitingLogin(1);
    assert.deepEqual((await applied(registry, { kind: 'sweep', nowMs: expiresMs + 3_000_000 })).changes, []);
    await applied(registry, { kind: 'sweep', nowMs: expiresMs + 3_700_000 });
    assert.equal(registry.view.logins.size, 0);
    assert.equal(registry.view.pendingLogins.size, 0);
  },

  'strangers cannot pile up logins': async (registry) => {
    const begun = await Promise.all(
      Array.from({ length: 1001 }, (_, n) => registry.apply({ kind: 'begin-login', login: waitingLogin(n + 1) })),
    );
    refused(begun.at(-1)!, 'registry/too-many-logins');
    assert.equal(registry.view.logins.size, 1000);
  },

  'logins whose time is over make room, also before they are forgotten': async (registry) => {
    await Promise.all(
      Array.from({ length: 1000 }, (_, n) => registry.apply({ kind: 'begin-login', login: waitingLogin(n + 1) })),
    );
    const { expiresMs } = waitingLogin(1);
    const late = (n: number): RegistryEvent => ({
      kind: 'begin-login',
      login: waitingLogin(n, { createdMs: expiresMs + 1, expiresMs: 2 * expiresMs }),
    });
    await applied(registry, late(2001));
    const begun = await Promise.all([registry.apply(late(2002)), registry.apply(late(2003))]);
    assert.deepEqual(
      begun.map(({ ok }) => ok),
      [true, true],
    );
    assert.deepEqual([registry.view.logins.size, registry.view.pendingLogins.size], [3, 3]);
  },
};

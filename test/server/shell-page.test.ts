// What the page of a shell that waits shows of what the machine says that is logged in to.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseNodeId } from '../../src/base/ids.ts';
import type { Control, SshCheck } from '../../src/control/ports.ts';
import type { Parts } from '../../src/server/parts.ts';
import { shellPage } from '../../src/server/shell-page.ts';

test('what nobody sees in the name of a user, and what turns its direction, is written out', () => {
  const check: SshCheck = {
    id: 'check',
    source: parseNodeId(1),
    destination: parseNodeId(2),
    sshUser: 'ro\u202eot\u200b',
    localUser: 'root',
    createdMs: 0,
    expiresMs: 1,
    state: 'pending',
  };
  const parts = { now: () => 0, tailnet: { node: () => undefined } } as unknown as Parts;
  const control = { sshChecks: () => [check] } as unknown as Control;
  const facts = new Map(shellPage(parts, control).find('check')?.facts);
  assert.equal(facts.get('As'), 'ro<U+202E>ot<U+200B>');
});

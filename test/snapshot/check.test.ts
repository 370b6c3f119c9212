// A check that no file can show: two logins whose numbers meet.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Login } from '../../src/base/ids.ts';
import { readFolder } from '../../src/config/folder.ts';
import { checkFolder } from '../../src/snapshot/check.ts';
import { userIdOf } from '../../src/snapshot/user.ts';

test('two logins with the same number are refused with snapshot/user-collision', () => {
  const text = "{ users: [{ login: 'alice@example.com', role: 'owner' }, { login: 'bob@example.com' }] }";
  const folder = readFolder(new Map([['users.json5', Buffer.from(text)]]));
  const id = userIdOf('alice@example.com' as Login);
  const users = (folder.users?.users ?? []).map((user) => Object.assign({ id }, user));
  assert.equal(users.length, 2);
  const findings = checkFolder(folder, users, undefined);
  assert.deepEqual(
    findings.map(({ code, span }) => [code, span?.start.column]),
    [['snapshot/user-collision', 58]],
  );
});

// What exceptions of the git library mean, and that a text of the host is never repeated.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { readFolder } from '../../src/source/folder.ts';
import { refusalOf } from '../../src/source/refused.ts';

test('exceptions become refusals with a code', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['NotFoundError', 'source/incomplete'],
    ['ETIMEDOUT', 'source/timeout'],
    ['PushRejectedError', 'source/push-refused'],
  ];
  for (const [name, code] of cases) {
    const refusal = refusalOf(Object.assign(new Error('token=hunter2'), { code: name }));
    assert.equal(refusal?.code, code);
    assert.doesNotMatch(refusal.reason, /hunter2/);
  }
});

test('a folder below a file cannot be read', async () => {
  const file = path.join(os.tmpdir(), `tailplane-file-${process.pid}`);
  fs.writeFileSync(file, '');
  try {
    const outcome = await readFolder(path.join(file, 'net'));
    assert.equal(outcome.ok ? '' : outcome.code, 'source/unreadable');
  } finally {
    fs.rmSync(file);
  }
});

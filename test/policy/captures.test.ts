// The captured answers of the hosted service, where a checkout has them beside it (../shared/captures): data only, and not
// part of this repository. Each case is run through the adapter in captures.ts by the captures' own check program.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

const check = path.join(import.meta.dirname, '../../../shared/captures/check.mjs');
const adapter = path.join(import.meta.dirname, 'captures.ts');
const reason = fs.existsSync(check) ? false : 'there are no captures at ../shared/captures';

test('the captured answers of the hosted service are reproduced', { skip: reason }, () => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [check, '--', process.execPath, adapter], {
    encoding: 'utf8',
    timeout: 120_000,
  });
  assert.equal(status, 0, `${stdout}${stderr}`);
  assert.match(stdout, /\n\d+ passed, 0 failed\n$/);
});

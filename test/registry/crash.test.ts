// Nothing acknowledged is lost when the process is killed. 200 kills take about half a minute of two idle cores: each is a real
// process with a start of its own. So only CI makes that many; `node test/registry/crash.ts 2000` goes on for longer.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { crash, formatTally } from './crash.ts';

const KILLS = process.env['CI'] ? 200 : 40;

test('a registry that is killed again and again keeps every promise', { timeout: 240_000 }, async (t) => {
  const tally = await crash(KILLS);
  assert.equal(tally.kills, KILLS);
  assert.ok(tally.acknowledged > 20 * KILLS, `there was no pressure: ${formatTally(tally)}`);
  t.diagnostic(formatTally(tally));
});

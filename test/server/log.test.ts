// The log as a terminal and a collector get it: faults with their reasons, and nothing in it that a stranger made up.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { test } from 'node:test';

const SOURCE = path.join(import.meta.dirname, '../../src/server/log.ts');

/** What a process that runs these statements writes to standard error. */
const written = (pretty: boolean, statements: string): string => {
  const setting = `{ level: 'info', pretty: ${pretty}, colour: false }`;
  const program = `const { createLog } = await import(${JSON.stringify(SOURCE)});\nconst log = createLog(${setting});\n${statements}`;
  const { stderr, status } = spawnSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  return stderr;
};

const STRANGER = JSON.stringify('a\u001b[2J\u009b2Jb\u202ec\u2028d\nINFO: forged');

for (const pretty of [true, false])
  test(`what a stranger says stays one line, ${pretty ? 'on a terminal' : 'for programs'}`, () => {
    const text = written(
      pretty,
      `log.info({ hostname: ${STRANGER}, tags: [${STRANGER}] }, 'refused: ' + ${STRANGER});`,
    );
    // oxlint-disable-next-line no-control-regex -- finding these is the point
    assert.doesNotMatch(text.trimEnd(), /[\u0000-\u001f\u007f-\u009f\u2028\u202e]/);
    const shown = 'a␛[2J<U+009B>2Jb<U+202E>c<U+2028>d␊INFO: forged';
    assert.equal(text.split(shown).length - 1, 3, 'the field, the list and the sentence');
  });

for (const pretty of [true, false])
  test(`a fault is told with its reason and place, ${pretty ? 'on a terminal' : 'for programs'}`, () => {
    const text = written(pretty, `log.error({ fault: new Error('the reason') }, 'task failed');`);
    assert.match(text, /the reason/);
    assert.match(text, /at file:/);
  });

test('what is named like a secret is left out', () => {
  const text = written(false, `log.info({ authKey: 'tpkey', node: { token: 'tpkey' } }, 'x');`);
  assert.doesNotMatch(text, /tpkey/);
});

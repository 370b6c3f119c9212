// How long challenge records are out, what a restart does about them, and the command that can publish them.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { accept, refuse } from '../../src/base/outcome.ts';
import { createChallenges, type ChallengeOptions } from '../../src/dns/challenges.ts';
import { createCommandProvider } from '../../src/dns/command.ts';

const NAME = '_acme-challenge.web.tail.example.com';

/** A DNS that takes everything, or nothing, and remembers what it was told. */
const stage = (change: Partial<ChallengeOptions> & { readonly written?: readonly string[] } = {}) => {
  const told: string[] = [];
  const left: string[] = [];
  let written = change.written ?? [];
  let refuses = false;
  const challenges = createChallenges({
    provider: {
      setTexts: async (name, values) => {
        await sleep(1);
        told.push(`${name.split('.')[1]}=${values.join('+')}`);
        return refuses ? refuse('dns/unreachable', 'it is away') : accept(undefined);
      },
    },
    now: Date.now,
    ledger: { read: () => written, write: (names) => (written = names) },
    onLeft: (name, reason) => left.push(`${name}: ${reason}`),
    ...change,
  });
  return { challenges, told, left, written: () => written, refuse: (now: boolean) => (refuses = now) };
};

describe('challenge records', () => {
  test('two of one name are out together, one after the other, and go when their time is over', async () => {
    let nowMs = 0;
    const { challenges, told, written } = stage({ keepMs: 60, now: () => nowMs });
    const outcomes = await Promise.all(['x', 'y'].map((value) => challenges.publish({ name: NAME, value })));
    assert.ok(outcomes.every(({ ok }) => ok));
    assert.deepEqual(told, ['web=x', 'web=x+y']);
    assert.deepEqual(written(), [NAME]);
    nowMs = 60;
    const endMs = Date.now() + 5_000;
    while (written().length > 0 && Date.now() < endMs) await sleep(10);
    assert.equal(told.at(-1), 'web=');
    assert.deepEqual(written(), []);
  });

  test('what an earlier server left is taken away, and so is what is out when this one stops', async () => {
    const { challenges, told, written } = stage({ written: ['_acme-challenge.old.tail.example.com'] });
    assert.ok((await challenges.publish({ name: NAME, value: 'x' })).ok);
    assert.deepEqual([...told].sort(), ['old=', 'web=x']);
    await challenges.close();
    assert.deepEqual(told.slice(2), ['web=']);
    assert.deepEqual(written(), []);
    const refused = await challenges.publish({ name: NAME, value: 'z' });
    assert.equal(!refused.ok && refused.code, 'dns/busy');
  });

  test('a refusal is passed on; what could not be taken away is told and stays written down', async () => {
    const { challenges, left, written, refuse } = stage();
    refuse(true);
    const refused = await challenges.publish({ name: NAME, value: 'x' });
    assert.equal(!refused.ok && refused.code, 'dns/unreachable');
    await challenges.close();
    assert.deepEqual(left, [`${NAME}: it is away`]);
    assert.deepEqual(written(), [NAME]);
  });

  test('a name too many is refused', async () => {
    const { challenges, told } = stage();
    const all = Array.from({ length: 257 }, (_, i) => challenges.publish({ name: `_acme-challenge.n${i}.example.com`, value: 'x' })); // prettier-ignore
    const refused = (await Promise.all(all)).filter(({ ok }) => !ok);
    assert.equal(refused.length, 1);
    assert.equal(told.length, 256);
    await challenges.close();
  });

  test('a server that does not answer holds up nobody for long at the end', async () => {
    const { challenges } = stage({ provider: { setTexts: () => new Promise(() => {}) } });
    void challenges.publish({ name: NAME, value: 'x' });
    await sleep(1);
    const start = performance.now();
    await challenges.close();
    assert.ok(performance.now() - start < 3_000);
  });
});

test('a command is given name and texts as they are, without the secrets of the server, and its failures are told', async () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tailplane-command-'));
  const write = (name: string, text: string): string => {
    const file = path.join(folder, name);
    fs.writeFileSync(file, `#!/bin/sh\n${text}\n`, { mode: 0o700 });
    return file;
  };
  try {
    const failures: unknown[] = [];
    const run = async (file: string, limitMs?: number) =>
      createCommandProvider({
        file,
        env: { ...process.env, TAILPLANE_DNS_KEY: 'secret', ZONE_TOKEN: 'own' },
        onFailure: (exitCode, printed) => failures.push([exitCode, printed]),
        ...(limitMs !== undefined && { limitMs }),
      }).setTexts(NAME, ['a b', '$(x)']);
    const out = path.join(folder, 'out');
    const good = write('good', `printf '%s|' "$@" "$ZONE_TOKEN" "$TAILPLANE_DNS_KEY" > ${out}`);
    assert.deepEqual(await run(good), accept(undefined));
    assert.equal(fs.readFileSync(out, 'utf8'), `set|${NAME}|a b|$(x)|own||`);
    for (const [file, limitMs, words] of [
      [write('bad', 'echo no such zone >&2; exit 3'), undefined, /ended with 3/],
      [write('slow', 'exec sleep 20'), 50, /took too long/],
      [path.join(folder, 'absent'), undefined, /could not run/],
    ] as const) {
      const outcome = await run(file, limitMs);
      assert.equal(!outcome.ok && outcome.code, 'dns/command');
      assert.match(outcome.ok ? '' : outcome.reason, words);
      assert.ok(!outcome.ok && !outcome.reason.includes('no such zone'));
    }
    assert.deepEqual(failures[0], [3, 'no such zone']);
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
});

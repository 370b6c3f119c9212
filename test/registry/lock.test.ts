// One server per data folder, and no lock that outlives its holder.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { lockFolder, lockHolder } from '../../src/registry/lock.ts';

const LOCK = path.join(import.meta.dirname, '../../src/registry/lock.ts');

/** A process that takes the lock, says so, and waits to be killed. */
const HOLDER = `
  const { lockFolder } = await import(${JSON.stringify(LOCK)});
  try {
    lockFolder(process.argv[1], 'the other server');
    console.log('held');
    setInterval(() => undefined, 1e9);
  } catch (error) {
    console.log(error.code);
  }
`;

const hold = async (folder: string): Promise<{ said: string; pid: number; kill: () => Promise<void> }> => {
  const child = spawn(process.execPath, ['--input-type=module', '--eval', HOLDER, folder], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [said] = (await once(child.stdout, 'data')) as [Buffer];
  return {
    said: said.toString().trim(),
    pid: child.pid ?? 0,
    kill: async () => {
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
    },
  };
};

test('the second server is told who the first one is; a killed one does not block', async () => {
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'tailplane-lock-'));
  try {
    const other = await hold(folder);
    assert.equal(other.said, 'held');
    const name = `process ${other.pid} on ${os.hostname()} (the other server)`;
    assert.equal(lockHolder(folder), name);
    assert.throws(() => lockFolder(folder, 'this one'), {
      code: 'registry/in-use',
      message: `The data folder ${folder} is in use by ${name}.`,
    });
    await other.kill();
    assert.equal(lockHolder(folder), undefined);
    const lock = lockFolder(folder, 'this one');
    const third = await hold(folder);
    assert.equal(third.said, 'registry/in-use');
    lock.release();
    assert.equal(lockHolder(folder), undefined);
  } finally {
    await fs.rm(folder, { recursive: true });
  }
});

test('of many servers that start at once, one gets the folder', async () => {
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'tailplane-lock-'));
  try {
    const all = await Promise.all(Array.from({ length: 5 }, () => hold(folder)));
    assert.deepEqual(all.map(({ said }) => said).sort(), ['held', ...Array<string>(4).fill('registry/in-use')]);
    await Promise.all(all.filter(({ said }) => said === 'held').map(({ kill }) => kill()));
  } finally {
    await fs.rm(folder, { recursive: true });
  }
});

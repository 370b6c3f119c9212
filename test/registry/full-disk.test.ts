// A real disk that is full. fault.test.ts simulates every other way of failing; this one goes through the whole server.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

const asRoot = process.getuid?.() === 0 ? [] : ['--user', '--map-root-user'];
/** Runs what follows with mounts that nobody else sees. */
const OWN_MOUNTS = [...asRoot, '--mount', '--'];

const skip =
  spawnSync('unshare', [...OWN_MOUNTS, 'true']).status === 0 ? false : 'this system lets nobody make a mount namespace';

test(
  'a full disk refuses new machines, disturbs nobody, and is over when it is over',
  { skip, timeout: 60_000 },
  () => {
    const root = fs.mkdtempSync(path.join(os.tmpdir(), 'tp-full-'));
    try {
      const script = path.join(import.meta.dirname, 'full-disk.ts');
      const { status, stdout, stderr } = spawnSync('unshare', [...OWN_MOUNTS, process.execPath, script, root], {
        encoding: 'utf8',
        timeout: 50_000,
      });
      assert.equal(status, 0, `${stdout}${stderr}`);
    } finally {
      fs.rmSync(root, { recursive: true, force: true });
    }
  },
);

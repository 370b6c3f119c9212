// The contract, for each adapter that this version has.

import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { openMemoryRegistry } from '../../src/registry/memory.ts';
import { openRegistry } from '../../src/registry/open.ts';
import { contract } from './contract.ts';
import { START_MS } from './sample.ts';

contract('the registry in memory', async () => {
  const registry = openMemoryRegistry(() => START_MS);
  return { registry, end: () => registry.close() };
});

contract('the registry of a data folder', async () => {
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'tailplane-registry-'));
  const registry = await openRegistry({ folder, holder: 'a test', now: () => START_MS, warn: () => undefined });
  return {
    registry,
    end: async () => {
      await registry.close();
      await fs.rm(folder, { recursive: true });
    },
  };
});

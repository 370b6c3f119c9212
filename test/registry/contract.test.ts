// The contract, for each adapter that this version has.

import assert from 'node:assert/strict';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { openMemoryRegistry } from '../../src/registry/memory.ts';
import { openRegistry } from '../../src/registry/open.ts';
import type { Registry } from '../../src/registry/registry.ts';
import { contract } from './contract.ts';
import { START_MS } from './sample.ts';

contract(
  'the registry in memory',
  async () => {
    const registry = openMemoryRegistry(() => START_MS);
    return { registry, end: () => registry.close() };
  },
  false,
);

contract(
  'the registry of a data folder',
  async () => {
    const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'tailplane-registry-'));
    const open = (): Promise<Registry> =>
      openRegistry({
        folder,
        holder: 'a test',
        now: () => START_MS,
        lastSaveMs: 60_000,
        warn: ({ message }) => assert.fail(message),
      });
    let registry = await open();
    return {
      registry,
      reopen: async () => {
        await registry.close();
        registry = await open();
        return registry;
      },
      end: async () => {
        await registry.close();
        await fs.rm(folder, { recursive: true });
      },
    };
  },
  true,
);

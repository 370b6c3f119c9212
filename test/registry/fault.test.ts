// A disk that is full, read-only, failing or slow: registrations get a temporary refusal, everything else goes on, and the
// service comes back by itself. And files that can't be trusted: the start stops and says exactly why.

import assert from 'node:assert/strict';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Outcome } from '../../src/base/outcome.ts';
import { RegistryFault } from '../../src/registry/fault.ts';
import { openRegistry, type RegistrySettings } from '../../src/registry/open.ts';
import type { Registry, RegistryWarning } from '../../src/registry/registry.ts';
import { TestDisk } from './disk.ts';
import { nodeKey, register, START_MS, authKey, keyId } from './sample.ts';
import { decide, MAX_KEYS } from '../../src/registry/decide.ts';
import { emptyState } from '../../src/registry/state.ts';
import type { NodeId } from '../../src/base/ids.ts';

const FOLDER = '/data';
const JOURNAL = '/data/registry-0000000000000001.journal';

const open = (disk: TestDisk, more: Partial<RegistrySettings> = {}): Promise<Registry> =>
  openRegistry({
    folder: FOLDER,
    holder: 'a test',
    now: () => START_MS,
    warn: () => undefined,
    disk,
    snapshotIntervalMs: 1e9,
    ...more,
  });

const codeOf = (outcome: Outcome<unknown>): string => (outcome.ok ? 'ok' : outcome.code);

const becomes = async (registry: Registry, state: string): Promise<void> => {
  const deadline = Date.now() + 5000;
  while (registry.status().state !== state) {
    assert.ok(Date.now() < deadline, `still ${registry.status().state} after 5 s, not ${state}`);
    await sleep(10);
  }
};

const failing = (code: string) => (): void => {
  throw Object.assign(new Error(`${code}: simulated`), { code });
};

const FAULTS: readonly [name: string, code: string, on: RegExp][] = [
  ['a full disk', 'ENOSPC', /^write/],
  ['a full disk that says so late', 'ENOSPC', /^sync/],
  ['a disk that fails to sync', 'EIO', /^sync/],
  ['a disk that fails to write', 'EIO', /^write/],
  ['a disk that became read-only', 'EROFS', /./],
];

for (const [name, code, on] of FAULTS) {
  test(`${name}: a refusal, no disturbance, and back by itself`, async () => {
    const disk = new TestDisk();
    const warnings: RegistryWarning[] = [];
    const registry = await open(disk, { warn: (warning) => warnings.push(warning) });
    const before = await registry.apply(register(1));
    assert.ok(before.ok && before.value.node);
    const heard: string[] = [];
    registry.subscribe((changes) => heard.push(...changes.map(({ kind }) => kind)));

    disk.before = (_n, what) => {
      if (on.test(what)) failing(code)();
    };
    const outcomes = await Promise.all([2, 3, 4].map((n) => registry.apply(register(n))));
    assert.deepEqual(outcomes.map(codeOf), Array(3).fill('registry/unavailable'));
    assert.match(outcomes[0]!.ok ? '' : outcomes[0]!.reason, /cannot save registrations right now/);
    assert.equal(codeOf(await registry.apply(register(5))), 'registry/unavailable');
    const status = registry.status();
    assert.equal(status.state, 'refusing');
    assert.match(status.problem ?? '', new RegExp(code));
    assert.equal(registry.view.nodes.size, 1, 'nothing shows that is not durable');
    registry.note(before.value.node.id, { homeDerp: 7 });
    assert.equal(registry.view.nodes.get(before.value.node.id)?.homeDerp, 7, 'clients that are connected go on');
    assert.deepEqual(heard, ['node-changed']);

    disk.before = () => undefined;
    await becomes(registry, 'ready');
    assert.equal(codeOf(await registry.apply(register(2))), 'ok');
    assert.deepEqual(
      warnings.map((warning) => warning.code),
      ['registry/unavailable', 'registry/disk-returned'],
    );
    const revived = await open(disk.afterCrash({ kind: 'all' }));
    assert.deepEqual(
      [...revived.view.byNodeKey.keys()],
      [nodeKey(1), nodeKey(2)],
      'what was refused did not come back',
    );
  });
}

test('a slow disk: a refusal in time, and what was on its way arrives once', async () => {
  const disk = new TestDisk();
  const registry = await open(disk, { patienceMs: 60 });
  assert.equal(codeOf(await registry.apply(register(1))), 'ok');
  let letGo = (): void => undefined;
  const held = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  disk.before = (_n, what) => (what.startsWith('sync') ? held : undefined);
  const began = Date.now();
  const first = registry.apply(register(2));
  await sleep(10);
  const second = registry.apply(register(3));
  assert.deepEqual([codeOf(await first), codeOf(await second)], ['registry/unavailable', 'registry/unavailable']);
  assert.ok(Date.now() - began < 1000);
  assert.equal(registry.status().state, 'slow');
  assert.equal(codeOf(await registry.apply(register(4))), 'registry/unavailable');
  letGo();
  disk.before = () => undefined;
  await becomes(registry, 'ready');
  // The client tries again, as it was told.
  const again = await Promise.all([registry.apply(register(2)), registry.apply(register(3))]);
  assert.deepEqual(again.map(codeOf), ['ok', 'ok']);
  assert.equal(registry.view.nodes.size, 3);
});

test('more events than the disk can take are refused at once', async () => {
  const disk = new TestDisk();
  const registry = await open(disk);
  let letGo = (): void => undefined;
  const held = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  disk.before = (_n, what) => (what.startsWith('sync') ? held : undefined);
  const all = Array.from({ length: 9000 }, (_, n) => registry.apply(register(n + 1)));
  letGo();
  const codes = (await Promise.all(all)).map(codeOf);
  assert.equal(codes.at(-1), 'registry/busy');
  assert.equal(codes.filter((code) => code === 'ok').length, registry.view.nodes.size);
});

test('a file that cannot be written costs nothing: the journal has it', async () => {
  const disk = new TestDisk();
  const registry = await open(disk);
  await registry.apply(register(1));
  for (const what of ['create /data/registry-', 'write /data/registry.db', 'rename', 'sync folder']) {
    disk.before = (_n, operation) => {
      if (operation.startsWith(what)) failing('ENOSPC')();
    };
    await registry.apply(register(2, { expiresMs: START_MS + what.length }));
    await assert.rejects(registry.checkpoint(), /ENOSPC/, what);
    disk.before = () => undefined;
    assert.equal(codeOf(await registry.apply(register(3, { capver: what.length }))), 'ok');
    const revived = await open(disk.afterCrash({ kind: 'none' }));
    assert.deepEqual([...revived.view.byNodeKey.keys()], [...registry.view.byNodeKey.keys()], what);
  }
  await registry.checkpoint();
  assert.equal(registry.status().journalBytes, 0);
});

test('segments that the file holds may be left behind, in any number', async () => {
  const disk = new TestDisk();
  const registry = await open(disk);
  const keep = async (name: string): Promise<Uint8Array> => (await disk.read(`/data/${name}`)) ?? new Uint8Array(0);
  await registry.apply(register(1));
  const first = await keep('registry-0000000000000001.journal');
  await registry.checkpoint();
  await registry.apply(register(2));
  await registry.checkpoint();
  await registry.apply(register(3));
  // The first was not removed, the second was.
  const file = await disk.open('/data/registry-0000000000000001.journal');
  await file.write(first, 0);
  const revived = await open(disk.afterCrash({ kind: 'all' }));
  assert.deepEqual([...revived.view.byNodeKey.keys()], [1, 2, 3].map(nodeKey));
  await revived.close();
});

const faultOf = async (opening: Promise<unknown>): Promise<RegistryFault> => {
  const fault: unknown = await opening.then(
    () => undefined,
    (error: unknown) => error,
  );
  assert.ok(fault instanceof RegistryFault, `not a fault: ${String(fault)}`);
  return fault;
};

describe('files that cannot be trusted stop the start', () => {
  const threeCommits = async (): Promise<TestDisk> => {
    const disk = new TestDisk();
    const registry = await open(disk);
    for (const n of [1, 2, 3]) await registry.apply(register(n));
    return disk.afterCrash({ kind: 'none' });
  };

  test('a damaged middle of the journal', async () => {
    const disk = await threeCommits();
    disk.flip(JOURNAL, 100);
    const before = disk.operations;
    const fault = await faultOf(open(disk));
    assert.equal(fault.code, 'registry/journal-damaged');
    assert.equal(
      fault.message,
      'registry-0000000000000001.journal is damaged at byte 24: a checksum is wrong; whole records follow, so this is not the trace of a crash.',
    );
    assert.match(fault.help, /tailplane restore FILE/);
    assert.equal(disk.operations, before, 'nothing was touched');
  });

  test('a torn end is cut, and the cut is told', async () => {
    const disk = await threeCommits();
    const warnings: RegistryWarning[] = [];
    disk.flip(JOURNAL, disk.sizeBytes(JOURNAL) - 1);
    const registry = await open(disk, { warn: (warning) => warnings.push(warning) });
    assert.equal(registry.view.nodes.size, 2);
    assert.equal(warnings[0]?.code, 'registry/tail-cut');
    assert.match(warnings[0]?.message ?? '', /the last write was not finished \(a checksum is wrong at byte \d+\)/);
  });

  test('a journal whose beginning is missing', async () => {
    const disk = new TestDisk();
    const registry = await open(disk);
    await registry.apply(register(1));
    await registry.checkpoint();
    await registry.apply(register(2));
    await disk.remove('/data/registry.db');
    const fault = await faultOf(open(disk));
    assert.equal(fault.code, 'registry/journal-gap');
    assert.equal(fault.message, 'The file holds records up to 0, but the journal begins with 2.');
  });

  test('a file that is newer than its journal', async () => {
    const disk = await threeCommits();
    const other = await open(disk.afterCrash({ kind: 'all' }));
    for (const n of [4, 5]) await other.apply(register(n));
    const bytes = await other.exportFile();
    const file = await disk.open('/data/registry.db');
    await file.write(bytes, 0);
    const fault = await faultOf(open(disk));
    assert.equal(fault.code, 'registry/journal-gap');
    assert.equal(fault.message, 'The file holds records up to 5, but the journal ends with 3.');
  });

  test('a file that is not a registry, or is damaged', async () => {
    for (const [bytes, why] of [
      [Buffer.from('not a database at all, but long enough to be looked at'.repeat(100)), /not a database/],
      [Buffer.alloc(0), /not a registry/],
    ] as const) {
      const disk = new TestDisk();
      const file = await disk.open('/data/registry.db');
      await file.write(bytes, 0);
      const fault = await faultOf(open(disk));
      assert.equal(fault.code, 'registry/file-damaged');
      assert.match(fault.message, why);
    }
    const disk = new TestDisk();
    const registry = await open(disk);
    for (let n = 1; n <= 200; n++) await registry.apply(register(n));
    await registry.close();
    for (let at = 4096; at < disk.sizeBytes('/data/registry.db'); at += 4096) disk.flip('/data/registry.db', at);
    assert.equal((await faultOf(open(disk))).code, 'registry/file-damaged');
  });
});

describe('a data folder that cannot be used', () => {
  const inFolder = async (work: (folder: string) => Promise<void>): Promise<void> => {
    const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'tailplane-registry-'));
    try {
      await work(folder);
    } finally {
      await fs.rm(folder, { recursive: true });
    }
  };
  const openAt = (folder: string): Promise<Registry> =>
    openRegistry({ folder, holder: 'http://127.0.0.1:8080', now: Date.now, warn: () => undefined });

  test('is one that another server uses, which is named', () =>
    inFolder(async (folder) => {
      const first = await openAt(folder);
      const fault = await faultOf(openAt(folder));
      assert.equal(fault.code, 'registry/in-use');
      assert.equal(
        fault.message,
        `The data folder ${folder} is in use by process ${process.pid} on ${os.hostname()} (http://127.0.0.1:8080).`,
      );
      await first.close();
      await (await openAt(folder)).close();
    }));

  test('is one that is no folder', () =>
    inFolder(async (folder) => {
      await fs.writeFile(`${folder}/data`, '');
      assert.equal((await faultOf(openAt(`${folder}/data`))).code, 'registry/not-writable');
    }));

  test('is never readable by others', () =>
    inFolder(async (folder) => {
      const registry = await openAt(`${folder}/data`);
      await registry.apply(register(1));
      await registry.checkpoint();
      await registry.apply(register(2));
      assert.equal((await fs.stat(`${folder}/data`)).mode & 0o777, 0o700);
      const names = await fs.readdir(`${folder}/data`);
      assert.ok(names.length >= 3);
      for (const name of names) assert.equal((await fs.stat(`${folder}/data/${name}`)).mode & 0o077, 0, name);
      await registry.close();
    }));
});

test('what could not be written in the background is told, once for each try', async () => {
  const disk = new TestDisk();
  const told: string[] = [];
  let nowMs = START_MS;
  const registry = await open(disk, {
    now: () => nowMs,
    snapshotIntervalMs: 5,
    backups: { everyMs: 1, keep: 2 },
    warn: ({ code }) => told.push(code),
  });
  const hears = async (code: string): Promise<void> => {
    for (let tries = 0; !told.includes(code); tries++) {
      assert.ok(tries < 300, `never heard of ${code}, only of ${told.join(', ')}`);
      nowMs += 3_600_000;
      await registry.apply(register(1, { capver: 100 + tries }));
      registry.note([...registry.view.nodes.keys()][0] as NodeId, { lastSeenMs: nowMs });
      await new Promise((resolve) => {
        setTimeout(resolve, 10);
      });
    }
  };
  disk.before = (_n, operation) => {
    if (operation.includes('/backups')) failing('ENOSPC')();
  };
  await hears('registry/backup-failed');
  disk.before = (_n, operation) => {
    if (operation.includes('registry.db')) failing('ENOSPC')();
  };
  await hears('registry/snapshot-failed');
  disk.before = () => undefined;
  await registry.close();
});

test('there is an end to keys', () => {
  const full = {
    ...emptyState(),
    keys: new Map(Array.from({ length: MAX_KEYS }, (_, i) => [keyId(`k${i}`), authKey(`k${i}`)] as const)),
  };
  assert.equal(codeOf(decide(full, { kind: 'create-key', key: authKey('more') })), 'registry/too-many-keys');
});

// The server dies before any single operation on the disk, and the disk keeps all, none or any part of what was not
// synced. Whatever the case, the next start finds every acknowledged event, at most one more, and nothing twice.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import type { Prefix } from '../../src/base/address.ts';
import type { RegistryEvent } from '../../src/registry/event.ts';
import { openRegistry } from '../../src/registry/open.ts';
import type { Registry, RegistryView } from '../../src/registry/registry.ts';
import { seeded, TestDisk, type Crash } from './disk.ts';
import { assignment, authKey, keyId, lasting, loginId, nodeKey, register, START_MS, waitingLogin } from './sample.ts';
import { parseNodeId } from '../../src/base/ids.ts';

const FOLDER = '/data';

const open = (disk: TestDisk): Promise<Registry> =>
  openRegistry({
    folder: FOLDER,
    holder: 'a test',
    now: () => START_MS,
    warn: () => undefined,
    disk,
    snapshotIntervalMs: 1e9,
    backups: { everyMs: 1, keep: 2 },
  });

const once = { id: keyId('once'), reusable: false };
const id = (n: number): ReturnType<typeof parseNodeId> => parseNodeId(n);

/** A day in the life: a null writes the file. */
const STEPS: readonly (RegistryEvent | null)[] = [
  { kind: 'create-key', key: authKey('once') },
  register(1, { key: once }),
  register(2, { authorized: false }),
  { kind: 'begin-login', login: waitingLogin(3) },
  null,
  register(3, { loginId: loginId(3), decidedBy: 'admin' }),
  { kind: 'authorize', id: id(2), authorized: true },
  register(1, { nodeKey: nodeKey(101), oldNodeKey: nodeKey(1), key: { id: keyId('other'), reusable: true } }),
  { kind: 'remove', id: id(2), cause: 'administrator' },
  null,
  register(4, { hostinfo: { Hostname: 'machine1' } }),
  { kind: 'approve-routes', id: id(1), routes: ['10.0.0.0/8' as Prefix] },
  { kind: 'rename', id: id(4), name: 'front', assignment },
  { kind: 'revoke-key', id: keyId('once'), nowMs: START_MS },
  null,
  { kind: 'set-expiry', id: id(4), expiresMs: START_MS },
];

/** Everything that has to survive, in a form that compares. */
const pictureOf = (view: RegistryView): unknown => ({
  nodes: [...view.nodes.values()].sort((a, b) => a.id - b.id).map(lasting),
  keys: [...view.keys.values()],
  uses: [...view.keyUses.values()].sort((a, b) => (a.keyId < b.keyId ? -1 : 1)),
  logins: [...view.logins.values()],
  pending: [...view.pendingLogins],
  names: Object.fromEntries([...view.byName.keys()].sort().map((name) => [name, view.byName.get(name)])),
  addresses: Object.fromEntries([...view.byAddress.keys()].sort().map((key) => [key, view.byAddress.get(key)])),
});

/** Runs the day until it ends or the disk dies; the pictures after each acknowledged event. */
const live = async (disk: TestDisk, pictures: unknown[]): Promise<void> => {
  const registry = await open(disk);
  pictures.push(pictureOf(registry.view));
  for (const step of STEPS) {
    if (step === null) await registry.checkpoint();
    else {
      const outcome = await registry.apply(step);
      if (!outcome.ok) throw new Error(outcome.code);
      pictures.push(pictureOf(registry.view));
    }
  }
  await registry.close();
};

const undisturbed: unknown[] = [];
const whole = new TestDisk();
const operations: string[] = [];
whole.before = (_n, what) => {
  operations.push(what);
};
await live(whole, undisturbed);

const CRASHES: readonly [name: string, make: (seed: number) => Crash][] = [
  ['nothing that was not synced', () => ({ kind: 'none' })],
  ['all that was written', () => ({ kind: 'all' })],
  ...Array.from({ length: 8 }, (_, i): [string, (seed: number) => Crash] => [
    `some part of it, draw ${i + 1}`,
    (seed) => ({ kind: 'torn', random: seeded(1000 * i + seed) }),
  ]),
];

for (const [name, crash] of CRASHES) {
  test(`death before each of ${operations.length} operations, the disk keeps ${name}`, async () => {
    assert.ok(operations.length > 60, 'the day does something');
    for (let boundary = 1; boundary <= operations.length; boundary++) {
      const at = `before operation ${boundary} (${operations[boundary - 1]})`;
      const disk = new TestDisk();
      disk.before = (n) => {
        if (n === boundary) disk.die();
      };
      const seen: unknown[] = [];
      await live(disk, seen).catch(() => undefined);
      const acknowledged = Math.max(0, seen.length - 1);
      const revived = await open(disk.afterCrash(crash(boundary)));
      const found = pictureOf(revived.view);
      const possible = undisturbed.slice(acknowledged, acknowledged + 2);
      const match = possible.findIndex((picture) => isDeepStrictEqual(picture, found));
      if (match < 0) assert.deepEqual(found, possible[0], `${at}: not as acknowledged`);
      // And it works: the next machine gets what nobody has.
      const next = await revived.apply(register(77));
      assert.ok(next.ok && next.value.node, at);
      const { view } = revived;
      assert.equal(
        new Set([...view.nodes.values()].flatMap(({ addresses }) => addresses)).size,
        view.nodes.size * 2,
        at,
      );
      await revived.close();
    }
  });
}

test('the same holds when it dies again while it starts', async () => {
  const disk = new TestDisk();
  disk.before = (n) => {
    if (n === operations.length - 6) disk.die();
  };
  const seen: unknown[] = [];
  await live(disk, seen).catch(() => undefined);
  let next = disk.afterCrash({ kind: 'torn', random: seeded(7) });
  for (let boundary = 1; boundary < 6; boundary++) {
    const dying = next;
    dying.before = (n) => {
      if (n === boundary) dying.die();
    };
    await open(dying).catch(() => undefined);
    dying.die();
    next = dying.afterCrash({ kind: 'torn', random: seeded(boundary) });
  }
  const revived = await open(next);
  const found = pictureOf(revived.view);
  const possible = undisturbed.slice(seen.length - 1, seen.length + 1);
  assert.ok(possible.some((picture) => isDeepStrictEqual(picture, found)));
  await revived.close();
});

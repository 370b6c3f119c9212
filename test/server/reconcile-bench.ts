// A reconcile loop on a real repository with eight registered nodes, for the tests of what is taken and what is not.

import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { Address } from '../../src/base/address.ts';
import { parseNodeId, stableIdOf, type Tag } from '../../src/base/ids.ts';
import type { PolicyNode } from '../../src/policy/facts.ts';
import type { GuardSide } from '../../src/review/guard.ts';
import { openReconcile, type Reconcile, type ReconcileEvent, type ReconcilePorts } from '../../src/server/reconcile.ts';
import type { Snapshot } from '../../src/snapshot/snapshot.ts';
import { userIdOf } from '../../src/snapshot/user.ts';
import { openSource } from '../../src/source/open.ts';
import { startWriter, tempDir, type Writer } from '../source/githost.ts';

export const USERS = `{ users: [{ login: 'alice@example.com', role: 'owner' }, { login: 'bob@example.com', role: 'member' }] }`;
export const GOOD = { 'tailnet.json5': `{ name: 'example.com' }`, 'users.json5': USERS };
export const BROKEN = { 'tailnet.json5': `{ name: ` };

const nodeOf = (id: number, owner: string | null, tags: readonly string[] = []): PolicyNode => ({
  id: parseNodeId(id),
  stableId: stableIdOf(parseNodeId(id)),
  name: `n${id}.tail.internal`,
  user: owner === null ? null : userIdOf(owner as Parameters<typeof userIdOf>[0]),
  tags: tags as readonly Tag[],
  addresses: [`100.64.0.${id}` as Address],
  routableIPs: [],
  approvedRoutes: [],
  createdMs: id,
});

/** Alice's laptop and phone, and six web servers. */
const NODES = [
  nodeOf(1, 'alice@example.com'),
  nodeOf(2, 'alice@example.com'),
  ...Array.from({ length: 6 }, (_, i) => nodeOf(10 + i, null, ['tag:web'])),
];

export const sideOf = (snapshot: Snapshot): GuardSide => ({
  snapshot,
  nodes: NODES,
  userOf: (id) => snapshot.userById.get(id),
});

export interface Bench {
  readonly writer: Writer;
  readonly events: ReconcileEvent[];
  readonly dataDir: string;
  readonly start: (more?: Partial<ReconcilePorts>) => Promise<Reconcile>;
  /** `kind` of each event since the last call. */
  readonly heard: () => string[];
}

export const bench = (t: TestContext): Bench => {
  const dir = tempDir(t, 'unused');
  const writer = startWriter(t, dir);
  const dataDir = tempDir(t, 'data');
  const events: ReconcileEvent[] = [];
  let heard = 0;
  return {
    writer,
    events,
    dataDir,
    start: async (more = {}) => {
      const opened = await openSource(`file://${writer.dir}`, { dataDir });
      assert.ok(opened.ok);
      const reconcile = await openReconcile({
        source: opened.value,
        origin: writer.dir,
        dataDir,
        now: Date.now,
        sideOf,
        onEvent: (event) => events.push(event),
        onFailing: () => {},
        onFault: () => {},
        ...more,
      });
      assert.ok(reconcile.ok, reconcile.ok ? '' : reconcile.reason);
      t.after(() => reconcile.value.close());
      return reconcile.value;
    },
    heard: () => {
      const news = events.slice(heard).map(({ transition }) => transition.kind);
      heard = events.length;
      return news;
    },
  };
};

export const commit = (
  writer: Writer,
  files: Readonly<Record<string, string | undefined>>,
  message = 'Change',
): string => writer.commit(files, { push: false, message });

export const sync = async (reconcile: Reconcile): Promise<string> => {
  const status = await reconcile.sync();
  if (!status.ok) return status.code;
  const { pending } = status.value;
  return pending
    ? `${pending.state} at ${pending.step}: ${pending.obstacles.map(({ code }) => code).join(' ')}`
    : status.value.state;
};

/** Cuts most machines off, so that the guard holds it. */
export const CUT = {
  'policy.json5': `{ tagOwners: { 'tag:web': [] }, acls: [{ action: 'accept', src: ['alice@example.com'], dst: ['bob@example.com:22', 'alice@example.com:*'] }] }`,
};

// The registry's state and the one function that changes it. `fold` keeps the indexes true; it works on the real state and
// on a draft alike. A draft reads through to the state and keeps its own writes: a batch of events is decided on a draft,
// made durable, and only then folded into the state, so that nobody ever reads what the disk may still refuse.

import type { Address } from '../base/address.ts';
import type { NodeId } from '../base/ids.ts';
import type { MachineKey, NodeKey } from '../keys/text.ts';
import type { RegistryChange } from './change.ts';

import type { KeyId, KeyRecord, KeyUse, LoginId, LoginRecord, NodeField, NodeRecord, Rows } from './record.ts';

export interface Table<K, V> {
  readonly get: (key: K) => V | undefined;
  readonly has: (key: K) => boolean;
  readonly set: (key: K, value: V) => unknown;
  readonly delete: (key: K) => unknown;
  readonly values: () => Iterable<V>;
  readonly size: number;
}

export interface Tables {
  readonly nodes: Table<NodeId, NodeRecord>;
  readonly byNodeKey: Table<NodeKey, NodeId>;
  readonly byMachineKey: Table<MachineKey, readonly NodeId[]>;
  readonly byName: Table<string, NodeId>;
  readonly byAddress: Table<Address, NodeId>;
  readonly keys: Table<KeyId, KeyRecord>;
  readonly keyUses: Table<KeyId, KeyUse>;
  readonly logins: Table<LoginId, LoginRecord>;
  /** By `askerOf`. */
  readonly pendingLogins: Table<string, LoginId>;
  /** The id that the next node gets: one more than any node ever had. */
  nextNodeId: number;
  /** First address of the node that got its addresses last; see addresses.ts. */
  cursor: Address | null;
  version: number;
}

export interface RegistryState extends Tables {
  readonly nodes: Map<NodeId, NodeRecord>;
  readonly byNodeKey: Map<NodeKey, NodeId>;
  readonly byMachineKey: Map<MachineKey, readonly NodeId[]>;
  readonly byName: Map<string, NodeId>;
  readonly byAddress: Map<Address, NodeId>;
  readonly keys: Map<KeyId, KeyRecord>;
  readonly keyUses: Map<KeyId, KeyUse>;
  readonly logins: Map<LoginId, LoginRecord>;
  readonly pendingLogins: Map<string, LoginId>;
}

export const emptyState = (): RegistryState => ({
  nodes: new Map(),
  byNodeKey: new Map(),
  byMachineKey: new Map(),
  byName: new Map(),
  byAddress: new Map(),
  keys: new Map(),
  keyUses: new Map(),
  logins: new Map(),
  pendingLogins: new Map(),
  nextNodeId: 1,
  cursor: null,
  version: 0,
});

const overlay = <K, V>(base: Table<K, V>): Table<K, V> => {
  const written = new Map<K, V>();
  const deleted = new Set<K>();
  const get = (key: K): V | undefined => written.get(key) ?? (deleted.has(key) ? undefined : base.get(key));
  return {
    get,
    has: (key) => get(key) !== undefined,
    set: (key, value) => {
      written.set(key, value);
      deleted.add(key);
    },
    delete: (key) => {
      written.delete(key);
      deleted.add(key);
    },
    // Only small tables are walked on a draft: logins, by the sweep.
    values: () => [...base.values(), ...written.values()],
    get size() {
      return base.size + written.size;
    },
  };
};

export const draftOf = (state: Tables): Tables => ({
  nodes: overlay(state.nodes),
  byNodeKey: overlay(state.byNodeKey),
  byMachineKey: overlay(state.byMachineKey),
  byName: overlay(state.byName),
  byAddress: overlay(state.byAddress),
  keys: overlay(state.keys),
  keyUses: overlay(state.keyUses),
  logins: overlay(state.logins),
  pendingLogins: overlay(state.pendingLogins),
  nextNodeId: state.nextNodeId,
  cursor: state.cursor,
  version: state.version,
});

/** Node keys are public, so a login belongs to the machine and the key together. */
export const askerOf = (machineKey: MachineKey, nodeKey: NodeKey): string => `${machineKey} ${nodeKey}`;

const link = (tables: Tables, node: NodeRecord): void => {
  tables.byNodeKey.set(node.nodeKey, node.id);
  tables.byName.set(node.name, node.id);
  for (const address of node.addresses) tables.byAddress.set(address, node.id);
};

const unlink = (tables: Tables, node: NodeRecord): void => {
  tables.byNodeKey.delete(node.nodeKey);
  tables.byName.delete(node.name);
  for (const address of node.addresses) tables.byAddress.delete(address);
};

const INDEXED: ReadonlySet<NodeField> = new Set(['nodeKey', 'name', 'addresses']);

/** Takes one change that was decided on these tables. */
export const fold = (tables: Tables, change: RegistryChange): void => {
  tables.version++;
  switch (change.kind) {
    case 'node-added': {
      const { node } = change;
      tables.nodes.set(node.id, node);
      tables.byMachineKey.set(node.machineKey, [...(tables.byMachineKey.get(node.machineKey) ?? []), node.id]);
      link(tables, node);
      tables.nextNodeId = Math.max(tables.nextNodeId, node.id + 1);
      tables.cursor = node.addresses[0] ?? tables.cursor;
      return;
    }
    case 'node-changed': {
      const { before, after, fields } = change;
      const relink = fields.some((field) => INDEXED.has(field));
      if (relink) unlink(tables, before);
      tables.nodes.set(after.id, after);
      if (relink) link(tables, after);
      if (fields.includes('addresses')) tables.cursor = after.addresses[0] ?? tables.cursor;
      return;
    }
    case 'node-removed': {
      const { node } = change;
      const others = (tables.byMachineKey.get(node.machineKey) ?? []).filter((id) => id !== node.id);
      if (others.length > 0) tables.byMachineKey.set(node.machineKey, others);
      else tables.byMachineKey.delete(node.machineKey);
      unlink(tables, node);
      tables.nodes.delete(node.id);
      return;
    }
    case 'key':
      if (change.after) tables.keys.set(change.after.id, change.after);
      else if (change.before) tables.keys.delete(change.before.id);
      return;
    case 'key-use':
      if (change.after) tables.keyUses.set(change.after.keyId, change.after);
      else if (change.before) tables.keyUses.delete(change.before.keyId);
      return;
    case 'login': {
      const { before, after } = change;
      if (before?.state === 'pending') tables.pendingLogins.delete(askerOf(before.machineKey, before.nodeKey));
      if (after?.state === 'pending') tables.pendingLogins.set(askerOf(after.machineKey, after.nodeKey), after.id);
      if (after) tables.logins.set(after.id, after);
      else if (before) tables.logins.delete(before.id);
    }
  }
};

/** Takes records as a file has them. */
export const takeRows = (state: RegistryState, rows: Rows): void => {
  for (const node of rows.nodes) fold(state, { kind: 'node-added', node });
  for (const key of rows.keys) fold(state, { kind: 'key', before: null, after: key });
  for (const use of rows.keyUses) fold(state, { kind: 'key-use', before: null, after: use });
  for (const login of rows.logins) fold(state, { kind: 'login', before: null, after: login });
};

const sameValue = (a: unknown, b: unknown): boolean =>
  a === b || (typeof a === 'object' && typeof b === 'object' && JSON.stringify(a) === JSON.stringify(b));

/** The change that gives a node the values of `patch`; undefined where it has them already. */
export const changeNode = (
  before: NodeRecord,
  patch: Partial<NodeRecord>,
): (RegistryChange & { readonly kind: 'node-changed' }) | undefined => {
  const fields = (Object.keys(patch) as NodeField[]).filter((field) => !sameValue(before[field], patch[field]));
  if (fields.length === 0) return undefined;
  const after: Record<string, unknown> = { ...before };
  for (const field of fields) after[field] = patch[field];
  return { kind: 'node-changed', before, after: after as unknown as NodeRecord, fields };
};

/** The values that a change of a node sets. */
export const patchOf = (change: RegistryChange & { readonly kind: 'node-changed' }): Partial<NodeRecord> =>
  Object.fromEntries(change.fields.map((field) => [field, change.after[field]]));

/** A change that was decided before some notes came in, as it is after them. */
export const rebase = (tables: Tables, change: RegistryChange): RegistryChange => {
  if (change.kind === 'node-changed') {
    const before = tables.nodes.get(change.before.id) ?? change.before;
    return before === change.before ? change : { ...change, before, after: { ...before, ...patchOf(change) } };
  }
  if (change.kind === 'node-removed') return { ...change, node: tables.nodes.get(change.node.id) ?? change.node };
  return change;
};

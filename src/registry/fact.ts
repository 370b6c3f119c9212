// Changes as the journal keeps them: what was decided, not what was asked, so that a later version with other rules replays
// an old journal to the same state. A change of a node carries only the fields that it sets.

import type { Json } from '../base/canonical.ts';
import type { NodeId } from '../base/ids.ts';
import type { RegistryChange } from './change.ts';
import type { RemovalCause } from './event.ts';
import type { KeyId, KeyRecord, KeyUse, LoginId, LoginRecord, NodeRecord } from './record.ts';
import { changeNode, patchOf, type Tables } from './state.ts';

export type Fact =
  | { readonly add: NodeRecord }
  | { readonly node: NodeId; readonly set: Partial<NodeRecord> }
  | { readonly remove: NodeId; readonly cause: RemovalCause }
  | { readonly key: KeyRecord }
  | { readonly dropKey: KeyId }
  | { readonly use: KeyUse }
  | { readonly dropUse: KeyId }
  | { readonly login: LoginRecord }
  | { readonly dropLogin: LoginId }
  | { readonly none: true };

export const factOf = (change: RegistryChange): Fact => {
  switch (change.kind) {
    case 'node-added':
      return { add: change.node };
    case 'node-changed':
      return { node: change.after.id, set: patchOf(change) };
    case 'node-removed':
      return { remove: change.node.id, cause: change.cause };
    case 'key':
      return change.after ? { key: change.after } : change.before ? { dropKey: change.before.id } : { none: true };
    case 'key-use':
      return change.after ? { use: change.after } : change.before ? { dropUse: change.before.keyId } : { none: true };
    default:
      return change.after ? { login: change.after } : change.before ? { dropLogin: change.before.id } : { none: true };
  }
};

/** What a node has that a journal of an earlier version doesn't name. */
const LATER_FIELDS = { keySignature: null, attributes: {} } as const satisfies Partial<NodeRecord>;

/** The change that a fact makes to these tables; undefined where it makes none. Throws where the fact can't be true of them. */
export const changeOf = (tables: Tables, fact: Fact): RegistryChange | undefined => {
  if ('add' in fact) {
    if (tables.nodes.has(fact.add.id)) throw new Error(`adds node ${fact.add.id}, which exists already`);
    return { kind: 'node-added', node: { ...LATER_FIELDS, ...fact.add } };
  }
  if ('node' in fact) {
    const before = tables.nodes.get(fact.node);
    if (!before) throw new Error(`changes node ${fact.node}, which does not exist`);
    return changeNode(before, fact.set);
  }
  if ('remove' in fact) {
    const node = tables.nodes.get(fact.remove);
    if (!node) throw new Error(`removes node ${fact.remove}, which does not exist`);
    return { kind: 'node-removed', node, cause: fact.cause };
  }
  if ('key' in fact) return { kind: 'key', before: tables.keys.get(fact.key.id) ?? null, after: fact.key };
  if ('dropKey' in fact) return { kind: 'key', before: tables.keys.get(fact.dropKey) ?? null, after: null };
  if ('use' in fact) return { kind: 'key-use', before: tables.keyUses.get(fact.use.keyId) ?? null, after: fact.use };
  if ('dropUse' in fact) return { kind: 'key-use', before: tables.keyUses.get(fact.dropUse) ?? null, after: null };
  if ('login' in fact) return { kind: 'login', before: tables.logins.get(fact.login.id) ?? null, after: fact.login };
  if ('dropLogin' in fact) return { kind: 'login', before: tables.logins.get(fact.dropLogin) ?? null, after: null };
  if ('none' in fact) return undefined;
  throw new Error('is of a kind that this version does not know');
};

export const formatFacts = (facts: readonly Fact[]): string => JSON.stringify(facts);

/** Throws on a text that is not a list of facts. */
export const parseFacts = (text: string): readonly Fact[] => {
  const facts = JSON.parse(text) as Json;
  if (!Array.isArray(facts) || facts.some((fact: Json) => fact === null || typeof fact !== 'object')) {
    throw new Error('is not a list of facts');
  }
  return facts as unknown as readonly Fact[];
};

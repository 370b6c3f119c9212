// Branded identifiers. A plain string or number can't be taken for one of these by accident; each is made by its parse.

declare const brand: unique symbol;
export type Brand<T, Name extends string> = T & { readonly [brand]: Name };

/** A node's number on the wire: positive, at most 2^53 - 1, never used twice. */
export type NodeId = Brand<number, 'NodeId'>;
/** A node's opaque stable name, `n<NodeId in base 36>TP`; never used twice. */
export type StableId = Brand<string, 'StableId'>;
/** A person's number on the wire, derived from the login (see `userIdOf`). */
export type UserId = Brand<number, 'UserId'>;
/** A login as declared in users.json5, `alice@example.com`. */
export type Login = Brand<string, 'Login'>;
/** `tag:name`. */
export type Tag = Brand<string, 'Tag'>;
/** A commit id, or `dir-<digest>` for a plain folder. */
export type Revision = Brand<string, 'Revision'>;

export const parseNodeId = (value: number): NodeId => {
  if (!Number.isSafeInteger(value) || value <= 0) throw new RangeError(`not a node id: ${value}`);
  return value as NodeId;
};

export const stableIdOf = (id: NodeId): StableId => `n${id.toString(36)}TP` as StableId;

/** tailcfg.CheckTag: an ASCII letter, then letters, digits and dashes. */
export const parseTag = (text: string): Tag | undefined =>
  /^tag:[A-Za-z][A-Za-z0-9-]*$/.test(text) ? (text as Tag) : undefined;

export const parseLogin = (text: string): Login | undefined =>
  text.length <= 254 && /^[^\s@]+@[^\s@]+$/.test(text) ? (text as Login) : undefined;

export const parseRevision = (text: string): Revision | undefined =>
  /^(?:[0-9a-f]{40}|[0-9a-f]{64}|dir-[0-9a-f]{16,64})$/.test(text) ? (text as Revision) : undefined;

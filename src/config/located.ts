// A document as a tree whose every value and key knows its place in the file. Later rooms read meaning from this tree, so
// that whatever they find wrong can be shown on the exact characters.

import type { Json } from '../base/canonical.ts';
import type { Span } from '../base/diagnostic.ts';

export type LocatedNode = LocatedObject | LocatedArray | LocatedString | LocatedNumber | LocatedBoolean | LocatedNull;

export interface LocatedObject {
  readonly kind: 'object';
  /** In the order of the file; keys are unique. */
  readonly members: readonly LocatedMember[];
  readonly span: Span;
}

export interface LocatedMember {
  readonly key: string;
  readonly keySpan: Span;
  readonly value: LocatedNode;
}

export interface LocatedArray {
  readonly kind: 'array';
  readonly items: readonly LocatedNode[];
  readonly span: Span;
}

export interface LocatedString {
  readonly kind: 'string';
  readonly value: string;
  /** With its quotes. */
  readonly span: Span;
}

export interface LocatedNumber {
  readonly kind: 'number';
  readonly value: number;
  readonly span: Span;
}

export interface LocatedBoolean {
  readonly kind: 'boolean';
  readonly value: boolean;
  readonly span: Span;
}

export interface LocatedNull {
  readonly kind: 'null';
  readonly value: null;
  readonly span: Span;
}

/** The member of an object, or undefined where the node is no object or has no such key. */
export const memberOf = (node: LocatedNode | undefined, key: string): LocatedMember | undefined =>
  node?.kind === 'object' ? node.members.find((member) => member.key === key) : undefined;

/** The plain value behind a tree. Objects have no prototype, so that no key can mean more than itself. */
export const plainOf = (node: LocatedNode): Json => {
  switch (node.kind) {
    case 'object': {
      const out = Object.create(null) as Record<string, Json>;
      for (const { key, value } of node.members) out[key] = plainOf(value);
      return out;
    }
    case 'array':
      return node.items.map((item) => plainOf(item));
    default:
      return node.value;
  }
};

export type Path = readonly (string | number)[];

/** The node at a path, or undefined. */
export const nodeAt = (root: LocatedNode, path: Path): LocatedNode | undefined => {
  let node: LocatedNode | undefined = root;
  for (const step of path) {
    if (node?.kind === 'array' && typeof step === 'number') node = node.items[step];
    else node = memberOf(node, String(step))?.value;
  }
  return node;
};

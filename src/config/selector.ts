// How routes.json5, nodes.json5 and derp.json5 name a node. A host name alone is chosen by whoever owns the machine, so it never
// selects anything: a node is its stable id, or a name together with the owner or tag that vouches for it, or all nodes
// of a tag.

import type { Span } from '../base/diagnostic.ts';
import type { Login, StableId, Tag } from '../base/ids.ts';
import type { Path } from './located.ts';
import type { Reading } from './reading.ts';

export type NodeSelector =
  | { readonly by: 'id'; readonly id: StableId; readonly at: Span }
  | { readonly by: 'owner'; readonly name: string; readonly owner: Login; readonly at: Span }
  | { readonly by: 'tag'; readonly name?: string; readonly tag: Tag; readonly at: Span };

export interface SelectorFile {
  readonly id?: string;
  readonly name?: string;
  readonly owner?: string;
  readonly tag?: string;
}

/** Undefined where the fields don't make a selector; that is reported. */
export const readSelector = (file: SelectorFile, path: Path, reading: Reading): NodeSelector | undefined => {
  const at = reading.at(...path);
  const conflict = (field: string, message: string, help: string): undefined => {
    reading.report({ code: 'config/conflicting-fields', span: reading.keyAt(...path, field), message, help });
    return undefined;
  };
  const { id, name, owner, tag } = file;
  if (id !== undefined) {
    const other = (['name', 'owner', 'tag'] as const).find((field) => file[field] !== undefined);
    if (other) return conflict(other, `\`${other}\` says nothing beside \`id\`.`, 'An id selects one node alone.');
    return { by: 'id', id: id as StableId, at };
  }
  if (owner !== undefined && tag !== undefined) {
    return conflict('tag', 'A node has an owner or tags, never both.', 'Keep `owner` or `tag`.');
  }
  if (tag !== undefined) return { by: 'tag', tag: tag as Tag, ...(name === undefined ? {} : { name }), at };
  if (owner !== undefined) {
    if (name !== undefined) return { by: 'owner', name, owner: owner as Login, at };
    return conflict('owner', 'An owner alone selects no node.', 'Add the `name` of one of the nodes, or use an `id`.');
  }
  if (name !== undefined) {
    reading.report({
      code: 'config/hijackable-selector',
      span: reading.at(...path, 'name'),
      message: 'A name alone does not say which node is meant.',
      help: 'Whoever owns a machine chooses its name: add the `owner` or `tag` that must vouch for it, or use an `id`.',
    });
    return undefined;
  }
  reading.report({
    code: 'config/empty-entry',
    span: at,
    message: 'This selects no node.',
    help: 'Give an `id`, a `name` with its `owner` or `tag`, or a `tag`.',
  });
  return undefined;
};

/** Equal texts for selectors that mean the same. */
export const selectorKey = (selector: NodeSelector): string => {
  switch (selector.by) {
    case 'id':
      return selector.id;
    case 'owner':
      return `${selector.owner.toLowerCase()} ${selector.name}`;
    default:
      return `${selector.tag} ${selector.name ?? '*'}`;
  }
};

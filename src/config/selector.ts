// How routes.json5 and nodes.json5 name a node. A host name alone is chosen by whoever owns the machine, so it never
// selects anything: a node is its stable id, or a name together with the owner or tag that vouches for it, or all nodes
// of a tag.

import type { Span } from '../base/diagnostic.ts';
import type { Login, StableId, Tag } from '../base/ids.ts';

export type NodeSelector =
  | { readonly by: 'id'; readonly id: StableId; readonly at: Span }
  | { readonly by: 'owner'; readonly name: string; readonly owner: Login; readonly at: Span }
  | { readonly by: 'tag'; readonly name?: string; readonly tag: Tag; readonly at: Span };

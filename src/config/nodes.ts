// nodes.json5: what the tailnet says about single nodes, over what they say about themselves.

import type { Address } from '../base/address.ts';
import type { Span } from '../base/diagnostic.ts';
import type { Tag } from '../base/ids.ts';
import type { NodeSelector } from './selector.ts';

export interface NodeDeclaration {
  readonly node: NodeSelector;
  /** The MagicDNS label to use instead of the one made from the host name. */
  readonly name?: string;
  /** Exactly these tags, whatever the node asks for; a node with tags has no owner. */
  readonly tags?: readonly Tag[];
  /** At most one of each family. The other family is handed out as usual. */
  readonly addresses?: readonly Address[];
  /** Life of the node key from its login; null means that it does not expire. */
  readonly keyExpiryMs?: number | null;
  readonly approved?: boolean;
  /** Cut off, but not forgotten. */
  readonly disabled?: boolean;
  readonly at: Span;
}

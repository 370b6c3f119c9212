// A node as it is served: what it registered with, and what nodes.json5 and routes.json5 say over it.

import type { Address, Prefix } from '../base/address.ts';
import type { Login, Tag, UserId } from '../base/ids.ts';
import type { PolicyNode } from '../policy/facts.ts';
import type { NodeRecord } from '../registry/record.ts';

export interface ResolvedNode {
  readonly record: NodeRecord;
  /** The MagicDNS label. */
  readonly label: string;
  /** Fully qualified, without the trailing dot. */
  readonly fqdn: string;
  /** The owner; null exactly when the node is tagged. */
  readonly owner: Login | null;
  readonly ownerId: UserId | null;
  readonly tags: readonly Tag[];
  /** IPv4 first. */
  readonly addresses: readonly Address[];
  /** By hand, declared and automatic approval together. */
  readonly approvedRoutes: readonly Prefix[];
  /** False: waits for an administrator, or is cut off (disabled, or its owner is). It sees nobody and nobody sees it. */
  readonly authorized: boolean;
  /** What the policy looks at. */
  readonly policyNode: PolicyNode;
}

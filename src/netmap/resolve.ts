// The registry's nodes as they are served.

import type { NodeRecord } from '../registry/record.ts';
import type { ResolvedNode as Resolved } from '../snapshot/resolve.ts';

export { resolveNode, samePolicyNode } from '../snapshot/resolve.ts';

export type ResolvedNode = Resolved<NodeRecord>;

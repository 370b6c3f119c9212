// routes.json5: which subnets and exit nodes the tailnet takes from which node.

import type { Prefix } from '../base/address.ts';
import type { Span } from '../base/diagnostic.ts';
import type { NodeSelector } from './selector.ts';

export interface RouteApproval {
  readonly node: NodeSelector;
  /** Subnets; never of length zero. A node may advertise a part of one. */
  readonly routes: readonly Prefix[];
  /** The node may carry traffic to the internet: 0.0.0.0/0 and ::/0. */
  readonly exitNode: boolean;
  readonly at: Span;
}

// routes.json5: which subnets and exit nodes the tailnet takes from which node.

import { parsePrefix, type Prefix } from '../base/address.ts';
import type { Span } from '../base/diagnostic.ts';
import type { Reading } from './reading.ts';
import { readSelector, type NodeSelector, type SelectorFile } from './selector.ts';

export interface RouteApproval {
  readonly node: NodeSelector;
  /** Subnets; never of length zero. A node may advertise a part of one. */
  readonly subnets: readonly Prefix[];
  /** The node may carry traffic to the internet: 0.0.0.0/0 and ::/0. */
  readonly exitNode: boolean;
  readonly at: Span;
}

interface RoutesFile {
  readonly routes: readonly {
    readonly node: SelectorFile;
    readonly subnets: readonly string[];
    readonly exitNode: boolean;
  }[];
}

export const readRoutes = (value: unknown, reading: Reading): readonly RouteApproval[] =>
  (value as RoutesFile).routes.flatMap(({ node, subnets, exitNode }, i) => {
    if (subnets.length === 0 && !exitNode) {
      reading.report({
        code: 'config/empty-entry',
        severity: 'warning',
        span: reading.at('routes', i),
        message: 'This entry approves nothing.',
        help: 'Give it `subnets` or `exitNode: true`, or remove it.',
      });
    }
    const selector = readSelector(node, ['routes', i, 'node'], reading);
    if (!selector) return [];
    return [
      {
        node: selector,
        subnets: subnets.map((text) => parsePrefix(text) as Prefix),
        exitNode,
        at: reading.at('routes', i),
      },
    ];
  });

// What `tailplane debug` shows: who is connected, what map a node would get now, and what it was sent, when and why.

import { accept, refuse } from '../base/outcome.ts';
import type { Outcome } from '../base/outcome.ts';
import type { Control } from '../control/ports.ts';
import type { AdminOperation, AdminRequest } from '../http/admin.ts';
import type { SessionAnswer, TimelineAnswer } from '../http/answers.ts';
import type { NodeRecord } from '../registry/record.ts';
import { findNode } from './node-operations.ts';
import type { Parts } from './parts.ts';

const time = (ms: number): string => new Date(ms).toISOString();

export const debugOperations = (parts: Parts, control: Control): readonly AdminOperation[] => {
  const withNode =
    (run: (node: NodeRecord) => unknown) =>
    ({ params }: AdminRequest): Outcome<unknown> => {
      const node = findNode(parts, params['node'] ?? '');
      return node ? accept(run(node)) : refuse('http/not-found', `There is no machine «${params['node']}».`);
    };
  return [
    {
      method: 'get',
      path: '/debug/sessions',
      run: () =>
        accept(
          control.sessions().map((session): SessionAnswer => ({
            node: session.node,
            name: parts.tailnet.node(session.node)?.label ?? '',
            remote: session.remote,
            capver: session.capver,
            since: time(session.sinceMs),
            messages: session.messages,
            sentBytes: session.sentBytes,
            lastSent: session.lastSentMs > 0 ? time(session.lastSentMs) : null,
            state: session.state,
          })),
        ),
    },
    { method: 'get', path: '/debug/netmap/:node', run: withNode((node) => parts.tailnet.describe(node.id) ?? {}) },
    {
      method: 'get',
      path: '/debug/timeline/:node',
      run: withNode((node) =>
        parts.tailnet.timeline(node.id).map((entry): TimelineAnswer => ({
          at: time(entry.atMs),
          kind: entry.kind,
          fields: entry.fields,
          causes: entry.causes,
          sizeBytes: entry.sizeBytes,
        })),
      ),
    },
  ];
};

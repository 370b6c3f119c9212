// What an administrator may ask about machines, by the socket: list, show, expire, rename, delete.

import { refuse, accept } from '../base/outcome.ts';
import type { Outcome } from '../base/outcome.ts';
import type { Control } from '../control/ports.ts';
import type { AdminOperation, AdminRequest } from '../http/admin.ts';
import type { NodeAnswer, NodeDetails } from '../http/answers.ts';
import { clientVersionOf } from '../netmap/advice.ts';
import type { NodeRecord } from '../registry/record.ts';
import type { RegistryEvent } from '../registry/event.ts';
import { formatNodeList } from '../review/node-list.ts';
import type { Parts } from './parts.ts';

const time = (ms: number): string => new Date(ms).toISOString();
const text = (value: unknown): string => (typeof value === 'string' ? value : '');

export const describeNode = (parts: Parts, node: NodeRecord): NodeAnswer => {
  const resolved = parts.tailnet.node(node.id);
  const fqdn = resolved?.fqdn ?? node.name;
  const routes = node.hostinfo['RoutableIPs'];
  return {
    id: node.id,
    stableId: node.stableId,
    name: resolved?.label ?? node.name,
    fqdn,
    hostname: text(node.hostinfo['Hostname']),
    user: resolved ? resolved.owner : node.login,
    tags: resolved?.tags ?? node.tags,
    addresses: resolved?.addresses ?? node.addresses,
    online: parts.tailnet.isOnline(node.id),
    lastSeen: node.lastSeenMs > 0 ? time(node.lastSeenMs) : null,
    created: time(node.createdMs),
    expires: node.expiresMs === null ? null : time(node.expiresMs),
    expired: node.expiresMs !== null && node.expiresMs <= parts.now(),
    ephemeral: node.ephemeral,
    authorized: resolved?.authorized ?? node.authorized,
    os: text(node.hostinfo['OS']),
    version: text(node.hostinfo['IPNVersion']),
    machineKey: node.machineKey,
    nodeKey: node.nodeKey,
    advertisedRoutes: Array.isArray(routes) ? routes.map(String) : [],
    approvedRoutes: resolved?.approvedRoutes ?? node.approvedRoutes,
    homeRelay: node.homeDerp,
    endpoints: node.endpoints,
  };
};

/** By id, stable id, label, full name or address; undefined where nothing or more than one thing fits. */
export const findNode = (parts: Parts, name: string): NodeRecord | undefined => {
  const { view } = parts.registry;
  const wanted = name.toLowerCase().replace(/\.$/, '');
  for (const node of view.nodes.values()) {
    if (String(node.id) === wanted || node.stableId.toLowerCase() === wanted) return node;
  }
  const found: NodeRecord[] = [];
  for (const node of view.nodes.values()) {
    const resolved = parts.tailnet.node(node.id);
    const names: readonly string[] = [
      node.name,
      resolved?.label ?? '',
      resolved?.fqdn ?? '',
      ...(resolved?.addresses ?? []),
    ];
    if (names.includes(wanted)) found.push(node);
  }
  return found.length === 1 ? found[0] : undefined;
};

/** How long `nodes show` waits for a client to say how it is. */
const HEALTH_MS = 2_000;

export const nodeOperations = (
  parts: Parts,
  control: Pick<Control, 'askHealth' | 'healthOf' | 'copyOf'>,
): readonly AdminOperation[] => {
  const detailsOf = async (node: NodeRecord): Promise<Outcome<NodeDetails>> => {
    const asked = await control.askHealth(node.id, HEALTH_MS);
    const health = asked.ok ? asked.value : control.healthOf(node.id);
    const hint = clientVersionOf(parts.snapshot(), node.hostinfo['IPNVersion']);
    const copy = control.copyOf(node.id);
    return accept({
      ...describeNode(parts, node),
      copy: copy ? { remote: copy.remote, since: time(copy.sinceMs), last: time(copy.lastMs) } : null,
      update:
        hint.LatestVersion === undefined
          ? null
          : { release: hint.LatestVersion, urgent: hint.UrgentSecurityUpdate === true },
      health: health.map(({ code, severity, text, sinceMs }) => ({
        warning: code,
        severity,
        text,
        since: sinceMs === undefined ? null : time(sinceMs),
      })),
    });
  };

  const withNode =
    (run: (node: NodeRecord, request: AdminRequest) => Outcome<unknown> | Promise<Outcome<unknown>>) =>
    (request: AdminRequest): Outcome<unknown> | Promise<Outcome<unknown>> => {
      const name = request.params['node'] ?? '';
      const node = findNode(parts, name);
      return node ? run(node, request) : refuse('http/not-found', `There is no machine «${name}».`);
    };

  /** Applies an event and answers with the machine as it is afterwards, or as it was before it went. */
  const change = async (node: NodeRecord, event: RegistryEvent): Promise<Outcome<NodeAnswer>> => {
    const before = describeNode(parts, node);
    const outcome = await parts.registry.apply(event);
    if (!outcome.ok) return outcome;
    return accept(outcome.value.node === null ? before : describeNode(parts, outcome.value.node));
  };

  return [
    {
      method: 'get',
      path: '/nodes',
      run: () => accept([...parts.registry.view.nodes.values()].map((node) => describeNode(parts, node))),
    },
    { method: 'get', path: '/nodes/export', run: () => accept(formatNodeList(parts.registry.view.nodes.values())) },
    { method: 'get', path: '/nodes/:node', run: withNode(detailsOf) },
    {
      method: 'post',
      path: '/nodes/:node/expire',
      run: withNode((node) => change(node, { kind: 'set-expiry', id: node.id, expiresMs: parts.now() })),
    },
    {
      method: 'post',
      path: '/nodes/:node/authorize',
      run: withNode((node) => change(node, { kind: 'authorize', id: node.id, authorized: true })),
    },
    {
      method: 'delete',
      path: '/nodes/:node',
      run: withNode((node) => change(node, { kind: 'remove', id: node.id, cause: 'administrator' })),
    },
  ];
};

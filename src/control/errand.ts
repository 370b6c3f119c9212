// The small requests beside registration and maps: a DNS record for a certificate, how a feature is switched on, the
// client's own log of disconnections, its attributes and its health (protocol: tailcfg.go; controlclient/direct.go).

import { utf8 } from '../base/bytes.ts';
import type { Outcome } from '../base/outcome.ts';
import type { NodeKey } from '../keys/text.ts';
import type { NodeAttribute, NodeRecord } from '../registry/record.ts';
import type { Registry } from '../registry/registry.ts';
import {
  decodeAuditLogRequest,
  decodeFeatureRequest,
  decodeHealthChangeRequest,
  decodeSetDeviceAttributesRequest,
  decodeSetDnsRequest,
  type FeatureResponse,
} from '../wire/errand.ts';
import type { Call, Handler } from './connection.ts';
import { noteNode, type DnsPublisher, type MapSource, type Note } from './ports.ts';
import type { Standing } from './standing.ts';

export interface ErrandPorts {
  readonly registry: Registry;
  readonly netmap: MapSource;
  readonly standing: Standing;
  readonly note: Note;
  readonly publishDns: DnsPublisher | undefined;
}

export interface Errands {
  readonly setDns: Handler;
  readonly feature: Handler;
  readonly auditLog: Handler;
  readonly attributes: Handler;
  readonly health: Handler;
  readonly whoami: Handler;
}

const EMPTY_OBJECT = utf8('{}');
const CHALLENGE = '_acme-challenge.';

/** What a node must be able to do for a feature to count as switched on. */
const FEATURE_CAPABILITIES: Readonly<Record<string, string>> = { serve: 'https', https: 'https' };

const featureAnswer = (feature: string, capabilities: Readonly<Record<string, unknown>>): FeatureResponse => {
  const needed = FEATURE_CAPABILITIES[feature];
  if (needed !== undefined && needed in capabilities) return { Complete: true };
  if (feature === 'funnel')
    return { Complete: false, Text: 'Funnel needs public ingress, which this server does not have.' };
  return { Complete: false, Text: `«${feature}» is not switched on in this tailnet; ask an administrator.` };
};

export const createErrands = (ports: ErrandPorts): Errands => {
  const { netmap, note, registry, standing } = ports;

  /** Reads the request and finds the node that it is about; a refusal is the answer. */
  const errand =
    <T extends { readonly NodeKey: NodeKey }>(
      decode: (bytes: Uint8Array) => Outcome<T>,
      run: (call: Call, request: T, node: NodeRecord) => void | Promise<void>,
    ): Handler =>
    async (call) => {
      const body = await call.readBody();
      if (!body) return;
      const request = decode(body);
      if (!request.ok) {
        call.answer(400, request.reason);
        return;
      }
      const node = standing.nodeOf(call.peer, request.value.NodeKey);
      const welcome = node.ok ? standing.isWelcome(node.value) : node;
      if (node.ok && welcome.ok) await run(call, request.value, node.value);
      else if (!welcome.ok) call.answer(welcome.code === 'control/unknown-node' ? 404 : 401, welcome.reason);
    };

  return {
    setDns: errand(decodeSetDnsRequest, async (call, request, node) => {
      const fqdn = netmap.node(node.id)?.fqdn;
      const isOwn = request.Type === 'TXT' && request.Name === `${CHALLENGE}${fqdn}`;
      if (!isOwn) {
        call.answer(403, `${request.Name} is not the challenge of this machine's name`);
        return;
      }
      if (!ports.publishDns) {
        call.answer(501, 'this server publishes no DNS records, so it cannot help with certificates');
        return;
      }
      // The client tells the certificate authority at once: answer when the record is there.
      const published = await ports.publishDns({ name: request.Name, value: request.Value });
      if (published.ok) call.answer(200, EMPTY_OBJECT);
      else call.answer(502, published.reason);
    }),
    feature: errand(decodeFeatureRequest, (call, request, node) => {
      const capabilities = netmap.population.node(node.id) ? netmap.population.capsFor(node.id) : {};
      call.answer(200, utf8(JSON.stringify(featureAnswer(request.Feature, capabilities))));
    }),
    auditLog: errand(decodeAuditLogRequest, (call, request, node) => {
      note('info', 'client audit log', { ...noteNode(node), action: request.Action, details: request.Details });
      call.answer(200, EMPTY_OBJECT);
    }),
    attributes: errand(decodeSetDeviceAttributesRequest, async (call, request, node) => {
      const own = [...request.Update].filter(([name]) => name.startsWith('custom:'));
      const attributes: Record<string, NodeAttribute | null> = Object.fromEntries(
        own.map(([name, value]) => [name, value === null ? null : { value, expiresMs: null }]),
      );
      const outcome = await registry.apply({ kind: 'set-attributes', id: node.id, attributes });
      if (outcome.ok) call.answer(200, EMPTY_OBJECT);
      else call.answer(400, outcome.reason);
    }),
    health: errand(decodeHealthChangeRequest, (call, request, node) => {
      if (request.Error !== undefined)
        note('info', 'client health', { ...noteNode(node), subsystem: request.Subsys, error: request.Error });
      call.answer(204);
    }),
    whoami: (call) => {
      const { machineKey, remote, version } = call.peer;
      call.answer(200, utf8(JSON.stringify({ machineKey, remote, version })));
    },
  };
};

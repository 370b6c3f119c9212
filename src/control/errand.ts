// The small requests beside registration and maps: a DNS record for a certificate, how a feature is switched on, the
// client's own log of disconnections, its attributes and its health (protocol: tailcfg.go; controlclient/direct.go).

import { utf8 } from '../base/bytes.ts';
import type { Outcome } from '../base/outcome.ts';
import type { NodeKey } from '../keys/text.ts';
import type { NodeRecord } from '../registry/record.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import {
  decodeAuditLogRequest,
  decodeFeatureRequest,
  decodeHealthChangeRequest,
  decodeRecordingFailure,
  decodeSetDeviceAttributesRequest,
  decodeSetDnsRequest,
  type FeatureResponse,
} from '../wire/errand.ts';
import type { Call, Handler } from './connection.ts';
import { createChallengeErrand } from './challenge.ts';
import { noteNode, type DnsPublisher, type MapSource, type Note } from './ports.ts';
import type { Health } from './health.ts';
import type { Standing } from './standing.ts';

export interface ErrandPorts {
  readonly now: () => number;
  readonly snapshot: () => Snapshot;
  readonly netmap: MapSource;
  readonly standing: Standing;
  readonly health: Pick<Health, 'report'>;
  readonly note: Note;
  readonly publishDns: DnsPublisher | undefined;
}

export interface Errands {
  readonly setDns: Handler;
  readonly feature: Handler;
  readonly auditLog: Handler;
  readonly attributes: Handler;
  readonly health: Handler;
  readonly recordingFailed: Handler;
  readonly whoami: Handler;
}

/** tailcfg.SSHEventType. */
const RECORDING_OUTCOMES: Readonly<Record<number, string>> = { 1: 'refused', 2: 'ended', 3: 'goes on' };

const EMPTY_OBJECT = utf8('{}');

type Certificates = 'on' | 'off' | 'no records';

/** `tailscale serve` and `tailscale funnel` print the text, and go on only where the answer is that all is there. */
const featureAnswer = (feature: string, https: Certificates): FeatureResponse => {
  if (feature === 'funnel') return { Text: 'Funnel is not available: it lets the internet in through servers that a private tailnet has not. «tailscale serve» shows the same to the machines of your tailnet.' }; // prettier-ignore
  if (feature !== 'serve' && feature !== 'https') return { Text: `This server knows no feature «${feature}».` };
  if (https === 'on') return { Complete: true };
  const missing = https === 'off' ? 'HTTPS is off in this tailnet: an administrator can switch it on in tailnet.json5.' : 'HTTPS is on in this tailnet, but its server was not told where to publish DNS records, so there are no certificates yet.'; // prettier-ignore
  return { Text: `${missing} Without certificates, «tailscale serve --http=80 …» works.` };
};

export const createErrands = (ports: ErrandPorts): Errands => {
  const { note, standing } = ports;

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
    setDns: errand(decodeSetDnsRequest, createChallengeErrand(ports)),
    feature: errand(decodeFeatureRequest, (call, request) => {
      const declared = ports.snapshot().tailnet.features.https;
      const https = !declared ? 'off' : ports.publishDns ? 'on' : 'no records';
      call.answer(200, utf8(JSON.stringify(featureAnswer(request.Feature, https))));
    }),
    auditLog: errand(decodeAuditLogRequest, (call, request, node) => {
      note('info', 'client audit log', { ...noteNode(node), action: request.Action, details: request.Details });
      call.answer(200, EMPTY_OBJECT);
    }),
    // The policy lets machines in by their attributes, so a machine must not give itself any.
    attributes: errand(decodeSetDeviceAttributesRequest, (call) =>
      call.answer(403, 'attributes of machines are declared in the tailnet, in nodes.json5'),
    ),
    health: errand(decodeHealthChangeRequest, (call, request, node) => {
      ports.health.report(node, request.Subsys, request.Error);
      call.answer(204);
    }),
    recordingFailed: errand(decodeRecordingFailure, (call, request, node) => {
      const { EventType, ConnectionID: connection, SrcNode: source, SSHUser: sshUser } = request;
      const session = RECORDING_OUTCOMES[EventType] ?? 'unknown';
      note('warn', 'ssh session not recorded', { ...noteNode(node), session, connection, source, sshUser });
      // The client takes any other answer for a failure.
      call.answer(201);
    }),
    whoami: (call) => {
      const { machineKey, remote, version } = call.peer;
      call.answer(200, utf8(JSON.stringify({ machineKey, remote, version })));
    },
  };
};

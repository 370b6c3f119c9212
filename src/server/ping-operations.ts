// `tailplane nodes ping`: whether a machine answers over its map stream and runs a call, and how it reaches another one. Each
// step asks for more than the one before, so the first that fails says what is wrong.

import { accept, refuse } from '../base/outcome.ts';
import type { Outcome } from '../base/outcome.ts';
import { equalBytes, utf8 } from '../base/bytes.ts';
import type { Control } from '../control/ports.ts';
import type { AdminOperation, AdminRequest } from '../http/admin.ts';
import type { PingAnswer, PingStep } from '../http/answers.ts';
import type { NodeRecord } from '../registry/record.ts';
import { decodeCallAnswer, encodeCall, PING_KINDS } from '../wire/ping.ts';
import type { PingKind, PingResult } from '../wire/ping.ts';
import { findNode } from './node-operations.ts';
import type { Parts } from './parts.ts';

/** A call does nothing but answer. */
const CALL_MS = 15_000;

const SILENT: Record<PingStep['what'], string> = {
  stream: 'It is connected, but does not answer: it sleeps, or its connection is dead.',
  call: 'It does not run calls.',
  disco: 'It found no path, neither directly nor through a relay.',
  TSMP: 'No answer through WireGuard: the other side does not know it, or has no path back.',
  ICMP: 'No answer to a ping: the policy or the other machine’s firewall drops it.',
};

const step = (what: PingStep['what'], more: Partial<PingStep>): PingStep => ({
  what,
  ok: false,
  roundTripMs: null,
  path: null,
  via: null,
  problem: null,
  ...more,
});

const pathOf = ({ endpoint, peerRelay, relayCode }: PingResult): Pick<PingStep, 'path' | 'via'> => {
  if (peerRelay !== undefined) return { path: 'peer relay', via: peerRelay };
  if (endpoint !== undefined) return { path: 'direct', via: endpoint };
  if (relayCode !== undefined) return { path: 'relay', via: relayCode };
  return { path: null, via: null };
};

export const pingOperations = (parts: Parts, control: Control): readonly AdminOperation[] => {
  const problem = (what: PingStep['what'], outcome: Outcome<unknown>): string =>
    outcome.ok ? '' : outcome.code === 'control/silent' ? SILENT[what] : outcome.reason;

  const pingStream = async (node: NodeRecord): Promise<PingStep> => {
    const answer = await control.ping(node.id);
    return answer.ok
      ? step('stream', { ok: true, roundTripMs: answer.value })
      : step('stream', { problem: problem('stream', answer) });
  };

  const pingCall = async (node: NodeRecord): Promise<PingStep> => {
    const said = 'tailplane';
    const startMs = parts.now();
    const called = await control.callNode(node.id, encodeCall('POST', '/echo', said), CALL_MS);
    const roundTripMs = parts.now() - startMs;
    const answer = called.ok ? decodeCallAnswer(called.value) : called;
    if (!answer.ok) return step('call', { problem: problem('call', answer) });
    const ok = answer.value.status === 200 && equalBytes(answer.value.body, utf8(said));
    return ok
      ? step('call', { ok, roundTripMs })
      : step('call', { problem: `It answered the call with status ${answer.value.status}.` });
  };

  const pingPeer = async (node: NodeRecord, peer: NodeRecord, kind: PingKind): Promise<PingStep> => {
    const [address] = parts.tailnet.node(peer.id)?.addresses ?? peer.addresses;
    if (address === undefined) return step(kind, { problem: 'The other machine has no address.' });
    const answer = await control.pingPeer(node.id, kind, address);
    if (!answer.ok) return step(kind, { problem: problem(kind, answer) });
    const { latencyMs, error } = answer.value;
    if (latencyMs === undefined) return step(kind, { problem: error ?? SILENT[kind] });
    return step(kind, { ok: true, roundTripMs: latencyMs, ...pathOf(answer.value) });
  };

  /** Whether the policy shows the other machine to this one; a client pings nobody whom it doesn't know. */
  const sees = (node: NodeRecord, peer: NodeRecord): boolean => {
    const { population } = parts.tailnet;
    return (
      population.node(node.id) !== undefined &&
      population.node(peer.id) !== undefined &&
      population.sees(node.id, peer.id)
    );
  };

  const run = async ({ params, body }: AdminRequest): Promise<Outcome<PingAnswer>> => {
    const named = (name: unknown): NodeRecord | undefined =>
      typeof name === 'string' ? findNode(parts, name) : undefined;
    const node = named(params['node']);
    if (!node) return refuse('http/not-found', `There is no machine «${params['node']}».`);
    const peer = named(body['to']);
    if (body['to'] !== undefined && !peer)
      return refuse('http/not-found', `There is no machine «${JSON.stringify(body['to'])}».`);
    if (peer === node) return refuse('http/bad-request', 'A machine does not ping itself; name another one.');

    const session = control.sessions().find((one) => one.node === node.id);
    const steps = await Promise.all([pingStream(node), ...(session ? [pingCall(node)] : [])]);
    let paths: readonly PingStep[] = [];
    // One that does not even answer over its stream has nothing to say about others.
    if (peer && steps[0]?.ok) {
      paths = sees(node, peer)
        ? await Promise.all(PING_KINDS.map(async (kind) => pingPeer(node, peer, kind)))
        : [step('disco', { problem: 'The policy does not show the other machine to it.' })];
    }
    const label = (record: NodeRecord): string => parts.tailnet.node(record.id)?.label ?? record.name;
    const version = node.hostinfo['IPNVersion'];
    return accept({
      node: label(node),
      id: node.id,
      from: session?.remote ?? null,
      version: typeof version === 'string' ? version : '',
      homeRelay: node.homeDerp,
      lastSeen: node.lastSeenMs > 0 ? new Date(node.lastSeenMs).toISOString() : null,
      to: peer ? label(peer) : null,
      steps: [...steps, ...paths],
      ok: [...steps, ...paths].every(({ ok }) => ok),
    });
  };

  return [{ method: 'post', path: '/nodes/:node/ping', run }];
};

// Questions to a client: its map stream carries a PingRequest, the answer comes as a request of its own to a URL that nobody
// can guess. `ping` asks whether the client is there; `callNode` runs an HTTP request inside it, which Tailscale calls c2n
// (protocol: tailcfg.PingRequest, feature/c2n/c2n.go).

import { formatBase32, formatBase64, utf8 } from '../base/bytes.ts';
import type { NodeId } from '../base/ids.ts';
import { accept, refuse, type Outcome } from '../base/outcome.ts';
import type { Random } from '../keys/crypto.ts';
import { encodeMessage, encodeRawFrame } from '../wire/framing.ts';
import type { PingRequest } from '../wire/map.ts';
import { decodePingResult } from '../wire/ping.ts';
import type { Call } from './connection.ts';
import type { Control, ControlLimits } from './ports.ts';
import type { Presence } from './presence.ts';

const PATH = '/machine/ping/';
const TOKEN_BYTES = 20;
const OFFLINE = refuse('control/offline', 'The node is not connected.');
const SILENT = refuse('control/silent', 'The node did not answer in time.');

export interface Callbacks extends Pick<Control, 'callNode' | 'pingPeer'> {
  readonly ping: (node: NodeId, withinMs?: number) => ReturnType<Control['ping']>;
  /** Takes a client's answer. */
  readonly handle: (call: Call) => Promise<void>;
}

interface Question {
  readonly node: NodeId;
  readonly answered: (body: Uint8Array) => void;
}

export const createCallbacks = (
  presence: Presence,
  random: Random,
  now: () => number,
  limits: ControlLimits,
): Callbacks => {
  const questions = new Map<string, Question>();

  const ask = (node: NodeId, wish: Omit<PingRequest, 'URL'>, timeoutMs: number): Promise<Outcome<Uint8Array>> => {
    const session = presence.sessionOf(node);
    const token = formatBase32(random(TOKEN_BYTES)).toLowerCase();
    // The host is never looked at, but clients keep one connection for each host that they are told.
    const request: PingRequest = { URL: `https://unused${PATH}${token}`, URLIsNoise: true, ...wish };
    const json = JSON.stringify({ KeepAlive: true, PingRequest: request });
    if (!session?.send(encodeMessage(encodeRawFrame(utf8(json))), now())) return Promise.resolve(OFFLINE);
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        questions.delete(token);
        resolve(SILENT);
      }, timeoutMs);
      const answered = (body: Uint8Array): void => {
        clearTimeout(timer);
        questions.delete(token);
        resolve(accept(body));
      };
      questions.set(token, { node, answered });
    });
  };

  return {
    ping: async (node, withinMs = limits.pingMs) => {
      const startMs = now();
      const answer = await ask(node, {}, withinMs);
      return answer.ok ? accept(now() - startMs) : answer;
    },
    callNode: (node, request, withinMs = limits.callMs) =>
      ask(node, { Types: 'c2n', Payload: formatBase64(request) }, withinMs),
    pingPeer: async (node, kind, address) => {
      const answer = await ask(node, { Types: kind, IP: address }, limits.peerPingMs);
      return answer.ok ? decodePingResult(answer.value) : answer;
    },
    handle: async (call) => {
      const question = questions.get(call.path.slice(PATH.length));
      const session = question && presence.sessionOf(question.node);
      const body = await call.readBody();
      // Clients don't read the answer's body; one with content would hold its stream open.
      if (!question || session?.peer.machineKey !== call.peer.machineKey) call.answer(404);
      else {
        question.answered(body ?? new Uint8Array());
        call.answer(200);
      }
    },
  };
};

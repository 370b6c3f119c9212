// What clients say is wrong with them. Clients before v1.90 report each warning when it comes and goes; newer ones are asked,
// by a call over their map stream, some time after they came or told us something new, and when somebody looks. Each change is
// one line in the log.

import type { NodeId } from '../base/ids.ts';
import { accept, type Outcome } from '../base/outcome.ts';
import type { NodeRecord } from '../registry/record.ts';
import type { Registry } from '../registry/registry.ts';
import { answersHealthCall } from '../wire/capability.ts';
import { decodeHealthState, MAX_HEALTH_CODE, MAX_HEALTH_TEXT, type HealthWarning } from '../wire/health.ts';
import { decodeCallAnswer, encodeCall } from '../wire/ping.ts';
import type { Callbacks } from './callback.ts';
import { noteNode, type ControlLimits, type Note } from './ports.ts';
import type { Presence } from './presence.ts';
import type { Wheel } from './wheel.ts';

/** Questions that may be open; a whole tailnet that comes back at once is asked a few at a time. */
const AT_ONCE = 4;
const ANSWER_MS = 10_000;
const QUESTION = encodeCall('GET', '/debug/health');
/** Says only that a client has just started, or repeats what it was told by us. */
const isIdle = ({ code }: HealthWarning): boolean => code === 'warming-up' || code.startsWith('control-health.');

export interface HealthPorts {
  readonly now: () => number;
  readonly registry: Registry;
  readonly presence: Pick<Presence, 'sessionOf'>;
  readonly callbacks: Pick<Callbacks, 'callNode'>;
  readonly wheel: Wheel;
  readonly limits: Pick<ControlLimits, 'healthAfterMs' | 'healthEveryMs'>;
  readonly note: Note;
}

export interface Health {
  /** A node came or told something new about itself. `restarted`: what its process before said is over. */
  readonly heard: (node: NodeId, restarted: boolean) => void;
  /** An old client reports one warning, or by undefined its end. */
  readonly report: (node: NodeRecord, code: string, text: string | undefined) => void;
  /** Asks now; what a client can't be asked is what it reported. */
  readonly ask: (node: NodeId, withinMs?: number) => Promise<Outcome<readonly HealthWarning[]>>;
  readonly warningsOf: (node: NodeId) => readonly HealthWarning[];
  /** Nodes that complain. */
  readonly unhealthy: () => number;
  readonly forget: (node: NodeId) => void;
}

export const createHealth = (ports: HealthPorts): Health => {
  const { now, registry, presence, callbacks, wheel, limits, note } = ports;
  /** Only nodes that complain, each warning by its code. */
  const known = new Map<NodeId, ReadonlyMap<string, HealthWarning>>();
  const askedMs = new Map<NodeId, number>();
  /** Nodes that wait until it is time to ask them, and those whose time it is. */
  const waiting = new Map<NodeId, () => void>();
  const queue = new Set<NodeId>();
  let asking = 0;

  const set = (node: NodeId, warnings: ReadonlyMap<string, HealthWarning>): void => {
    const before = known.get(node);
    if (warnings.size > 0) known.set(node, warnings);
    else known.delete(node);
    const record = registry.view.nodes.get(node);
    if (!record) return;
    for (const [code, { severity, text }] of warnings) {
      if (before?.get(code)?.text === text) continue;
      note(severity === 'high' ? 'warn' : 'info', 'client health', { ...noteNode(record), warning: code, text });
    }
    for (const code of before?.keys() ?? []) {
      if (!warnings.has(code)) note('info', 'client health restored', { ...noteNode(record), warning: code });
    }
  };

  const answers = (node: NodeId): boolean => answersHealthCall(presence.sessionOf(node)?.capver ?? 0);
  const warningsOf = (node: NodeId): readonly HealthWarning[] => [...(known.get(node)?.values() ?? [])];

  const ask: Health['ask'] = async (node, withinMs = ANSWER_MS) => {
    if (!answers(node)) return accept(warningsOf(node));
    askedMs.set(node, now());
    const called = await callbacks.callNode(node, QUESTION, withinMs);
    const answer = called.ok ? decodeCallAnswer(called.value) : called;
    if (!answer.ok) return answer;
    // A client that was built without this call has nothing to say.
    const state = answer.value.status === 200 ? decodeHealthState(answer.value.body) : accept([]);
    if (!state.ok) return state;
    if (registry.view.nodes.has(node)) {
      const lasting = state.value.filter((warning) => !isIdle(warning));
      set(node, new Map(lasting.map((warning) => [warning.code, warning])));
    }
    return accept(warningsOf(node));
  };

  const askNext = (): void => {
    for (const node of queue) {
      if (asking >= AT_ONCE) return;
      queue.delete(node);
      if (!answers(node)) continue;
      asking += 1;
      ask(node)
        .catch((fault: unknown) => note('error', 'health question failed', { fault }))
        .finally(() => {
          asking -= 1;
          askNext();
        });
    }
  };

  return {
    ask,
    warningsOf,
    heard: (node, restarted) => {
      if (restarted && !answers(node)) known.delete(node);
      if (waiting.has(node) || queue.has(node) || !answers(node)) return;
      const sinceMs = now() - (askedMs.get(node) ?? -Infinity);
      const delayMs = Math.max(limits.healthAfterMs, limits.healthEveryMs - sinceMs);
      const due = (): void => {
        waiting.delete(node);
        queue.add(node);
        askNext();
      };
      waiting.set(node, wheel.after(delayMs, due));
    },
    report: (node, code, text) => {
      const key = code.slice(0, MAX_HEALTH_CODE);
      const warnings = new Map(known.get(node.id));
      warnings.delete(key);
      if (text !== undefined)
        warnings.set(key, { code: key, severity: 'medium', text: text.slice(0, MAX_HEALTH_TEXT), sinceMs: now() });
      // A client has some thirty kinds of warnings; one that sends more of them makes us forget the oldest.
      for (const oldest of warnings.keys()) if (warnings.size > 64) warnings.delete(oldest);
      set(node.id, warnings);
    },
    unhealthy: () => known.size,
    forget: (node) => {
      waiting.get(node)?.();
      waiting.delete(node);
      queue.delete(node);
      known.delete(node);
      askedMs.delete(node);
    },
  };
};

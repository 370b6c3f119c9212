// What `tailplane status` shows: one look at every part.

import { accept } from '../base/outcome.ts';
import type { AdminOperation } from '../http/admin.ts';
import type { StatusAnswer } from '../http/answers.ts';
import type { Control } from '../control/ports.ts';
import type { Relay } from '../derp/relay.ts';
import type { Follower } from './follow.ts';
import type { SelfTestTarget } from './self-test.ts';
import type { Parts } from './parts.ts';

export interface StatusInputs {
  readonly version: string;
  readonly url: string;
  readonly startedAtMs: number;
  readonly parts: Parts;
  readonly follower: Follower;
  readonly control: Control;
  readonly relay: Relay | undefined;
  readonly selfTest: SelfTestTarget;
  readonly certificateProblem: () => string | undefined;
}

/** Decisions that live in the registry alone; `tailplane routes approve` and `nodes declare` put them into git. */
const driftOf = ({ registry, tailnet }: Parts): readonly string[] =>
  [...registry.view.nodes.values()].flatMap(({ id, approvedRoutes }) => {
    const label = tailnet.node(id)?.label ?? String(id);
    return approvedRoutes.length === 0 ? [] : [`${label}: ${approvedRoutes.join(', ')} approved at run time`];
  });

/** Machines whose keys another one uses as well. */
const copiesOf = ({ registry, tailnet }: Parts, control: Control): readonly string[] =>
  [...registry.view.nodes.keys()].flatMap((id) => {
    const copy = control.copyOf(id);
    return copy
      ? [`${tailnet.node(id)?.label ?? id} is copied: a machine at ${copy.remote} uses its keys as well`]
      : [];
  });

export const statusOperation = (inputs: StatusInputs): AdminOperation => ({
  method: 'get',
  path: '/status',
  run: () => {
    const { version, url, startedAtMs, parts, follower, control, relay, certificateProblem } = inputs;
    const snapshot = follower.snapshot();
    const reconcile = follower.reconcile.status();
    const registry = parts.registry.status();
    const { pending, source } = reconcile;
    const reasons = (pending?.obstacles ?? []).map(({ message, allowedBy }) =>
      allowedBy === undefined ? message : `${message} To let it pass, put into a commit message: ${allowedBy}`,
    );
    const answer: StatusAnswer = {
      version,
      url,
      startedAt: new Date(startedAtMs).toISOString(),
      revision: snapshot.revision,
      digest: snapshot.digest,
      state: pending?.state ?? 'serving',
      tailnet: snapshot.tailnet.name,
      nodes: { total: parts.registry.view.nodes.size, online: control.online() },
      problems: [
        ...(pending
          ? [`revision ${pending.revision} is ${pending.state}${reasons.length > 0 ? `: ${reasons.join(' ')}` : ''}`]
          : []),
        ...(reconcile.recorded ? [] : ['the last good tailnet could not be written to the data folder']),
        ...(source.refusal ? [`the source can't be read: ${source.refusal.reason}`] : []),
        ...[certificateProblem() ?? []].flat(),
        ...copiesOf(parts, control),
        ...(registry.problem === null ? [] : [`registrations are refused for now: ${registry.problem}`]),
      ],
      drift: driftOf(parts),
      source,
      reconcile,
      registry,
      relay: relay?.stats() ?? null,
      selfTest: inputs.selfTest satisfies SelfTestTarget,
    };
    return accept(answer);
  },
});

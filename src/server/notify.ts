// Messages to a webhook of the operators about what happened to a revision, signed as our own hooks are. Best effort: three
// tries, then the log; nothing waits for it.

import { setTimeout as sleep } from 'node:timers/promises';
import { refuse, accept, type Outcome } from '../base/outcome.ts';
import type { Secret } from '../base/secret.ts';
import { signGeneric } from '../source/webhook.ts';

const REQUEST_MS = 10_000;
const PAUSES_MS: readonly number[] = [0, 2_000, 10_000];

export interface Notifier {
  readonly url: string;
  readonly secret: Secret<string>;
  readonly now: () => number;
  /** Before each try. */
  readonly pausesMs?: readonly number[];
}

/** Posts JSON with an `X-Tailplane-Signature` over time and body. */
export const notify = async (
  { url, secret, now, pausesMs = PAUSES_MS }: Notifier,
  message: object,
): Promise<Outcome<undefined>> => {
  const body = Buffer.from(JSON.stringify(message));
  let reason = '';
  for (const pauseMs of pausesMs) {
    await sleep(pauseMs, undefined, { ref: false });
    try {
      const answer = await fetch(url, {
        method: 'POST',
        redirect: 'error',
        headers: {
          'content-type': 'application/json',
          'user-agent': 'tailplane',
          'x-tailplane-signature': signGeneric(secret, body, now()),
        },
        body,
        signal: AbortSignal.timeout(REQUEST_MS),
      });
      await answer.body?.cancel();
      if (answer.ok) return accept(undefined);
      reason = `it answers with HTTP ${answer.status}`;
    } catch {
      reason = 'it cannot be reached in time';
    }
  }
  return refuse('server/not-notified', `The notification URL took no message: ${reason}.`);
};

// What a client is advised to run: whether there is a newer release than its own, and whether to update by itself where its
// user has not decided (tailcfg.ClientVersion; the default of updates is a node attribute from capability version 131 on,
// and a field of the map before).

import { isOlderRelease, parseRelease } from '../base/release.ts';
import type { CapabilityVersion } from '../wire/capability.ts';
import { missesClientVersion, readsUpdatesFromAttribute } from '../wire/capability.ts';
import type { ClientVersion, DisplayMessage } from '../wire/map.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { MessageBuilder } from './fragment.ts';

/** The newest release as tailnet.json5 has it, for a client that says what it runs. */
export const clientVersionOf = ({ tailnet }: Snapshot, running: unknown): ClientVersion => {
  const { latest, secureFrom } = tailnet.clients;
  const own = typeof running === 'string' ? parseRelease(running) : undefined;
  const newest = latest === null ? undefined : parseRelease(latest);
  // Clients that get no word on it, or a doubtful one, show a warning; so what is not known counts as the newest.
  if (!own || !newest || latest === null || !isOlderRelease(own, newest)) return { RunningLatest: true };
  const secure = secureFrom === null ? undefined : parseRelease(secureFrom);
  return {
    RunningLatest: false,
    LatestVersion: latest,
    ...(secure && isOlderRelease(own, secure) && { UrgentSecurityUpdate: true }),
  };
};

/** Names our message among those that a client shows. */
const MESSAGE = 'update';

const messageOf = ({ LatestVersion: latest, UrgentSecurityUpdate: urgent }: ClientVersion): DisplayMessage => ({
  Title: urgent ? 'Security update available' : 'Update available',
  Text: `Tailscale ${latest} is available${urgent ? ', and fixes the security of this one' : ''}.`,
  Severity: urgent ? 'medium' : 'low',
});

/** Writes what differs from `sent`, and gives what is sent from now on. */
export const writeAdvice = (
  snapshot: Snapshot,
  running: unknown,
  capver: CapabilityVersion,
  sent: string,
  to: MessageBuilder,
): string => {
  const hint = clientVersionOf(snapshot, running);
  const version = JSON.stringify(hint);
  const updates = snapshot.tailnet.nodes.autoUpdate && !readsUpdatesFromAttribute(capver);
  const advice = `${version}${updates ? '+' : ''}`;
  if (advice === sent) return sent;
  to.field('ClientVersion');
  to.text(version);
  if (missesClientVersion(capver) && (!hint.RunningLatest || sent.includes('LatestVersion'))) {
    to.field('DisplayMessages');
    to.text(JSON.stringify({ [MESSAGE]: hint.RunningLatest ? null : messageOf(hint) }));
  }
  if (updates) {
    to.field('DefaultAutoUpdate');
    to.text('true');
  }
  return advice;
};

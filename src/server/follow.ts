// Follows the source of the tailnet for a server: opens it with the server's settings, puts the reconcile loop on it, and
// tells what happens to each revision in log, metrics, commit status and notifications.

import type { KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { compareDiagnostics, type Diagnostic } from '../base/diagnostic.ts';
import type { Outcome } from '../base/outcome.ts';
import type { Metrics } from '../http/metrics.ts';
import type { PublicPorts } from '../http/public.ts';
import { nativeCrypto } from '../keys/native.ts';
import type { KeyPair } from '../keys/pair.ts';
import { resolveNode } from '../netmap/resolve.ts';
import type { PolicyUser } from '../policy/facts.ts';
import type { NodeRecord } from '../registry/record.ts';
import type { GuardSide } from '../review/guard.ts';
import { renderTerminal } from '../review/terminal.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { Credential } from '../source/credential.ts';
import { forgeOf, reportStatus, type CommitStatus } from '../source/forge.ts';
import { openSource } from '../source/open.ts';
import type { Source, SourceSettings, SourceStatus } from '../source/source.ts';
import { formatSshKey } from '../source/sshsig.ts';
import { createHookCheck } from '../source/webhook.ts';
import type { Proxy } from '../source/proxy.ts';
import { StartFailure } from './failure.ts';
import { signingKeyOf } from './keyring.ts';
import type { Logger } from './log.ts';
import { notify } from './notify.ts';
import { receiversBy } from './receivers.ts';
import { readOutbound } from './outbound.ts';
import { openReconcile, type Pending, type Reconcile, type ReconcileEvent } from './reconcile.ts';
import type { Settings } from './settings.ts';

export interface Refused {
  readonly revision: string;
  readonly atMs: number;
  readonly diagnostics: readonly Diagnostic[];
}

export interface Follower {
  /** The snapshot that serves now. */
  readonly snapshot: () => Snapshot;
  /** The newest revision where it is not the one that serves. */
  readonly refused: () => Refused | undefined;
  readonly source: () => SourceStatus;
  /** Called after each swap. */
  readonly onSwap: (listener: (snapshot: Snapshot) => void) => void;
  readonly reconcile: Reconcile;
  /** For edits and history. */
  readonly origin: Source;
  /** The public key that the server's own commits are signed with, as a line for `signers`. */
  readonly signer: string;
  /** `POST /hooks/git`; absent where no secret is set. */
  readonly hook?: NonNullable<PublicPorts['webhook']>;
  readonly close: () => Promise<void>;
}

export interface FollowInputs {
  readonly location: string;
  readonly settings: Settings;
  readonly dataFolder: string;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly now: () => number;
  readonly colour: boolean;
  /** What opens sealed values of the tailnet. */
  readonly sealKey: KeyPair;
  /** Everything registered; the guard weighs a change by it. */
  readonly nodes: () => Iterable<NodeRecord>;
}

/** A push that the host tells of before its own replicas know it is asked for once more. */
const HOOK_AGAIN_MS = 2_000;
const HOOK_WARNING_MS = 60_000;

/** GitHub Enterprise has its API under a path of its own host. */
const appApiOf = (location: string): { readonly apiUrl?: string } => {
  const url = URL.parse(location);
  return url && url.hostname !== 'github.com' ? { apiUrl: `${url.origin}/api/v3` } : {};
};

const readCa = (file: string): string => {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    throw new StartFailure('usage', 'server/bad-setting', `The file of --source-ca, ${file}, can't be read.`);
  }
};

const credentialOf = (location: string, settings: Settings): Credential | undefined => {
  const { sourceUser, sourceToken, githubAppId, githubAppInstallation, githubAppKey } = settings;
  if (githubAppId !== undefined && githubAppInstallation !== undefined && githubAppKey) {
    return {
      kind: 'github-app',
      appId: githubAppId,
      installationId: githubAppInstallation,
      privateKeyPem: githubAppKey,
      ...appApiOf(location),
    };
  }
  if (!sourceToken) return undefined;
  return sourceUser === undefined
    ? { kind: 'token', token: sourceToken }
    : { kind: 'basic', username: sourceUser, password: sourceToken };
};

const sourceSettingsOf = (
  location: string,
  settings: Settings,
  dataDir: string,
  signingKey: KeyObject,
  proxy: Proxy | undefined,
): SourceSettings => {
  const { branch, folder, depth, pollSeconds, sourceCa, sshKey, sshKnownHosts } = settings;
  const credential = credentialOf(location, settings);
  return {
    dataDir,
    signingKey,
    ...(proxy ? { proxy } : {}),
    ...(branch === undefined ? {} : { branch }),
    ...(folder === undefined ? {} : { folder }),
    ...(depth === undefined ? {} : { depth }),
    ...(pollSeconds === undefined ? {} : { pollMs: pollSeconds * 1000 }),
    ...(credential === undefined ? {} : { credential }),
    ...(sourceCa === undefined ? {} : { caPem: readCa(sourceCa) }),
    ...(sshKey === undefined ? {} : { identityFile: sshKey }),
    ...(sshKnownHosts === undefined ? {} : { knownHostsFile: sshKnownHosts }),
  };
};

/** Registered nodes as a snapshot declares them, those that are let in. */
const guardSide = (snapshot: Snapshot, nodes: Iterable<NodeRecord>): GuardSide => ({
  snapshot,
  nodes: Array.from(nodes, (record) => resolveNode(snapshot, record, true))
    .filter(({ authorized }) => authorized)
    .map(({ policyNode }) => policyNode),
  userOf: (id): PolicyUser | undefined => snapshot.userById.get(id),
});

const isDiagnostic = (value: { readonly message: string }): value is Diagnostic => 'severity' in value;

export const followTailnet = async (inputs: FollowInputs): Promise<Follower> => {
  const { location, settings, dataFolder, log, metrics, now, colour } = inputs;
  const fail = (reason: string): never => {
    throw new StartFailure(
      'state',
      'server/source-unreadable',
      reason,
      'Name the tailnet: tailplane serve DIR, or the URL of its git repository. `tailplane init DIR` makes one.',
    );
  };
  const onFault = (fault: unknown): void => log.error({ err: fault }, 'fault while following the source');
  const receivers = receiversBy(nativeCrypto, inputs.sealKey);
  const proxy = readOutbound();
  const signingKey = signingKeyOf(dataFolder);
  const opened = await openSource(location, {
    ...sourceSettingsOf(location, settings, dataFolder, signingKey, proxy),
    onFault,
  });
  if (!opened.ok) return fail(opened.reason);
  const source = opened.value;

  const show = (diagnostics: readonly Diagnostic[], files: ReadonlyMap<string, Uint8Array> | undefined): void => {
    if (diagnostics.length === 0) return;
    const sources = new Map(Array.from(files ?? [], ([name, bytes]) => [name, Buffer.from(bytes).toString('utf8')]));
    const sorted = [...diagnostics].sort(compareDiagnostics);
    process.stderr.write(`${renderTerminal({ diagnostics: sorted, sources }, { colour })}\n`);
  };

  const forge =
    settings.statusToken && source.kind === 'https'
      ? forgeOf(location, settings.statusToken, settings.gitHost as 'github' | 'gitlab' | 'gitea' | undefined)
      : undefined;
  const told = async (telling: Promise<Outcome<undefined>>): Promise<void> => {
    const outcome = await telling;
    if (!outcome.ok) log.warn({ code: outcome.code }, outcome.reason);
  };
  const tellHost = (status: CommitStatus): void => {
    if (forge) void told(reportStatus(forge, status));
  };
  const tellOperators = (event: ReconcileEvent): void => {
    const { notifyUrl, notifySecret } = settings;
    const { transition, pending, snapshot } = event;
    const message = { type: `tailnet.${transition.kind}`, ...transition, obstacles: pending?.obstacles };
    const own = notifyUrl !== undefined && notifySecret ? [{ url: notifyUrl, secret: notifySecret }] : [];
    for (const to of [...own, ...(snapshot ? receivers.of(snapshot, transition.kind) : [])])
      void told(notify({ ...to, now }, message));
  };

  const logEvent = ({ transition, pending, warnings = [], files, tookMs }: ReconcileEvent): void => {
    const { kind, revision, subject } = transition;
    const about = { revision, ...(subject === undefined ? {} : { subject }) };
    if (kind === 'taken') {
      log.info({ ...about, tookMs }, 'this revision serves now');
      for (const warning of warnings)
        if (!isDiagnostic(warning)) log.warn(about, `${warning.message} In a plain folder the guard only warns.`);
      show(warnings.filter(isDiagnostic), files);
    } else if (kind === 'rejected' || kind === 'held') {
      const first = pending?.obstacles[0];
      const more = (pending?.obstacles.length ?? 1) - 1;
      const reason = `${first?.message ?? 'it cannot be taken'}${more > 0 ? ` (and ${more} more)` : ''}`;
      const allowedBy = first?.allowedBy === undefined ? {} : { allowedBy: first.allowedBy };
      log.error({ ...about, ...allowedBy }, `the last good revision goes on serving; the newest is ${kind}: ${reason}`);
      show(pending?.diagnostics ?? [], files);
    } else log.warn(about, `the tailnet was ${kind.replace('-', ' ')} by hand`);
  };

  const statusOf = (commit: string, pending: Pending | undefined): CommitStatus => {
    const first = pending?.obstacles[0];
    if (!pending) return { commit, state: 'success', description: 'Served by the control server.' };
    return { commit, state: 'failure', description: `Not served (${pending.state}): ${first?.message ?? ''}` };
  };

  const reconciled = await openReconcile({
    source,
    origin: `${source.status().location}#${settings.branch ?? ''}:${settings.folder ?? ''}`,
    dataDir: dataFolder,
    now,
    sideOf: (snapshot) => guardSide(snapshot, inputs.nodes()),
    problemsOf: (snapshot) => receivers.problemsOf(snapshot),
    onEvent: (event) => {
      const { transition, commit, pending, tookMs } = event;
      if (event.isKnown) {
        logEvent(event);
        return;
      }
      metrics.count('reconciles_total', 1, { outcome: transition.kind });
      if (transition.kind === 'taken') metrics.observe('reconcile_seconds', tookMs / 1000);
      logEvent(event);
      if (commit && /^(?:taken|held|rejected|rolled-back)$/.test(transition.kind))
        tellHost(statusOf(commit.id, pending));
      tellOperators(event);
    },
    onFailing: ({ code, reason }) => {
      metrics.count('reconciles_total', 1, { outcome: 'failing' });
      log.warn({ code }, `the source can't be read: ${reason}`);
    },
    onFault,
  });
  if (!reconciled.ok) {
    const { code, reason, diagnostics, files } = reconciled;
    if (code !== 'server/tailnet-broken') return fail(reason);
    show(diagnostics, files);
    throw new StartFailure(
      'state',
      code,
      diagnostics.length > 0 ? `The tailnet in ${location} has errors; see above.` : reason,
      `Mend it; \`tailplane lint\` shows errors in a folder.`,
    );
  }
  const reconcile = reconciled.value;

  metrics.gauge('source_failures', 'Attempts to read the source that failed in a row', () => source.status().failures);
  metrics.gauge('source_checked_seconds', 'Unix time at which the source was last asked', () =>
    Math.round((source.status().checkedAtMs ?? 0) / 1000),
  );
  metrics.gauge('revision_pending', '1 while the newest revision is not the one that serves', () =>
    reconcile.status().pending ? 1 : 0,
  );
  metrics.gauge('revision_recorded', '1 while the last good revision is on disk', () =>
    reconcile.status().recorded ? 1 : 0,
  );
  metrics.gauge('revision_since_seconds', 'Unix time since which the revision serves', () =>
    Math.round(reconcile.status().serving.sinceMs / 1000),
  );

  const check = settings.webhookSecret && createHookCheck(settings.webhookSecret);
  let warnedAtMs = 0;
  const hook: Follower['hook'] =
    check &&
    (async (headers, body) => {
      const answer = (status: number) => Promise.resolve({ status, type: 'text/plain', body: '' });
      const seen = check({ headers, body, nowMs: now() });
      metrics.count('webhooks_total', 1, { outcome: seen.ok ? seen.value.host : 'refused' });
      if (!seen.ok) {
        // Strangers can send what they like; the log is not theirs to fill.
        if (now() - warnedAtMs > HOOK_WARNING_MS) {
          warnedAtMs = now();
          log.warn({ code: seen.code }, seen.reason);
        }
        // A delivery that came before did its work then.
        return await answer(seen.code === 'source/hook-replayed' ? 200 : 403);
      }
      const { branch } = source.status();
      const { isPush, ref } = seen.value;
      if (!isPush || (ref !== undefined && branch !== undefined && ref !== `refs/heads/${branch}`))
        return await answer(200);
      const before = source.status().revision;
      const ask = async (isAgain: boolean): Promise<void> => {
        await reconcile.sync();
        if (isAgain || source.status().revision !== before) return;
        setTimeout(() => void ask(true).catch(onFault), HOOK_AGAIN_MS).unref();
      };
      void ask(false).catch(onFault);
      return await answer(202);
    });

  return {
    snapshot: () => reconcile.snapshot(),
    refused: () => {
      const { pending } = reconcile.status();
      return pending && { revision: pending.revision, atMs: pending.atMs, diagnostics: pending.diagnostics };
    },
    source: () => source.status(),
    onSwap: (listener) => reconcile.onSwap(listener),
    reconcile,
    origin: source,
    signer: formatSshKey(signingKey),
    ...(hook ? { hook } : {}),
    close: () => reconcile.close(),
  };
};

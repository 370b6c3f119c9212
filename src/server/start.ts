// Puts the server together, in the order in which each part needs the one before it, and takes it apart in reverse. All
// wiring is here; no other file knows more than its own part.

import { randomBytes } from 'node:crypto';

import { createControl } from '../control/control.ts';
import { EMBEDDED_REGION_ID } from '../config/derp.ts';
import { createRelay } from '../derp/relay.ts';
import { startStunServer } from '../derp/stun-server.ts';
import { verifyAnswer } from '../derp/verify.ts';
import { createMetrics } from '../http/metrics.ts';
import { createPublicApp } from '../http/public.ts';
import { nativeCrypto } from '../keys/native.ts';
import { formatMachineKey, type NodeKey } from '../keys/text.ts';
import { createTailnet } from '../netmap/tailnet.ts';
import type { Tailnet } from '../netmap/tailnet.ts';
import { RegistryFault } from '../registry/fault.ts';
import { openRegistry } from '../registry/open.ts';
import { addressesOf, portOf, urlOf } from './addresses.ts';
import { openAdministration } from './administration.ts';
import { backupDownloads } from './backup-operations.ts';
import { createBootstrapDns } from './bootstrap-dns.ts';
import { prepareDataFolder } from './data-folder.ts';
import { debugOperations } from './debug-operations.ts';
import { StartFailure } from './failure.ts';
import { bindFront, FRONT_LIMITS } from './front.ts';
import { followTailnet } from './follow.ts';
import { exposeGauges, isDurable } from './gauges.ts';
import { listenerOf } from './request-listener.ts';
import { createTeardown } from './teardown.ts';
import type { Teardown } from './teardown.ts';
import { credentialOperations } from './credential-operations.ts';
import { createKey, keyOperations } from './key-operations.ts';
import { keyPairOf } from './keyring.ts';
import { listenFailure } from './listen.ts';
import { createLog } from './log.ts';
import type { Logger } from './log.ts';
import { loginOperations } from './login-operations.ts';
import { isLoopback } from './newcomers.ts';
import { nodeOperations } from './node-operations.ts';
import { mountPages } from './pages.ts';
import { pingOperations } from './ping-operations.ts';
import { tellSelfTest, type SelfTestTarget } from './self-test.ts';
import type { Parts } from './parts.ts';
import { trustedProxies } from './proxy.ts';
import { redirectTo } from './redirect.ts';
import { limitNotes } from './note.ts';
import { openCertificateRecords } from './publish-dns.ts';
import { openPublicMap } from './public-map.ts';
import { embeddedRegion } from './relay-region.ts';
import { createRelayReminder } from './relay-reminder.ts';
import { formatHostPort } from './settings.ts';
import type { Settings } from './settings.ts';
import { routeOperations } from './route-operations.ts';
import { sshOperations } from './ssh-operations.ts';
import { openRouterOrder, readRouterOrder } from './router-order.ts';
import { sourceOperations } from './source-operations.ts';
import { statusOperation } from './status-operation.ts';
import { openCertificate, withRelayKey } from './tls.ts';

export interface StartOptions {
  readonly settings: Settings;
  /** What is served where no source is set. */
  readonly defaultSource: string;
  readonly version: string;
  readonly pretty: boolean;
  readonly colour: boolean;
  /** Shows a line that a person is meant to copy. */
  readonly announce: (line: string) => void;
}

export interface RunningServer {
  readonly url: string;
  /** Resolves when everything is written and every client was told. */
  readonly stop: (reason: string) => Promise<void>;
}

/** Where clients look for `/generate_204`. */
const PORT_80 = 80;
const QUICK_KEY_TTL_MS = 86_400_000;

/** Prints the command that joins this tailnet, with a fresh key for the tailnet's first owner. */
const announceJoin = async (
  parts: Parts,
  url: string,
  announce: (line: string) => void,
  log: Logger,
): Promise<void> => {
  const key = await createKey(parts, { reusable: true, ttlMs: QUICK_KEY_TTL_MS, description: 'made at start' });
  if (key.ok) announce(`tailscale up --login-server ${url} --authkey ${key.value.key}`);
  else log.warn({ code: key.code }, `no key was made at start: ${key.reason}`);
};

export const startServer = async (options: StartOptions): Promise<RunningServer> => {
  const { settings, version } = options;
  const log = createLog({
    level: settings.logLevel ?? 'info',
    pretty: settings.logFormat === 'pretty' || (settings.logFormat !== 'json' && options.pretty),
    colour: options.colour,
  });
  const teardown = createTeardown(log);
  try {
    return await assemble(options, log, teardown, version);
  } catch (error) {
    await teardown.run();
    throw error;
  }
};

const assemble = async (
  { settings, defaultSource, announce, colour }: StartOptions,
  log: Logger,
  teardown: Teardown,
  version: string,
): Promise<RunningServer> => {
  const startedAtMs = Date.now();
  const now = Date.now;
  const crypto = nativeCrypto;
  const random = (sizeBytes: number): Uint8Array => randomBytes(sizeBytes);
  const dataFolder = prepareDataFolder(settings.data ?? 'data');
  const addresses = addressesOf(settings);
  const asked = addresses.listen;
  const onFault = (fault: unknown, at: string): void => log.error({ err: fault, at }, 'fault');
  const metrics = createMetrics(version);

  const registry = await openRegistry({
    folder: dataFolder,
    holder: `tailplane serve, ${formatHostPort(asked)}`,
    now,
    warn: ({ code, message }) => log.warn({ code }, message),
  }).catch((error: unknown) => {
    throw error instanceof RegistryFault ? new StartFailure('state', error.code, error.message, error.help) : error;
  });
  teardown.push('registry', () => registry.close());

  const sealKey = keyPairOf(crypto, dataFolder, 'seal');
  const follower = await followTailnet({
    location: settings.source ?? defaultSource,
    settings,
    dataFolder,
    sealKey,
    log,
    metrics,
    now,
    colour,
    nodes: () => registry.view.nodes.values(),
  });
  teardown.push('source', () => follower.close());

  // The port is bound before anything is announced, so that the relay and the URL name the port that is really ours.
  const proxies = trustedProxies(settings.trustedProxies);
  const isExempt = (address: string): boolean => isLoopback(address) || proxies.isTrusted(address);
  const frontLimits = { newcomers: { ...FRONT_LIMITS.newcomers, isExempt } };
  const front = await bindFront(asked, frontLimits);
  teardown.push('connections', () => front.close());
  const bound = front.at;
  const url = urlOf(settings.url, bound);
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const certificate = openCertificate({
    settings,
    dataFolder,
    host,
    now,
    note: (level, event, fields) => log[level](fields, event),
  });
  teardown.push('certificate', () => certificate.close());
  const secondFront = addresses.second && (await bindFront(addresses.second, frontLimits));
  if (secondFront) teardown.push('connections of the second address', () => secondFront.close());

  const stunAt = addresses.stun === 'as bound' ? bound : addresses.stun;
  const stun =
    stunAt &&
    (await startStunServer(stunAt).catch((error: unknown) => {
      throw listenFailure(`${formatHostPort(stunAt)} (UDP, for STUN)`, error as NodeJS.ErrnoException);
    }));
  if (stun) teardown.push('stun', () => stun.close());

  const records = openCertificateRecords({
    settings,
    dataFolder,
    now,
    note: (level, event, fields) => log[level](fields, event),
  });
  teardown.push('certificate records', () => records.close());
  records.follow(follower.snapshot().tailnet);

  // Then clients see the proxy's certificate, and verify it by its name.
  const isBehindProxy = settings.trustedProxies !== undefined && url.protocol === 'https:';
  const routerOrder = openRouterOrder(
    dataFolder,
    () => tailnet.routerOrder(),
    (fault) => log.warn({ err: fault }, 'the order of routers could not be written'),
  );
  const region =
    settings.relay === false
      ? null
      : embeddedRegion({
          host,
          port: portOf(url),
          stunPort: stun?.port,
          name: settings.relayName ?? 'Tailplane',
          ...(certificate.pinned === undefined || isBehindProxy ? {} : { pinned: certificate.pinned }),
          answersPort80: secondFront?.at.port === PORT_80,
        });
  const selfTest: SelfTestTarget = {
    url: url.origin,
    key: formatMachineKey(keyPairOf(crypto, dataFolder, 'noise').publicKey),
    relay: region,
    source: follower.source().location,
  };
  const tailnet: Tailnet = createTailnet(follower.snapshot(), registry.view.nodes.values(), {
    nowMs: now,
    routerOrder: readRouterOrder(dataFolder),
    onRouterOrder: routerOrder.touch,
    certificates: records.publish !== undefined,
    embeddedRegion: region,
  });
  teardown.push(
    'registry feed',
    registry.subscribe((changes) => tailnet.apply(changes)),
  );

  const note = limitNotes((level, event, fields) => log[level](fields ?? {}, event), now);
  const control = createControl(
    {
      crypto,
      random,
      now,
      noiseKey: keyPairOf(crypto, dataFolder, 'noise'),
      snapshot: follower.snapshot,
      registry,
      netmap: tailnet,
      meter: metrics,
      note,
      ...(records.publish && { publishDns: records.publish }),
    },
    { url: url.origin, remoteOf: proxies.remoteAddressOf },
  );
  teardown.push('order of routers', () => routerOrder.close());
  teardown.push('control', () => control.close());

  const relayKey = keyPairOf(crypto, dataFolder, 'relay');
  const admitNode = (key: NodeKey): boolean => {
    const id = registry.view.byNodeKey.get(key);
    return id !== undefined && tailnet.node(id)?.authorized === true;
  };
  const relay =
    settings.relay === false
      ? undefined
      : createRelay(
          {
            crypto,
            random,
            admit: admitNode,
            bootstrapDns: createBootstrapDns(
              () => [
                host,
                ...follower.snapshot().derp.regions.flatMap(({ nodes }) => nodes.map((node) => node.hostName)),
              ],
              now,
            ).answer,
            remoteAddressOf: proxies.remoteAddressOf,
            onFault,
          },
          { key: relayKey },
        );
  if (relay) {
    teardown.push('relay', () => relay.close());
    teardown.push(
      'relay feed',
      registry.subscribe((changes) => {
        for (const change of changes) if (change.kind === 'node-removed') relay.disconnect(change.node.nodeKey);
      }),
    );
  }

  const parts: Parts = {
    snapshot: follower.snapshot,
    registry,
    tailnet,
    now,
    random,
  };
  const app = createPublicApp({
    keyAnswer: control.keyAnswer,
    unready: () => (isDurable(registry) ? [] : ['registrations are refused for now: the disk fails or is too slow']),
    ...(relay ? { relayRequest: relay.handleRequest } : {}),
    verify: async (body) => ({ status: 200, type: 'application/json', body: await verifyAnswer(body, admitNode) }),
    ...(follower.hook && { webhook: follower.hook }),
    metrics,
    metricsFor: settings.metrics === 'all' || settings.metrics === 'off' ? settings.metrics : 'loopback',
    onFault,
    mount: mountPages(parts, control, {
      origin: url.origin,
      remoteAddressOf: proxies.remoteAddressOf,
      note,
    }),
  });
  front.open(
    {
      answer: listenerOf(app),
      upgrade: (request, socket, head) => {
        if ((request.url ?? '').split('?')[0] !== '/ts2021')
          return relay?.handleUpgrade(request, socket, head) ?? false;
        control.upgrade(request, socket, head);
        return true;
      },
    },
    relay ? withRelayKey(certificate, relayKey.publicKey) : certificate,
  );
  teardown.push('new connections', () => front.refuse());
  secondFront?.open(
    {
      answer: url.protocol === 'https:' ? redirectTo(url, relay?.handleRequest) : listenerOf(app),
      upgrade: (request, socket, head) => {
        if ((request.url ?? '').split('?')[0] !== '/ts2021') return false;
        control.upgrade(request, socket, head);
        return true;
      },
    },
    certificate,
  );

  const reminder = createRelayReminder(tailnet);
  teardown.push('relay reminder', () => reminder.close());
  const publicMap = openPublicMap({
    dataFolder,
    now,
    onRegions: (regions) => {
      tailnet.setPublicRegions(regions);
      reminder.follow();
    },
    note: (level, event, fields) => log[level](fields, event),
  });
  teardown.push('public relay map', () => publicMap.close());
  publicMap.follow(follower.snapshot().derp.fetch);
  follower.onSwap((snapshot) => {
    publicMap.follow(snapshot.derp.fetch);
    records.follow(snapshot.tailnet);
    tailnet.setSnapshot(snapshot);
    reminder.follow();
    control.recheck();
    relay?.retain(admitNode);
  });
  exposeGauges(metrics, registry, tailnet, control);

  const admin = await openAdministration({
    dataFolder,
    operations: [
      ...nodeOperations(parts, control),
      ...pingOperations(parts, control),
      ...routeOperations(parts),
      ...keyOperations(parts),
      ...credentialOperations(parts),
      ...loginOperations(parts, control),
      ...sshOperations(parts, control),
      ...debugOperations(parts, control),
      ...sourceOperations(parts, follower, formatMachineKey(sealKey.publicKey)),
      statusOperation({
        version,
        url: url.origin,
        startedAtMs,
        parts,
        follower,
        control,
        relay,
        certificateProblem: records.problem,
        selfTest,
      }),
    ],
    downloads: backupDownloads(parts),
    metrics,
    onFault,
  });
  teardown.push('administration', () => admin.close());

  log.info(
    {
      url: url.origin,
      listen: formatHostPort(bound),
      relay: relay ? EMBEDDED_REGION_ID : 'off',
      stun: stun?.port ?? 'off',
      data: dataFolder,
    },
    `tailplane ${version} serves ${follower.snapshot().tailnet.name}`,
  );
  if (settings.quickStart !== false) await announceJoin(parts, url.origin, announce, log);
  teardown.push('self-test', tellSelfTest(selfTest, now, log));
  return {
    url: url.origin,
    stop: async (reason) => {
      log.info({ reason }, 'stopping');
      await teardown.run();
      log.info('stopped');
    },
  };
};

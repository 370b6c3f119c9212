// Control is what clients talk to: `/key`, `/ts2021`, and over Noise the registration, the map and the small requests.
// This file puts its parts together; each part has a file of its own.

import { createCallbacks } from './callback.ts';
import { createRoom, openConnection, type Call, type Connection, type Handler } from './connection.ts';
import { createErrands } from './errand.ts';
import { farewellOf } from './farewell.ts';
import { keyAnswerOf } from './key.ts';
import { createCopies } from './copies.ts';
import { createHealth } from './health.ts';
import { createLiveness } from './liveness.ts';
import { createLogins } from './logins.ts';
import { createMapHandler } from './map.ts';
import { createObserver } from './observe.ts';
import { createOutbox } from './outbox.ts';
import { noteNode, type Control, type ControlLimits, type ControlOptions, type ControlPorts } from './ports.ts';
import { createPresence } from './presence.ts';
import { createRegisterHandler } from './register.ts';
import { createScheduler } from './scheduler.ts';
import { createSshChecks } from './ssh.ts';
import { createStanding } from './standing.ts';
import { createUpgrade, type Peer } from './upgrade.ts';
import type { Channel } from './channel.ts';
import { createWheel } from './wheel.ts';

export const DEFAULT_LIMITS: ControlLimits = {
  connections: 50_000,
  connectionsPerMachine: 16,
  strangers: 2_000,
  waitingHandshakes: 20_000,
  waitingRegistrations: 2_000,
  handshakeTimeoutMs: 10_000,
  bodyTimeoutMs: 15_000,
  bodyBytes: 1 << 20,
  allBodiesBytes: 128 << 20,
  probeEveryMs: 55_000,
  probeAnswerMs: 20_000,
  routerProbeMs: 4_000,
  offlineGraceMs: 10_000,
  gatherMs: 50,
  keepAliveMs: 50_000,
  loginMs: 15 * 60_000,
  pingMs: 15_000,
  callMs: 60_000,
  peerPingMs: 5_000,
  copyProbeMs: 2_000,
  healthAfterMs: 20_000,
  healthEveryMs: 120_000,
};

/** How long work may keep the event loop from its sockets. */
const SLICE_MS = 5;
const DRAIN_MS = 1000;

interface Route {
  readonly method: string;
  readonly handler: Handler;
}

export const createControl = (ports: ControlPorts, options: ControlOptions): Control => {
  const { crypto, meter, netmap, note, now, random, registry, snapshot } = ports;
  const { url } = options;
  const limits: ControlLimits = { ...DEFAULT_LIMITS, ...options.limits };

  const onFault = (fault: unknown): void => note('error', 'task failed', { fault });
  const scheduler = createScheduler(SLICE_MS, onFault);
  const wheel = createWheel();
  const standing = createStanding(snapshot, registry, new URL(url).hostname);
  const observer = createObserver(registry, standing, note);
  const outbox = createOutbox(scheduler, limits.gatherMs, now);
  const { offlineGraceMs, loginMs } = limits;
  const presence = createPresence({ now, registry, netmap, snapshot, note, offlineGraceMs });
  const logins = createLogins({ now, random, registry, standing, snapshot, url, loginMs });
  const ssh = createSshChecks({ now, random, registry, netmap, note, url, loginMs });
  const callbacks = createCallbacks(presence, random, now, limits);
  const health = createHealth({ now, registry, presence, callbacks, wheel, limits, note });
  const copies = createCopies({ now, registry, presence, callbacks, limits, note });
  const liveness = createLiveness({ netmap, presence, callbacks, limits, registry, note });
  const errands = createErrands({ now, snapshot, netmap, standing, health, note, publishDns: ports.publishDns });
  const shared = { now, netmap, presence, scheduler, standing, observer, limits, meter, note };
  const register = createRegisterHandler({ ...shared, registry, snapshot, logins, copies });
  const map = createMapHandler({ ...shared, snapshot, outbox, wheel, health, copies });

  const routes = new Map<string, Route>([
    ['/machine/register', { method: 'POST', handler: register }],
    ['/machine/map', { method: 'POST', handler: map }],
    ['/machine/set-dns', { method: 'POST', handler: errands.setDns }],
    ['/machine/feature/query', { method: 'POST', handler: errands.feature }],
    ['/machine/audit-log', { method: 'POST', handler: errands.auditLog }],
    ['/machine/set-device-attr', { method: 'PATCH', handler: errands.attributes }],
    ['/machine/update-health', { method: 'POST', handler: errands.health }],
    ['/machine/ssh/recording-failed', { method: 'POST', handler: errands.recordingFailed }],
    ['/machine/whoami', { method: 'GET', handler: errands.whoami }],
    [
      '/machine/id-token',
      { method: 'POST', handler: (call: Call) => call.answer(501, 'this server issues no identity tokens') },
    ],
  ]);

  const handle: Handler = (call) => {
    if (call.path.startsWith('/machine/ping/')) return callbacks.handle(call);
    if (call.path.startsWith('/machine/ssh/action/') && call.method === 'GET') return ssh.handle(call);
    const route = routes.get(call.path);
    if (!route) return call.answer(404, 'not found');
    if (route.method !== call.method) return call.answer(405, 'method not allowed', { allow: route.method });
    return route.handler(call);
  };

  const connections = new Set<Connection>();
  const byMachine = new Map<string, Set<Connection>>();
  /** Connections that have not proven to be of a machine with a node, in the order in which they came. */
  const strangers = new Set<Connection>();
  let closing = false;

  const isKnown = (peer: Peer): boolean => registry.view.byMachineKey.has(peer.machineKey);

  /** Anybody can make a machine key, so those whom nobody knows share a part of the room, and can't take it all. */
  const limitStrangers = (): void => {
    for (const connection of strangers) {
      if (strangers.size <= limits.strangers) return;
      strangers.delete(connection);
      // It may be a node of ours by now.
      if (!connection.isProven() || !isKnown(connection.peer)) connection.destroy();
    }
  };

  const proven = (connection: Connection): void => {
    const { machineKey } = connection.peer;
    const siblings = byMachine.get(machineKey) ?? new Set();
    byMachine.set(machineKey, siblings.add(connection));
    if (isKnown(connection.peer)) strangers.delete(connection);
    // A set remembers in which order its members came.
    const [oldest] = siblings;
    if (siblings.size > limits.connectionsPerMachine) oldest?.destroy();
  };

  const disconnected = (connection: Connection): void => {
    connections.delete(connection);
    strangers.delete(connection);
    const siblings = byMachine.get(connection.peer.machineKey);
    siblings?.delete(connection);
    if (siblings?.size === 0) byMachine.delete(connection.peer.machineKey);
  };

  const bodies = createRoom(limits.allBodiesBytes);
  const connected = (peer: Peer, channel: Channel): void => {
    const connection = openConnection({ limits, wheel, bodies, note, handle }, peer, channel, {
      proven: () => proven(connection),
      closed: () => disconnected(connection),
    });
    connections.add(connection);
    strangers.add(connection);
    if (connection.isProven()) proven(connection);
    limitStrangers();
  };

  const upgrade = createUpgrade({
    crypto,
    random,
    scheduler,
    meter,
    limits,
    connected,
    noiseKey: ports.noiseKey,
    remoteOf: options.remoteOf ?? ((request) => request.socket.remoteAddress ?? ''),
    hasRoom: () => !closing && connections.size < limits.connections,
  });

  const unsubscribe = registry.subscribe((changes) => {
    for (const change of changes) {
      if (change.kind !== 'node-removed') continue;
      const { node, cause } = change;
      note('info', 'node removed', { ...noteNode(node), cause });
      health.forget(node.id);
      copies.forget(node.id);
      const session = presence.sessionOf(node.id);
      if (cause !== 'logout') session?.send(farewellOf(node, netmap, snapshot()), now());
      session?.end();
      outbox.hurry();
    }
  });

  observer.yieldNames();
  return {
    keyAnswer: keyAnswerOf(ports.noiseKey.publicKey),
    upgrade,
    recheck: () => {
      outbox.hurry();
      presence.recheck();
      observer.yieldNames();
    },
    isOnline: (node) => netmap.isOnline(node),
    online: () => presence.online(),
    sessions: () => [...presence.sessions()].map((session) => session.status()),
    ping: (node) => callbacks.ping(node),
    callNode: callbacks.callNode,
    pingPeer: callbacks.pingPeer,
    askHealth: health.ask,
    healthOf: health.warningsOf,
    copyOf: copies.copyOf,
    approveLogin: logins.approveLogin,
    denyLogin: logins.denyLogin,
    sshChecks: ssh.sshChecks,
    decideSshCheck: ssh.decideSshCheck,
    gauges: () => ({
      control_connections: connections.size,
      control_online: presence.online(),
      control_unhealthy_clients: health.unhealthy(),
      control_waiting_handshakes: scheduler.waiting('handshake'),
      control_waiting_registrations: scheduler.waiting('registration'),
      control_waiting_maps: scheduler.waiting('map'),
    }),
    close: async () => {
      closing = true;
      unsubscribe();
      liveness.close();
      presence.close();
      for (const session of presence.sessions()) session.end();
      for (const connection of connections) connection.drain();
      const endMs = now() + DRAIN_MS;
      while (connections.size > 0 && now() < endMs) await new Promise((resolve) => setTimeout(resolve, 10));
      for (const connection of connections) connection.destroy();
    },
  };
};

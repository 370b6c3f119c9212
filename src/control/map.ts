// POST /machine/map in its four kinds: a stream that stays open, a lite update that only tells us something, a whole map once,
// and a read-only look (protocol: controlclient/direct.go, sendMapRequest; headscale and testcontrol answer alike).

import type { NodeRecord, Observation } from '../registry/record.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { OLDEST_VERSION } from '../wire/capability.ts';
import { homeRegionOf } from '../wire/hostinfo.ts';
import { decodeMapRequest, type MapRequest } from '../wire/map.ts';
import type { Call } from './connection.ts';
import { COPIED, type Copies } from './copies.ts';
import { farewellOf } from './farewell.ts';
import type { Health } from './health.ts';
import type { Outbox } from './outbox.ts';
import type { Observer } from './observe.ts';
import { noteNode, type ControlLimits, type MapSource, type Meter, type Note } from './ports.ts';
import type { Presence } from './presence.ts';
import type { Scheduler } from './scheduler.ts';
import { Session } from './session.ts';
import type { Standing } from './standing.ts';
import type { Wheel } from './wheel.ts';

export interface MapPorts {
  readonly now: () => number;
  readonly netmap: MapSource;
  readonly presence: Presence;
  readonly outbox: Outbox;
  readonly scheduler: Scheduler;
  readonly wheel: Wheel;
  readonly standing: Standing;
  readonly observer: Observer;
  readonly health: Pick<Health, 'heard'>;
  readonly copies: Pick<Copies, 'maySpeak'>;
  readonly snapshot: () => Snapshot;
  readonly limits: ControlLimits;
  readonly meter: Meter;
  readonly note: Note;
}

const MAP_HEADERS = { ':status': 200, 'content-type': 'application/octet-stream', 'cache-control': 'no-store' };

/** What a client says of itself outside its stream; it replaces what we knew. */
const observationOf = (request: MapRequest): Partial<Observation> => ({
  capver: request.Version,
  endpoints: request.Endpoints ?? [],
  ...(request.DiscoKey !== undefined && { discoKey: request.DiscoKey }),
  ...(request.Hostinfo !== undefined && {
    hostinfo: request.Hostinfo,
    // A client that has just started, or logged in anew, has not looked at its network yet; its old home still holds.
    ...(request.Hostinfo.NetInfo !== undefined && { homeDerp: homeRegionOf(request.Hostinfo) }),
  }),
});

/**
 * What may be taken from a stream's request. Its Hostinfo and endpoints race with the lite updates of the same start and may
 * be the older ones; so they count only while nothing is known. A new disco key is a new process, whose old endpoints are
 * dead.
 */
const streamObservationOf = (request: MapRequest, node: NodeRecord): Partial<Observation> => {
  if (node.discoKey === null && node.endpoints.length === 0) return observationOf(request);
  const isRestart = request.DiscoKey !== undefined && request.DiscoKey !== node.discoKey;
  return {
    capver: request.Version,
    ...(isRestart && { discoKey: request.DiscoKey, endpoints: request.Endpoints ?? [] }),
  };
};

export const createMapHandler = (ports: MapPorts): ((call: Call) => Promise<void>) => {
  const { copies, health, limits, netmap, now, observer, outbox, presence, scheduler, standing, wheel } = ports;

  const keepAlive = (session: Session): void => {
    const jitterMs = Math.random() * (limits.keepAliveMs / 5);
    const dueMs = session.lastSentMs + limits.keepAliveMs + jitterMs - now();
    session.keptAliveBy(
      wheel.after(dueMs, () => {
        // Anything that was sent in the meantime did as well.
        if (now() - session.lastSentMs >= limits.keepAliveMs - 1000) session.keepAlive(now());
        keepAlive(session);
      }),
    );
  };

  const stream = (call: Call, request: MapRequest, node: NodeRecord): void => {
    const { peer } = call;
    call.stream.respond(MAP_HEADERS);
    const { DiscoKey: process, Version: capver } = request;
    const of = { node: node.id, peer, process, capver, nowMs: now(), meter: ports.meter };
    const session = new Session(of, call.stream, outbox.wake);
    if (!request.ReadOnly) {
      // In this order, so that everything is in the first message.
      observer.observe(node, streamObservationOf(request, node));
      presence.arrive(session);
      health.heard(node.id, request.DiscoKey !== node.discoKey);
    }
    keepAlive(session);
    const leaveQueue = scheduler.enter('map', peer.machineKey, () => {
      const open = (wake: () => void): ReturnType<MapSource['open']> =>
        netmap.open(node.id, { capver: request.Version, omitPeers: request.OmitPeers }, wake);
      if (session.ended) return;
      if (!session.begin(open)) session.end();
      else if (session.take(performance.now())) session.write(now());
    });
    call.gone.addEventListener('abort', () => {
      leaveQueue();
      session.end();
      presence.leave(session);
    });
    ports.note('debug', 'stream opened', { ...noteNode(node), version: request.Version, remote: peer.remote });
  };

  /** A copy that only loses its stream asks forever; one whose key has ended stops, and asks its person to log in. */
  const turnAway = (call: Call, request: MapRequest, node: NodeRecord): void => {
    if (!request.Stream) {
      call.answer(409, COPIED.reason);
      return;
    }
    call.stream.respond(MAP_HEADERS);
    call.stream.end(farewellOf(node, netmap, ports.snapshot(), COPIED.reason));
  };

  const once = (call: Call, request: MapRequest, node: NodeRecord): void => {
    const options = { capver: request.Version, omitPeers: request.OmitPeers };
    const leaveQueue = scheduler.enter('map', call.peer.machineKey, () => {
      const pieces = netmap.fetchOnce(node.id, options);
      if (!pieces) {
        call.answer(404, 'node not found');
        return;
      }
      call.stream.respond(MAP_HEADERS);
      call.stream.end(Buffer.concat(pieces));
    });
    call.gone.addEventListener('abort', leaveQueue);
  };

  return async (call) => {
    const body = await call.readBody();
    if (!body) return;
    const decoded = decodeMapRequest(body);
    if (!decoded.ok) {
      call.answer(400, decoded.reason);
      return;
    }
    const request = decoded.value;
    if (request.Version < OLDEST_VERSION) {
      call.answer(400, standing.tooOld().reason);
      return;
    }
    const found = standing.nodeOf(call.peer, request.NodeKey);
    if (!found.ok) {
      call.answer(found.code === 'control/unknown-node' ? 404 : 401, found.reason);
      return;
    }
    const node = found.value;
    if (!request.ReadOnly && (request.Stream || request.OmitPeers)) {
      const may = copies.maySpeak(node, call.peer, request.DiscoKey);
      if (may !== true && !(await may)) {
        turnAway(call, request, node);
        return;
      }
      if (call.gone.aborted) return;
    }
    if (request.Stream) stream(call, request, node);
    else if (request.OmitPeers && !request.ReadOnly) {
      observer.observe(node, observationOf(request));
      health.heard(node.id, false);
      call.answer(200);
    } else once(call, request, node);
  };
};

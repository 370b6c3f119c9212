// POST /machine/register: who may join. The order of the questions matters: a logout comes before a key that is left over
// from the login, and a registration that is repeated must not fail because its key is spent (protocol:
// controlclient/direct.go, doLogin). Every refusal is a sentence, shown to the person by `tailscale up`.

import { formatBase64 } from '../base/bytes.ts';
import type { Tag } from '../base/ids.ts';
import { accept, refuse, type Outcome } from '../base/outcome.ts';
import { networkOf } from '../base/census.ts';
import { checkAuthKey, type KeyGrant } from '../identity/preauth.ts';
import type { PolicyUser } from '../policy/facts.ts';
import type { KeyId, NodeRecord } from '../registry/record.ts';
import { isOtherPersons, justJoinedBy } from '../registry/register.ts';
import type { Registry } from '../registry/registry.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { OLDEST_VERSION, understandsRegisterRetry } from '../wire/capability.ts';
import {
  decodeRegisterRequest,
  encodeRegisterResponse,
  type RegisterRequest,
  type RegisterResponse,
} from '../wire/register.ts';
import type { Call } from './connection.ts';
import { declareExpiry, isExpired, keyExpiry } from './expiry.ts';
import { COPIED, type Copies } from './copies.ts';
import type { Logins } from './logins.ts';
import type { Observer } from './observe.ts';
import { noteNode, type ControlLimits, type MapSource, type Meter, type Note } from './ports.ts';
import type { Presence } from './presence.ts';
import type { Scheduler } from './scheduler.ts';
import { ownership, tagsRefused, WRONG_MACHINE, type Standing } from './standing.ts';
import type { Peer } from './upgrade.ts';

export interface RegisterPorts {
  readonly now: () => number;
  readonly snapshot: () => Snapshot;
  readonly registry: Registry;
  readonly netmap: MapSource;
  readonly presence: Presence;
  readonly logins: Logins;
  readonly copies: Pick<Copies, 'isKnownCopy'>;
  readonly standing: Standing;
  readonly observer: Observer;
  readonly scheduler: Scheduler;
  readonly limits: ControlLimits;
  readonly meter: Meter;
  readonly note: Note;
}

/** Refusals that say nothing about the request: the same may succeed in a moment. */
const TEMPORARY = new Set<string>([
  'registry/unavailable',
  'registry/busy',
  'registry/closed',
  'registry/too-many-logins',
  'control/busy',
]);
const RETRY_AFTER_SECONDS = 5;

/** What the node is to be, once it is clear that it may join: tagged, or the person's. */
interface Admission {
  readonly tags: readonly Tag[];
  /** Who brings it; undefined for a key with tags of its own. */
  readonly person: PolicyUser | undefined;
}

export const createRegisterHandler = (ports: RegisterPorts): ((call: Call) => Promise<void>) => {
  const { copies, limits, logins, meter, netmap, now, observer, presence, registry, scheduler, standing } = ports;
  let deciding = 0;

  const joined = (node: NodeRecord): Outcome<RegisterResponse> =>
    accept({ ...netmap.accountOf(node), MachineAuthorized: node.authorized });

  /** 6.6 of the protocol: the key ends now; an ephemeral node goes at once. */
  const logOut = async (node: NodeRecord): Promise<Outcome<RegisterResponse>> => {
    const outcome = await registry.apply(
      node.ephemeral
        ? { kind: 'remove', id: node.id, cause: 'logout' }
        : { kind: 'set-expiry', id: node.id, expiresMs: now() },
    );
    if (!outcome.ok) return outcome;
    presence.sessionOf(node.id)?.end();
    ports.note('info', 'node logged out', noteNode(node));
    return accept({ NodeKeyExpired: true, MachineAuthorized: false });
  };

  /** A client that starts says who it is; nothing is decided anew, but a key may be given a shorter life. */
  const greet = async (peer: Peer, request: RegisterRequest, node: NodeRecord): Promise<Outcome<RegisterResponse>> => {
    const welcome = standing.isWelcome(node);
    if (!welcome.ok) return welcome;
    const retagged = await observer.retag(node, request.Hostinfo?.RequestTags ?? []);
    if (!retagged.ok) return retagged;
    const { expiryMs } = request;
    if (expiryMs !== undefined && (node.expiresMs === null || expiryMs < node.expiresMs)) {
      const outcome = await registry.apply({ kind: 'set-expiry', id: node.id, expiresMs: expiryMs });
      if (!outcome.ok) return outcome;
    }
    // While another connection speaks for the node this may be a copy of it; the map requests that follow settle that.
    const speaker = presence.sessionOf(node.id)?.peer;
    if (request.Hostinfo && (speaker === undefined || speaker === peer))
      observer.observe(node, { hostinfo: request.Hostinfo, capver: request.Version });
    return joined(registry.view.nodes.get(node.id) ?? node);
  };

  /** Whose node it will be: a key with tags gives just these; a person's key gives what the person may give. */
  const admissionOf = (grant: KeyGrant, wished: readonly Tag[]): Outcome<Admission> => {
    if (grant.login === null) {
      const beyond = wished.filter((tag) => !grant.tags.includes(tag));
      return beyond.length > 0 ? tagsRefused(beyond) : accept({ tags: grant.tags, person: undefined });
    }
    const person = standing.personOf(grant.login);
    if (!person.ok) return person;
    const allowed = standing.mayTag(person.value, wished);
    if (!allowed.ok) return allowed;
    return accept({ tags: wished, person: person.value });
  };

  const joinByKey = async (
    peer: Peer,
    request: RegisterRequest,
    authKey: string,
    node: NodeRecord | undefined,
  ): Promise<Outcome<RegisterResponse>> => {
    const snapshot = ports.snapshot();
    const isValid = node !== undefined && !isExpired(node, now());
    const isOwn = (id: KeyId): boolean =>
      isValid ? node.keyId === id : justJoinedBy(registry.view, id, peer.machineKey, now()) !== undefined;
    const grant = checkAuthKey(authKey, now(), snapshot.authKeys, registry.view, isOwn);
    // A machine that is in already needs no key: containers go on showing the one that they first came with.
    if (isValid && (!grant.ok || grant.value.key.id === node.keyId)) return greet(peer, request, node);
    if (!grant.ok) return grant;
    const admission = admissionOf(grant.value, request.Hostinfo?.RequestTags ?? []);
    if (!admission.ok) return admission;
    const { tags } = admission.value;
    const owner = ownership(standing, admission.value.person, tags);
    // The first person keeps the node; who moves in gets one of their own, for which the client has to make a key.
    if (node && isOtherPersons(node, owner)) return accept({ NodeKeyExpired: true });
    const outcome = await registry.apply({
      kind: 'register',
      nowMs: now(),
      machineKey: peer.machineKey,
      nodeKey: request.NodeKey,
      oldNodeKey: request.OldNodeKey ?? null,
      nlKey: request.NLKey ?? null,
      keySignature: request.NodeKeySignature ? formatBase64(request.NodeKeySignature) : null,
      discoKey: null,
      ...owner,
      tags,
      hostinfo: request.Hostinfo ?? {},
      capver: request.Version,
      expiresMs: keyExpiry(snapshot, now(), tags, request.expiryMs ?? null),
      ephemeral: request.Ephemeral || grant.value.ephemeral,
      authorized: grant.value.preapproved || snapshot.tailnet.nodes.approval === 'automatic',
      key: grant.value.key,
      loginId: null,
      decidedBy: null,
      assignment: standing.assignmentFor(peer.machineKey, tags, admission.value.person),
    });
    if (!outcome.ok) return outcome;
    const joining = await declareExpiry(outcome.value.node as NodeRecord, request.expiryMs ?? null, ports);
    if (!joining.ok) return joining;
    ports.note('info', 'node registered', { ...noteNode(joining.value), joinedBy: grant.value.key.id });
    return joined(joining.value);
  };

  const begin = async (peer: Peer, request: RegisterRequest): Promise<Outcome<RegisterResponse>> => {
    const url = await logins.begin(peer, request);
    return url.ok ? accept({ AuthURL: url.value }) : url;
  };

  /** The client asks whether its person is done, and waits for the answer as long as it takes. */
  const followUp = async (call: Call, request: RegisterRequest): Promise<Outcome<RegisterResponse>> => {
    const login = logins.find(call.peer, request);
    if (!login) return begin(call.peer, request);
    const { state, nodeId } = await logins.settled(login, call.gone);
    // Nobody reads the answer any more; the client asks again when it is back.
    if (call.gone.aborted) return accept({});
    if (state === 'denied') return refuse('control/login-denied', 'An administrator refused this login.');
    const node = nodeId === null ? undefined : registry.view.nodes.get(nodeId);
    return state === 'approved' && node ? joined(node) : begin(call.peer, request);
  };

  const decide = async (call: Call, request: RegisterRequest): Promise<Outcome<RegisterResponse>> => {
    if (request.Version < OLDEST_VERSION) return standing.tooOld();
    const { peer } = call;
    const { view } = registry;
    const byKey = (key: RegisterRequest['NodeKey'] | undefined): NodeRecord | undefined => {
      const id = key && view.byNodeKey.get(key);
      return id && view.nodes.get(id);
    };
    if (await copies.isKnownCopy(peer)) {
      // A copy that logs out must not take the key from the machine that it was made of.
      const isLogout = request.expiryMs !== undefined && request.expiryMs <= now();
      return isLogout ? accept({ NodeKeyExpired: true, MachineAuthorized: false }) : COPIED;
    }
    const node = byKey(request.NodeKey);
    const claimed = node ?? byKey(request.OldNodeKey);
    // Node keys are public: only the machine that brought one may speak for it.
    if (claimed && claimed.machineKey !== peer.machineKey) return WRONG_MACHINE;
    if (request.expiryMs !== undefined && request.expiryMs <= now())
      return node && !isExpired(node, now()) ? logOut(node) : accept({});
    const wanted = request.Tailnet?.startsWith('required:') ? request.Tailnet.slice('required:'.length) : undefined;
    if (wanted !== undefined && wanted !== ports.snapshot().tailnet.name)
      return refuse('control/other-tailnet', `This server serves the tailnet ${ports.snapshot().tailnet.name} only.`);
    if (request.authKey !== undefined) return joinByKey(peer, request, request.authKey, node);
    if (node && !isExpired(node, now())) return greet(peer, request, node);
    if (request.Followup !== undefined) return followUp(call, request);
    return node ? accept({ NodeKeyExpired: true }) : begin(peer, request);
  };

  const answer = (call: Call, request: RegisterRequest, outcome: Outcome<RegisterResponse>): void => {
    if (outcome.ok) {
      meter.count('registrations_total', 1, { outcome: 'accepted' });
      call.answer(200, encodeRegisterResponse(outcome.value));
      return;
    }
    meter.count('registrations_total', 1, { outcome: outcome.code });
    const hostname = request.Hostinfo?.Hostname;
    ports.note('info', 'registration refused', { code: outcome.code, hostname, remote: call.peer.remote });
    if (TEMPORARY.has(outcome.code) && understandsRegisterRetry(request.Version))
      call.answer(429, outcome.reason, { 'retry-after': String(RETRY_AFTER_SECONDS) });
    else call.answer(200, encodeRegisterResponse({ Error: outcome.reason }));
  };

  return async (call) => {
    const startMs = now();
    const body = await call.readBody();
    if (!body) return;
    const decoded = decodeRegisterRequest(body);
    if (!decoded.ok) {
      call.answer(400, decoded.reason);
      return;
    }
    const request = decoded.value;
    if (deciding >= limits.waitingRegistrations) {
      answer(call, request, refuse('control/busy', 'Too many machines register at the moment; try again soon.'));
      return;
    }
    // A request that waits for a person waits outside the queue.
    if (request.Followup === undefined) {
      deciding += 1;
      try {
        await new Promise<void>((resolve) => {
          scheduler.enter('registration', networkOf(call.peer.remote), resolve);
        });
        answer(call, request, await decide(call, request));
      } finally {
        deciding -= 1;
      }
      meter.observe('registration_seconds', (now() - startMs) / 1000);
    } else answer(call, request, await decide(call, request));
  };
};

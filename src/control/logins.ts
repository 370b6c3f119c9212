// Interactive logins: a machine without a key is given a URL, a person decides there, and the machine's next request waits
// until that happened. The registry remembers logins; this file waits for them, and lets a person decide
// (protocol: controlclient/auto.go, authRoutine).

import { formatBase32 } from '../base/bytes.ts';
import type { Tag } from '../base/ids.ts';
import { accept, refuse, type Outcome } from '../base/outcome.ts';
import { networkOf } from '../base/census.ts';
import type { Random } from '../keys/crypto.ts';
import { parseLoginId, type LoginId, type LoginRecord, type NodeRecord } from '../registry/record.ts';
import type { Registry } from '../registry/registry.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { Hostinfo } from '../wire/hostinfo.ts';
import type { RegisterRequest } from '../wire/register.ts';
import type { Control } from './ports.ts';
import { declareExpiry, keyExpiry } from './expiry.ts';
import { ownership, tagsRefused, type Standing } from './standing.ts';
import type { Peer } from './upgrade.ts';

const ID_BYTES = 20;
/** How many logins one address, or one IPv6 /64, may begin in the time that a login lasts. */
const PER_PREFIX = 60;
/** The same for an IPv6 /48, which is what providers give to anybody who asks: a part of those that may wait in all. */
const PER_SITE = 240;
const SITE_DIGITS = 12;

export interface LoginPorts {
  readonly now: () => number;
  readonly random: Random;
  readonly registry: Registry;
  readonly standing: Standing;
  readonly snapshot: () => Snapshot;
  readonly url: string;
  readonly loginMs: number;
}

export interface Logins extends Pick<Control, 'approveLogin' | 'denyLogin'> {
  /** The URL where a person decides about this machine: the one it was given before, while that holds. */
  readonly begin: (peer: Peer, request: RegisterRequest) => Promise<Outcome<string>>;
  /** The login behind a URL, if this machine and key were given it. */
  readonly find: (peer: Peer, request: RegisterRequest) => LoginRecord | undefined;
  /** The login as it is when it was decided, ran out, or the client gave up. */
  readonly settled: (login: LoginRecord, gone: AbortSignal) => Promise<LoginRecord>;
}

export const createLogins = (ports: LoginPorts): Logins => {
  const { now, registry, standing } = ports;
  const waiters = new Map<LoginId, Set<() => void>>();
  /** Logins begun by each prefix; cleared when the time of a login has passed. */
  const begun = new Map<string, number>();
  let begunSinceMs = now();

  registry.subscribe((changes) => {
    for (const change of changes)
      if (change.kind === 'login' && change.before) for (const tell of waiters.get(change.before.id) ?? []) tell();
  });

  const mayBegin = (prefix: string): boolean => {
    if (now() - begunSinceMs > ports.loginMs) {
      begun.clear();
      begunSinceMs = now();
    }
    return (begun.get(prefix) ?? 0) < PER_PREFIX && (begun.get(siteOf(prefix) ?? '') ?? 0) < PER_SITE;
  };

  const count = (prefix: string | undefined): void => {
    if (prefix !== undefined) begun.set(prefix, (begun.get(prefix) ?? 0) + 1);
  };

  const record = (peer: Peer, request: RegisterRequest, id: LoginId): LoginRecord => ({
    id,
    machineKey: peer.machineKey,
    nodeKey: request.NodeKey,
    oldNodeKey: request.OldNodeKey ?? null,
    nlKey: request.NLKey ?? null,
    hostinfo: modestHostinfo(request.Hostinfo ?? {}),
    capver: request.Version,
    ephemeral: request.Ephemeral,
    requestedExpiryMs: request.expiryMs ?? null,
    remote: peer.remote,
    createdMs: now(),
    expiresMs: now() + ports.loginMs,
    state: 'pending',
    decidedBy: null,
    decidedMs: null,
    nodeId: null,
  });

  const begin = async (peer: Peer, request: RegisterRequest): Promise<Outcome<string>> => {
    const prefix = networkOf(peer.remote);
    if (!mayBegin(prefix))
      return refuse('control/busy', 'Too many logins were begun from this address; try again later.');
    const tags = request.Hostinfo?.RequestTags ?? [];
    if (JSON.stringify(tags).length > MODEST_CHARACTERS) return tagsRefused(tags.slice(0, 1));
    const id = formatBase32(ports.random(ID_BYTES)).toLowerCase() as LoginId;
    const outcome = await registry.apply({ kind: 'begin-login', login: record(peer, request, id) });
    if (!outcome.ok) return outcome;
    // The machine may be waiting already; then its person finds the same page again.
    const waiting = outcome.value.login?.id ?? id;
    if (waiting === id) {
      count(prefix);
      count(siteOf(prefix));
    }
    return accept(`${ports.url}/register/${waiting}`);
  };

  const find = (peer: Peer, request: RegisterRequest): LoginRecord | undefined => {
    const id = parseLoginId(request.Followup?.split('/').at(-1) ?? '');
    const login = id && registry.view.logins.get(id);
    return login?.machineKey === peer.machineKey && login.nodeKey === request.NodeKey ? login : undefined;
  };

  const settled = (login: LoginRecord, gone: AbortSignal): Promise<LoginRecord> =>
    new Promise((resolve) => {
      const current = (): LoginRecord => registry.view.logins.get(login.id) ?? login;
      if (current().state !== 'pending' || gone.aborted) {
        resolve(current());
        return;
      }
      const told = (): void => {
        clearTimeout(timer);
        gone.removeEventListener('abort', told);
        waiters.get(login.id)?.delete(told);
        if (waiters.get(login.id)?.size === 0) waiters.delete(login.id);
        resolve(current());
      };
      const timer = setTimeout(told, Math.max(login.expiresMs - now(), 0));
      gone.addEventListener('abort', told);
      const waiting = waiters.get(login.id);
      if (waiting) waiting.add(told);
      else waiters.set(login.id, new Set([told]));
    });

  const approveLogin: Control['approveLogin'] = async (id, decision) => {
    const login = registry.view.logins.get(id);
    if (!login) return refuse('registry/unknown-login', 'There is no such login.');
    const tags = decision.tags ?? requestedTags(login);
    const person = standing.personOf(decision.login);
    if (!person.ok) return person;
    const tagged = standing.mayTag(person.value, tags);
    if (!tagged.ok) return tagged;
    const outcome = await registry.apply({
      kind: 'register',
      nowMs: now(),
      machineKey: login.machineKey,
      nodeKey: login.nodeKey,
      oldNodeKey: login.oldNodeKey,
      nlKey: login.nlKey,
      keySignature: null,
      discoKey: null,
      ...ownership(standing, person.value, tags),
      tags,
      hostinfo: login.hostinfo,
      capver: login.capver,
      expiresMs: keyExpiry(ports.snapshot(), now(), tags, login.requestedExpiryMs),
      ephemeral: login.ephemeral,
      authorized: decision.approves || ports.snapshot().tailnet.nodes.approval === 'automatic',
      key: null,
      loginId: id,
      decidedBy: decision.decidedBy,
      assignment: standing.assignmentFor(login.machineKey, tags, person.value),
    });
    if (!outcome.ok) return outcome;
    return declareExpiry(outcome.value.node as NodeRecord, login.requestedExpiryMs, ports);
  };

  const denyLogin: Control['denyLogin'] = async (id, decidedBy) => {
    const outcome = await registry.apply({ kind: 'deny-login', id, decidedBy, nowMs: now() });
    return outcome.ok ? accept(registry.view.logins.get(id) as LoginRecord) : outcome;
  };

  return { begin, find, settled, approveLogin, denyLogin };
};

/** Several times what a client says. */
const MODEST_CHARACTERS = 8 << 10;
const NEEDED: ReadonlySet<string> = new Set([
  'Hostname',
  'OS',
  'OSVersion',
  'IPNVersion',
  'DeviceModel',
  'RequestTags',
]);

/**
 * What is kept while a stranger's machine waits: all of it, or where that is much, what the decision is about. The machine tells
 * the rest again with its first map request.
 */
const modestHostinfo = (hostinfo: Hostinfo): Hostinfo => {
  if (JSON.stringify(hostinfo).length <= MODEST_CHARACTERS) return hostinfo;
  return Object.fromEntries(Object.entries(hostinfo).filter(([field]) => NEEDED.has(field)));
};

/** The /48 around a /64; undefined for IPv4. */
const siteOf = (prefix: string): string | undefined =>
  prefix.length === 16 ? prefix.slice(0, SITE_DIGITS) : undefined;

const requestedTags = (login: LoginRecord): readonly Tag[] =>
  (login.hostinfo['RequestTags'] as readonly Tag[] | undefined) ?? [];

// What control needs from the rest of the house, and what it gives back. The composition root builds these; unit tests
// build small ones.

import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';

import type { Address } from '../base/address.ts';
import type { Login, NodeId, StableId, Tag } from '../base/ids.ts';
import type { Outcome } from '../base/outcome.ts';
import type { Crypto, Random } from '../keys/crypto.ts';
import type { KeyPair } from '../keys/pair.ts';
import type { Tailnet } from '../netmap/tailnet.ts';
import type { LoginId, LoginRecord, NodeRecord } from '../registry/record.ts';
import type { Registry } from '../registry/registry.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { CapabilityVersion } from '../wire/capability.ts';
import type { HealthWarning } from '../wire/health.ts';
import type { PingKind, PingResult } from '../wire/ping.ts';

/** The part of the live tailnet that control uses. */
export type MapSource = Pick<
  Tailnet,
  'population' | 'setOnline' | 'isOnline' | 'setSilent' | 'sharingRouters' | 'node' | 'accountOf' | 'open' | 'fetchOnce'
>;

/** Puts a record in the public DNS; resolves when the authoritative servers answer with it. */
export type DnsPublisher = (record: { readonly name: string; readonly value: string }) => Promise<Outcome<void>>;

/** Numbers for operators. No label holds text that a client chose. */
export interface Meter {
  readonly count: (name: string, amount?: number, labels?: Readonly<Record<string, string>>) => void;
  readonly observe: (name: string, seconds: number) => void;
}

/** What happened, for the log: a few words that never change, and fields. No field is secret. */
export type Note = (
  level: 'debug' | 'info' | 'warn' | 'error',
  event: string,
  fields?: Readonly<Record<string, unknown>>,
) => void;

export interface ControlPorts {
  readonly crypto: Crypto;
  readonly random: Random;
  /** Unix milliseconds. */
  readonly now: () => number;
  /** The server's Noise key. Clients keep the public half until they are restarted. */
  readonly noiseKey: KeyPair;
  /** The snapshot that serves now. */
  readonly snapshot: () => Snapshot;
  readonly registry: Registry;
  readonly netmap: MapSource;
  readonly meter: Meter;
  readonly note: Note;
  /** Absent: `tailscale cert` is told that this server publishes no DNS. */
  readonly publishDns?: DnsPublisher;
}

export interface ControlOptions {
  /** The server's URL as people reach it, without a trailing slash: `https://tailnet.example.com`. */
  readonly url: string;
  /** The address to count against limits, where a trusted proxy stands in front; default: the socket's. */
  readonly remoteOf?: (request: IncomingMessage) => string;
  readonly limits?: Partial<ControlLimits>;
}

export interface ControlLimits {
  /** Noise connections in all, and of one machine; the oldest of a machine is closed for a new one. */
  readonly connections: number;
  readonly connectionsPerMachine: number;
  /** Connections of machines that have no node, or have not proven to be one; the oldest is closed for a new one. */
  readonly strangers: number;
  /** Handshakes that wait for their turn; more are turned away. */
  readonly waitingHandshakes: number;
  /** Registrations that are being decided; more are told to come back later. */
  readonly waitingRegistrations: number;
  readonly handshakeTimeoutMs: number;
  readonly bodyTimeoutMs: number;
  /** The largest request; twice as much may be on its way on one connection. */
  readonly bodyBytes: number;
  /** Requests of all connections that are being read. */
  readonly allBodiesBytes: number;
  /** How often a connection is asked whether its client is there, and how long it has to answer. */
  readonly probeEveryMs: number;
  readonly probeAnswerMs: number;
  /** How often each subnet router that has a stand-in is asked whether it is there, and how long it has to answer. */
  readonly routerProbeMs: number;
  /** How long a stream may be gone before its node counts as offline. */
  readonly offlineGraceMs: number;
  /** After a change went out, how long the next ones of the same session are gathered at most. */
  readonly gatherMs: number;
  /** Between keep-alives; up to a fifth is added at random. Clients give up after 120 s. */
  readonly keepAliveMs: number;
  /** How long a person has to finish a login or an SSH check. */
  readonly loginMs: number;
  /** How long a client has to answer a ping, and a call into it. */
  readonly pingMs: number;
  readonly callMs: number;
  /** How long a client has to ping a peer. It says nothing of one that fails, which it does after ten seconds. */
  readonly peerPingMs: number;
  /** How long a client has to say that it is there when another one wants its place. */
  readonly copyProbeMs: number;
  /** How long after a client said something it is asked for its health, and how often at most. */
  readonly healthAfterMs: number;
  readonly healthEveryMs: number;
}

/** A map stream that is open, for `tailplane debug sessions`. */
export interface SessionStatus {
  readonly node: NodeId;
  readonly remote: string;
  readonly capver: CapabilityVersion;
  readonly sinceMs: number;
  readonly messages: number;
  readonly sentBytes: number;
  readonly lastSentMs: number;
  /** `waiting` for its first map, `open`, or `slow`: the client doesn't read, and gets the newest state when it does. */
  readonly state: 'waiting' | 'open' | 'slow';
}

/** A machine that uses the keys of another one, which is connected. */
export interface CopyFound {
  /** Where the copy asks from. */
  readonly remote: string;
  readonly sinceMs: number;
  readonly lastMs: number;
}

/** An SSH session that waits for a person to confirm it, or was decided in the last minute. */
export interface SshCheck {
  readonly id: string;
  readonly source: NodeId;
  readonly destination: NodeId;
  readonly sshUser: string;
  readonly localUser: string;
  readonly createdMs: number;
  readonly expiresMs: number;
  readonly state: 'pending' | 'approved' | 'denied';
}

/** A yes to a machine that waits. */
export interface LoginDecision {
  /** Whose it becomes, or who vouches for its tags. */
  readonly login: Login;
  readonly tags?: readonly Tag[];
  readonly decidedBy: string;
  /** Whether the yes counts as the approval that a tailnet may demand of new machines: it does if an administrator gives it. */
  readonly approves: boolean;
}

export interface Control {
  /** Answers `GET /key?v=`. */
  readonly keyAnswer: (version: string | undefined) => {
    readonly status: number;
    readonly type: string;
    readonly body: string;
  };
  /** Takes over a connection: every `upgrade` event of the HTTP servers whose path is `/ts2021`. Never throws. */
  readonly upgrade: (request: IncomingMessage, socket: Duplex, head: Buffer) => void;

  /** After netmap was given a new snapshot: what it changes is told at once, and ephemeral nodes get the time that it gives. */
  readonly recheck: () => void;

  readonly isOnline: (node: NodeId) => boolean;
  readonly online: () => number;
  readonly sessions: () => readonly SessionStatus[];
  /** Milliseconds until the client answered over its map stream; a refusal if it is not there or stays silent. */
  readonly ping: (node: NodeId) => Promise<Outcome<number>>;
  /** Runs a raw HTTP/1.1 request inside the client (protocol: c2n) and gives its raw answer. */
  readonly callNode: (node: NodeId, request: Uint8Array, withinMs?: number) => Promise<Outcome<Uint8Array>>;

  /** Has the client ping a peer. Refused if it is not there or says nothing, which is what it does when a ping fails. */
  readonly pingPeer: (node: NodeId, kind: PingKind, address: Address) => Promise<Outcome<PingResult>>;
  /** What the client says is wrong with it; asks it where it can be asked. */
  readonly askHealth: (node: NodeId, withinMs: number) => Promise<Outcome<readonly HealthWarning[]>>;
  /** The same as last heard. */
  readonly healthOf: (node: NodeId) => readonly HealthWarning[];

  /** A machine that uses the node's keys as well, if one asked in the last hour. */
  readonly copyOf: (node: NodeId) => CopyFound | undefined;

  /** Logins in progress are in the registry's view; here a person decides about one. */
  readonly approveLogin: (id: LoginId, decision: LoginDecision) => Promise<Outcome<NodeRecord>>;
  readonly denyLogin: (id: LoginId, decidedBy: string) => Promise<Outcome<LoginRecord>>;

  readonly sshChecks: () => readonly SshCheck[];
  readonly decideSshCheck: (id: string, decision: 'accept' | 'reject', decidedBy: string) => Outcome<SshCheck>;

  /** Numbers that are read when somebody asks, by metric name. */
  readonly gauges: () => Readonly<Record<string, number>>;
  /** Takes no more connections, ends the streams cleanly, and resolves when all are gone or a second has passed. */
  readonly close: () => Promise<void>;
}

/** Says in the log which machine it is about, and nothing that could be used as a key. */
export const noteNode = (node: NodeRecord): { readonly node: StableId; readonly name: string } => ({
  node: node.stableId,
  name: node.name,
});

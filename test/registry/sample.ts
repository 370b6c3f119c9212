// Machines, keys and events for tests of the registry, made from small numbers so that a failure names its machine.

import { EMPTY_SET } from '../../src/base/ipset.ts';
import type { Prefix } from '../../src/base/address.ts';
import { parseLogin, parseTag, type Login, type Tag } from '../../src/base/ids.ts';
import { parseMachineKey, parseNodeKey, type MachineKey, type NodeKey } from '../../src/keys/text.ts';
import type { Assignment, RegisterEvent } from '../../src/registry/event.ts';
import {
  parseKeyId,
  parseLoginId,
  type KeyId,
  type KeyRecord,
  type LoginId,
  type LoginRecord,
  type NodeRecord,
  type Observation,
} from '../../src/registry/record.ts';

/** 2026-01-01, in milliseconds. */
export const START_MS = 1_767_225_600_000;
export const DAY_MS = 86_400_000;

const hex = (n: number): string => n.toString(16).padStart(64, '0');
export const machineKey = (n: number): MachineKey => parseMachineKey(`mkey:${hex(n)}`) as MachineKey;
export const nodeKey = (n: number): NodeKey => parseNodeKey(`nodekey:${hex(n)}`) as NodeKey;
export const login = (text: string): Login => parseLogin(text) as Login;
export const tag = (text: string): Tag => parseTag(`tag:${text}`) as Tag;
export const keyId = (text: string): KeyId => parseKeyId(text) as KeyId;
export const loginId = (n: number): LoginId => parseLoginId(`login${String(n).padStart(16, '0')}`) as LoginId;
export const alice = login('alice@example.com');
export const bob = login('bob@example.com');

export const assignment: Assignment = {
  prefixes: ['100.64.0.0/10' as Prefix, 'fd7a:115c:a1e0::/48' as Prefix],
  reservedAddresses: EMPTY_SET,
  reservedNames: new Set(),
};

/** Machine `n` joins with node key `n` for alice, approved, without a pre-auth key. */
export const register = (n: number, more: Partial<RegisterEvent> = {}): RegisterEvent => ({
  kind: 'register',
  nowMs: START_MS + n,
  machineKey: machineKey(n),
  nodeKey: nodeKey(n),
  oldNodeKey: null,
  nlKey: null,
  keySignature: null,
  discoKey: null,
  login: alice,
  tags: [],
  hostinfo: { Hostname: `machine${n}`, OS: 'linux' },
  capver: 130,
  expiresMs: START_MS + 180 * DAY_MS,
  ephemeral: false,
  authorized: true,
  key: null,
  loginId: null,
  decidedBy: null,
  assignment,
  ...more,
});

export const authKey = (id: string, more: Partial<KeyRecord> = {}): KeyRecord => ({
  id: keyId(id),
  sha256: 'ab'.repeat(32),
  login: alice,
  tags: [],
  reusable: false,
  ephemeral: false,
  preapproved: false,
  createdMs: START_MS,
  expiresMs: START_MS + 90 * DAY_MS,
  revokedMs: null,
  description: '',
  ...more,
});

export const waitingLogin = (n: number, more: Partial<LoginRecord> = {}): LoginRecord => ({
  id: loginId(n),
  machineKey: machineKey(n),
  nodeKey: nodeKey(n),
  oldNodeKey: null,
  nlKey: null,
  hostinfo: { Hostname: `machine${n}` },
  capver: 130,
  ephemeral: false,
  requestedExpiryMs: null,
  remote: '192.0.2.1',
  createdMs: START_MS,
  expiresMs: START_MS + 900_000,
  state: 'pending',
  decidedBy: null,
  decidedMs: null,
  nodeId: null,
  ...more,
});

const NOTED = [
  'discoKey',
  'hostinfo',
  'capver',
  'endpoints',
  'endpointTypes',
  'homeDerp',
  'lastSeenMs',
] as const satisfies readonly (keyof Observation)[];

/** A node without what is only noted: what has to survive a crash. */
export const lasting = (node: NodeRecord): Partial<NodeRecord> => {
  const copy: Partial<Record<keyof NodeRecord, unknown>> = { ...node };
  for (const field of NOTED) delete copy[field];
  return copy as Partial<NodeRecord>;
};

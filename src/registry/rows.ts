// Records taken apart into the columns of registry.db, and put together again.

import type { SqlValue } from 'sql.js';
import { stableIdOf, type NodeId } from '../base/ids.ts';
import type { KeyRecord, KeyUse, LoginRecord, NodeAttribute, NodeRecord } from './record.ts';

export const json = (value: SqlValue): unknown => JSON.parse(String(value));
const marks = (count: number): string => Array(count).fill('?').join(', ');
const bit = (value: boolean): number => (value ? 1 : 0);

export const INSERT_NODE = `INSERT INTO nodes (id, stable_id, machine_key, node_key, previous_node_key, nl_key, disco_key, login,
  name, renamed, hostinfo, capver, endpoints, endpoint_types, home_derp, last_seen_ms, created_ms, expires_ms, ephemeral,
  authorized, key_id, key_signature) VALUES (${marks(22)})`;

export const nodeValues = (node: NodeRecord): SqlValue[] => [
  node.id,
  node.stableId,
  node.machineKey,
  node.nodeKey,
  node.previousNodeKey,
  node.nlKey,
  node.discoKey,
  node.login,
  node.name,
  bit(node.renamed),
  JSON.stringify(node.hostinfo),
  node.capver,
  JSON.stringify(node.endpoints),
  JSON.stringify(node.endpointTypes),
  node.homeDerp,
  node.lastSeenMs,
  node.createdMs,
  node.expiresMs,
  bit(node.ephemeral),
  bit(node.authorized),
  node.keyId,
  node.keySignature,
];

export type Row = Readonly<Record<string, SqlValue>>;

interface Parts {
  readonly addresses: readonly string[];
  readonly tags: readonly string[];
  readonly routes: readonly string[];
  readonly attributes: Readonly<Record<string, NodeAttribute>>;
}

// The columns hold what the functions beside these put there, and STRICT tables keep their types: they are asserted here, once.
export const nodeOf = (row: Row, parts: Parts): NodeRecord =>
  ({
    id: row['id'],
    stableId: stableIdOf(row['id'] as NodeId),
    machineKey: row['machine_key'],
    nodeKey: row['node_key'],
    previousNodeKey: row['previous_node_key'],
    nlKey: row['nl_key'],
    keySignature: row['key_signature'],
    discoKey: row['disco_key'],
    login: row['login'],
    tags: parts.tags,
    name: row['name'],
    renamed: row['renamed'] === 1,
    addresses: parts.addresses,
    hostinfo: json(row['hostinfo'] ?? '{}'),
    capver: row['capver'],
    endpoints: json(row['endpoints'] ?? '[]'),
    endpointTypes: json(row['endpoint_types'] ?? '[]'),
    homeDerp: row['home_derp'],
    lastSeenMs: row['last_seen_ms'],
    createdMs: row['created_ms'],
    expiresMs: row['expires_ms'],
    ephemeral: row['ephemeral'] === 1,
    authorized: row['authorized'] === 1,
    keyId: row['key_id'],
    approvedRoutes: parts.routes,
    attributes: parts.attributes,
  }) as unknown as NodeRecord;

export const keyOf = (row: Row, tags: readonly string[]): KeyRecord =>
  ({
    id: row['id'],
    sha256: row['sha256'],
    login: row['login'],
    tags,
    reusable: row['reusable'] === 1,
    ephemeral: row['ephemeral'] === 1,
    preapproved: row['preapproved'] === 1,
    createdMs: row['created_ms'],
    expiresMs: row['expires_ms'],
    revokedMs: row['revoked_ms'],
    description: row['description'],
  }) as unknown as KeyRecord;

export const useOf = (row: Row): KeyUse =>
  ({
    keyId: row['key_id'],
    count: row['count'],
    firstMs: row['first_ms'],
    lastMs: row['last_ms'],
    lastNode: row['last_node'],
  }) as unknown as KeyUse;

export const loginOf = (row: Row): LoginRecord =>
  ({
    id: row['id'],
    machineKey: row['machine_key'],
    nodeKey: row['node_key'],
    oldNodeKey: row['old_node_key'],
    nlKey: row['nl_key'],
    hostinfo: json(row['hostinfo'] ?? '{}'),
    capver: row['capver'],
    ephemeral: row['ephemeral'] === 1,
    requestedExpiryMs: row['requested_expiry_ms'],
    remote: row['remote'],
    createdMs: row['created_ms'],
    expiresMs: row['expires_ms'],
    state: row['state'],
    decidedBy: row['decided_by'],
    decidedMs: row['decided_ms'],
    nodeId: row['node_id'],
  }) as unknown as LoginRecord;

export const INSERT_LOGIN = `INSERT INTO logins (id, machine_key, node_key, old_node_key, nl_key, hostinfo, capver, ephemeral,
  requested_expiry_ms, remote, created_ms, expires_ms, state, decided_by, decided_ms, node_id) VALUES (${marks(16)})`;

export const loginValues = (login: LoginRecord): SqlValue[] => [
  login.id,
  login.machineKey,
  login.nodeKey,
  login.oldNodeKey,
  login.nlKey,
  JSON.stringify(login.hostinfo),
  login.capver,
  bit(login.ephemeral),
  login.requestedExpiryMs,
  login.remote,
  login.createdMs,
  login.expiresMs,
  login.state,
  login.decidedBy,
  login.decidedMs,
  login.nodeId,
];

export const INSERT_KEY = `INSERT INTO keys (id, sha256, login, reusable, ephemeral, preapproved, created_ms, expires_ms,
  revoked_ms, description) VALUES (${marks(10)})`;

export const keyValues = (key: KeyRecord): SqlValue[] => [
  key.id,
  key.sha256,
  key.login,
  bit(key.reusable),
  bit(key.ephemeral),
  bit(key.preapproved),
  key.createdMs,
  key.expiresMs,
  key.revokedMs,
  key.description,
];

export const INSERT_USE = `INSERT INTO key_uses (key_id, count, first_ms, last_ms, last_node) VALUES (${marks(5)})`;

export const useValues = (use: KeyUse): SqlValue[] => [use.keyId, use.count, use.firstMs, use.lastMs, use.lastNode];

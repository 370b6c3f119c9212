// registry.db through sql.js, which holds a whole database in memory: this runs in a worker thread and ends with it. Rows
// are records taken apart; nothing is decided here.

import initSqlJs, { type BindParams, type Database as Sql, type SqlValue, type Statement } from 'sql.js';
import type { NodeId } from '../base/ids.ts';
import { stableIdOf } from '../base/ids.ts';
import { RegistryFault } from './fault.ts';
import type { KeyId, KeyRecord, KeyUse, LoginId, LoginRecord, NodeAttribute, NodeRecord, Rows } from './record.ts';
import { APPLICATION_ID, MIGRATIONS, SCHEMA_VERSION } from './schema.ts';

/** What the file says besides its records. */
export interface Head {
  /** Number of the last journal record that the file holds. */
  readonly seq: number;
  readonly nextNodeId: number;
  readonly cursor: string | null;
  readonly savedMs: number;
}

/** Records to take out of the file; those that changed are taken out before they are put in anew. */
export interface Dropped {
  readonly nodes: readonly NodeId[];
  readonly keys: readonly KeyId[];
  readonly keyUses: readonly KeyId[];
  readonly logins: readonly LoginId[];
}

export interface RegistryDatabase {
  /** PRAGMA user_version as it was before any migration here. */
  readonly versionBefore: number;
  readonly head: () => Head;
  readonly read: (chunkNodes: number) => Iterable<Rows>;
  readonly drop: (dropped: Dropped) => void;
  readonly put: (rows: Rows) => void;
  readonly setHead: (head: Head) => void;
  /** The problems that SQLite itself finds; empty if it finds none. */
  readonly check: () => readonly string[];
  readonly toBytes: () => Uint8Array;
  readonly close: () => void;
}

const scalar = (sql: Sql, query: string): SqlValue => sql.exec(query)[0]?.values[0]?.[0] ?? null;

const migrate = (sql: Sql): number => {
  const before = Number(scalar(sql, 'PRAGMA user_version'));
  if (before > SCHEMA_VERSION) {
    throw new RegistryFault(
      'registry/newer-schema',
      `registry.db was written by a newer version of Tailplane (schema ${before}, this one knows ${SCHEMA_VERSION}).`,
      'Run that version. A copy from before its migration is in the folder backups.',
    );
  }
  for (const { version, sql: statements } of MIGRATIONS) {
    if (version <= before) continue;
    sql.exec(`BEGIN; ${statements}; PRAGMA user_version = ${version}; COMMIT;`);
  }
  return before;
};

const damaged = (why: string, cause?: unknown): RegistryFault =>
  new RegistryFault(
    'registry/file-damaged',
    `registry.db is damaged: ${why}.`,
    'Nothing was changed. Check the disk, keep a copy of the data folder, then restore a backup: `tailplane restore FILE`.',
    cause,
  );

const open = (library: initSqlJs.SqlJsStatic, bytes: Uint8Array | undefined): { sql: Sql; versionBefore: number } => {
  const sql = new library.Database(bytes);
  try {
    if (bytes && Number(scalar(sql, 'PRAGMA application_id')) !== APPLICATION_ID) throw damaged('it is not a registry');
    if (!bytes) sql.exec(`PRAGMA application_id = ${APPLICATION_ID}`);
    const versionBefore = migrate(sql);
    sql.exec('PRAGMA foreign_keys = ON');
    return { sql, versionBefore };
  } catch (error) {
    sql.close();
    throw error instanceof RegistryFault ? error : damaged((error as Error).message, error);
  }
};

const json = (value: SqlValue): unknown => JSON.parse(String(value));
const bit = (value: boolean): number => (value ? 1 : 0);

const INSERT_NODE = `INSERT INTO nodes (id, stable_id, machine_key, node_key, previous_node_key, nl_key, disco_key, login,
  name, renamed, hostinfo, capver, endpoints, endpoint_types, home_derp, last_seen_ms, created_ms, expires_ms, ephemeral,
  authorized, key_id, key_signature) VALUES (${Array(22).fill('?').join(', ')})`;

const nodeValues = (node: NodeRecord): SqlValue[] => [
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

type Row = Readonly<Record<string, SqlValue>>;

interface Parts {
  readonly addresses: readonly string[];
  readonly tags: readonly string[];
  readonly routes: readonly string[];
  readonly attributes: Readonly<Record<string, NodeAttribute>>;
}

// The columns hold what `nodeValues` put there; the checksum of a record is SQLite's concern, its meaning was checked
// when it was made. So the types are asserted here, once.
const nodeOf = (row: Row, parts: Parts): NodeRecord =>
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

const keyOf = (row: Row, tags: readonly string[]): KeyRecord =>
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

const useOf = (row: Row): KeyUse =>
  ({
    keyId: row['key_id'],
    count: row['count'],
    firstMs: row['first_ms'],
    lastMs: row['last_ms'],
    lastNode: row['last_node'],
  }) as unknown as KeyUse;

const loginOf = (row: Row): LoginRecord =>
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

const loginValues = (login: LoginRecord): SqlValue[] => [
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

const keyValues = (key: KeyRecord): SqlValue[] => [
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

const marks = (count: number): string => Array(count).fill('?').join(', ');

/** Opens the bytes of a file, or a new database; brings it to this version's schema in memory. */
export const openDatabase = async (bytes: Uint8Array | undefined): Promise<RegistryDatabase> => {
  const { sql, versionBefore } = open(await initSqlJs(), bytes);
  const statements = new Map<string, Statement>();
  const prepared = (text: string): Statement => {
    const known = statements.get(text) ?? sql.prepare(text);
    statements.set(text, known);
    return known;
  };
  const run = (text: string, values: BindParams): void => prepared(text).run(values);
  const select = function* (text: string, values: BindParams = []): Iterable<Row> {
    const statement = prepared(text);
    statement.bind(values);
    while (statement.step()) yield statement.getAsObject() as Row;
    statement.reset();
  };
  const texts = (text: string, id: SqlValue, column: string): string[] =>
    [...select(text, [id])].map((row) => String(row[column]));

  /** The rows of a child table for one node after the other; nodes have to be asked for in the order of their ids. */
  const childrenOf = (text: string): ((id: SqlValue) => Row[]) => {
    const rows = select(text)[Symbol.iterator]();
    let next = rows.next();
    return (id) => {
      const found: Row[] = [];
      while (!next.done && next.value['node_id'] === id) {
        found.push(next.value);
        next = rows.next();
      }
      return found;
    };
  };

  const readNodes = function* (): Iterable<NodeRecord> {
    const addresses = childrenOf('SELECT node_id, address FROM node_addresses ORDER BY node_id, position');
    const tags = childrenOf('SELECT node_id, tag FROM node_tags ORDER BY node_id, tag');
    const routes = childrenOf('SELECT node_id, route FROM node_routes ORDER BY node_id, route');
    const attributes = childrenOf(
      'SELECT node_id, name, value, expires_ms FROM node_attributes ORDER BY node_id, name',
    );
    for (const row of select('SELECT * FROM nodes ORDER BY id')) {
      const id = row['id'] ?? null;
      yield nodeOf(row, {
        addresses: addresses(id).map((child) => String(child['address'])),
        tags: tags(id).map((child) => String(child['tag'])),
        routes: routes(id).map((child) => String(child['route'])),
        attributes: Object.fromEntries(
          attributes(id).map((child) => [
            String(child['name']),
            {
              value: json(child['value'] ?? 'null') as NodeAttribute['value'],
              expiresMs: child['expires_ms'] as number | null,
            },
          ]),
        ),
      });
    }
  };

  const putNode = (node: NodeRecord): void => {
    run(INSERT_NODE, nodeValues(node));
    for (const [i, address] of node.addresses.entries()) {
      run('INSERT INTO node_addresses (address, node_id, position) VALUES (?, ?, ?)', [address, node.id, i]);
    }
    for (const tag of node.tags) run('INSERT INTO node_tags (node_id, tag) VALUES (?, ?)', [node.id, tag]);
    for (const route of node.approvedRoutes) {
      run('INSERT INTO node_routes (node_id, route) VALUES (?, ?)', [node.id, route]);
    }
    for (const [name, { value, expiresMs }] of Object.entries(node.attributes)) {
      run('INSERT INTO node_attributes (node_id, name, value, expires_ms) VALUES (?, ?, ?, ?)', [
        node.id,
        name,
        JSON.stringify(value),
        expiresMs,
      ]);
    }
  };

  const inTransaction = (work: () => void): void => {
    sql.exec('BEGIN');
    work();
    sql.exec('COMMIT');
  };

  const meta = (name: string): SqlValue =>
    [...select('SELECT value FROM meta WHERE name = ?', [name])][0]?.['value'] ?? null;

  return {
    versionBefore,
    head: () => ({
      seq: Number(meta('seq')),
      nextNodeId: Number(meta('next_node_id') ?? 1),
      cursor: meta('cursor') as string | null,
      savedMs: Number(meta('saved_ms')),
    }),
    read: function* (chunkNodes) {
      const none = { nodes: [], keys: [], keyUses: [], logins: [] };
      yield {
        ...none,
        keys: [...select('SELECT * FROM keys')].map((row) =>
          keyOf(row, texts('SELECT tag FROM key_tags WHERE key_id = ? ORDER BY tag', row['id'] ?? null, 'tag')),
        ),
        keyUses: [...select('SELECT * FROM key_uses')].map(useOf),
        logins: [...select('SELECT * FROM logins')].map(loginOf),
      };
      let nodes: NodeRecord[] = [];
      for (const node of readNodes()) {
        nodes.push(node);
        if (nodes.length < chunkNodes) continue;
        yield { ...none, nodes };
        nodes = [];
      }
      yield { ...none, nodes };
    },
    drop: (dropped) =>
      inTransaction(() => {
        for (const id of dropped.nodes) run('DELETE FROM nodes WHERE id = ?', [id]);
        for (const id of dropped.keys) run('DELETE FROM keys WHERE id = ?', [id]);
        for (const id of dropped.keyUses) run('DELETE FROM key_uses WHERE key_id = ?', [id]);
        for (const id of dropped.logins) run('DELETE FROM logins WHERE id = ?', [id]);
      }),
    put: (rows) =>
      inTransaction(() => {
        for (const node of rows.nodes) putNode(node);
        for (const key of rows.keys) {
          run(
            `INSERT INTO keys (id, sha256, login, reusable, ephemeral, preapproved, created_ms, expires_ms, revoked_ms,
              description) VALUES (${marks(10)})`,
            keyValues(key),
          );
          for (const tag of key.tags) run('INSERT INTO key_tags (key_id, tag) VALUES (?, ?)', [key.id, tag]);
        }
        for (const use of rows.keyUses) {
          run(`INSERT INTO key_uses (key_id, count, first_ms, last_ms, last_node) VALUES (${marks(5)})`, [
            use.keyId,
            use.count,
            use.firstMs,
            use.lastMs,
            use.lastNode,
          ]);
        }
        for (const login of rows.logins) {
          run(
            `INSERT INTO logins (id, machine_key, node_key, old_node_key, nl_key, hostinfo, capver, ephemeral,
              requested_expiry_ms, remote, created_ms, expires_ms, state, decided_by, decided_ms, node_id)
              VALUES (${marks(16)})`,
            loginValues(login),
          );
        }
      }),
    setHead: (head) =>
      inTransaction(() => {
        const values: [string, SqlValue][] = [
          ['seq', head.seq],
          ['next_node_id', head.nextNodeId],
          ['cursor', head.cursor],
          ['saved_ms', head.savedMs],
        ];
        for (const [name, value] of values) run('REPLACE INTO meta (name, value) VALUES (?, ?)', [name, value]);
      }),
    check: () => [
      ...(sql.exec('PRAGMA integrity_check')[0]?.values ?? [])
        .map(([text]) => String(text))
        .filter((text) => text !== 'ok'),
      ...(sql.exec('PRAGMA foreign_key_check')[0]?.values ?? []).map(
        ([table, , parent]) => `a row of ${String(table)} refers to a row of ${String(parent)} that does not exist`,
      ),
    ],
    toBytes: () => {
      for (const statement of statements.values()) statement.free();
      statements.clear();
      return sql.export();
    },
    close: () => {
      for (const statement of statements.values()) statement.free();
      sql.close();
    },
  };
};

/** Works on a file's content; whatever SQLite can't make sense of is a fault of the file. */
export const soundly = <T>(work: () => T): T => {
  try {
    return work();
  } catch (error) {
    throw error instanceof RegistryFault ? error : damaged((error as Error).message, error);
  }
};

/** Throws unless SQLite finds nothing wrong. */
export const requireSound = (database: RegistryDatabase): void =>
  soundly(() => {
    const [problem, ...more] = database.check();
    if (problem !== undefined) throw damaged(more.length > 0 ? `${problem}, and ${more.length} more` : problem);
  });

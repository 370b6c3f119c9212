// registry.db through sql.js, which holds a whole database in memory: this runs in a worker thread and ends with it. Rows
// are records taken apart; nothing is decided here.

import initSqlJs, { type BindParams, type Database as Sql, type SqlValue, type Statement } from 'sql.js';
import type { NodeId } from '../base/ids.ts';
import { fitsDigest, makePlaceholder, stampDigest } from './digest.ts';
import { RegistryFault } from './fault.ts';
import type { KeyId, LoginId, NodeAttribute, NodeRecord, Rows } from './record.ts';
import {
  INSERT_KEY,
  INSERT_LOGIN,
  INSERT_NODE,
  INSERT_USE,
  json,
  keyOf,
  keyValues,
  loginOf,
  loginValues,
  nodeOf,
  nodeValues,
  useOf,
  useValues,
  type Row,
} from './rows.ts';
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
    // Absent in a file of an early version, and in one that somebody took it out of to change the file by hand.
    // By its form as well: what changed may be the name of its row.
    const digest =
      bytes && scalar(sql, "SELECT value FROM meta WHERE name = 'digest' OR value GLOB 'sha256:*' LIMIT 1");
    if (bytes && digest !== undefined && digest !== null && !(typeof digest === 'string' && fitsDigest(bytes, digest)))
      throw damaged('something in it has changed since it was written');
    const versionBefore = migrate(sql);
    sql.exec('PRAGMA foreign_keys = ON');
    return { sql, versionBefore };
  } catch (error) {
    sql.close();
    throw error instanceof RegistryFault ? error : damaged((error as Error).message, error);
  }
};

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
          run(INSERT_KEY, keyValues(key));
          for (const tag of key.tags) run('INSERT INTO key_tags (key_id, tag) VALUES (?, ?)', [key.id, tag]);
        }
        for (const use of rows.keyUses) run(INSERT_USE, useValues(use));
        for (const login of rows.logins) run(INSERT_LOGIN, loginValues(login));
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
      const placeholder = makePlaceholder();
      sql.run("REPLACE INTO meta (name, value) VALUES ('digest', ?)", [placeholder]);
      const bytes = sql.export();
      stampDigest(bytes, placeholder);
      return bytes;
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

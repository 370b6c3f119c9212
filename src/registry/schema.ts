// The tables of registry.db, as the migrations that lead to them. A migration is never edited once it was released: a file
// of any earlier version is brought forward step by step, after a copy of it was kept. SQLite's STRICT tables hold every
// column to its type (https://sqlite.org/stricttables.html).

export interface Migration {
  /** PRAGMA user_version after it. */
  readonly version: number;
  readonly why: string;
  readonly sql: string;
}

/** `TPLN`, in the file's header: says whose file it is (https://sqlite.org/pragma.html#pragma_application_id). */
export const APPLICATION_ID = 0x54504c4e;

export const MIGRATIONS: readonly Migration[] = [
  {
    version: 1,
    why: 'nodes, pre-auth keys and their uses, logins',
    sql: `
      CREATE TABLE meta (
        name TEXT PRIMARY KEY,
        value ANY
      ) STRICT, WITHOUT ROWID;

      CREATE TABLE nodes (
        id INTEGER PRIMARY KEY,
        stable_id TEXT NOT NULL UNIQUE,
        machine_key TEXT NOT NULL,
        node_key TEXT NOT NULL UNIQUE,
        previous_node_key TEXT,
        nl_key TEXT,
        disco_key TEXT,
        login TEXT,
        name TEXT NOT NULL UNIQUE,
        renamed INTEGER NOT NULL CHECK (renamed IN (0, 1)),
        hostinfo TEXT NOT NULL,
        capver INTEGER NOT NULL,
        endpoints TEXT NOT NULL,
        endpoint_types TEXT NOT NULL,
        home_derp INTEGER NOT NULL,
        last_seen_ms INTEGER NOT NULL,
        created_ms INTEGER NOT NULL,
        expires_ms INTEGER,
        ephemeral INTEGER NOT NULL CHECK (ephemeral IN (0, 1)),
        authorized INTEGER NOT NULL CHECK (authorized IN (0, 1)),
        key_id TEXT
      ) STRICT;

      CREATE TABLE node_addresses (
        address TEXT PRIMARY KEY,
        node_id INTEGER NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
        position INTEGER NOT NULL
      ) STRICT, WITHOUT ROWID;
      CREATE INDEX node_addresses_by_node ON node_addresses (node_id);

      CREATE TABLE node_tags (
        node_id INTEGER NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
        tag TEXT NOT NULL,
        PRIMARY KEY (node_id, tag)
      ) STRICT, WITHOUT ROWID;

      CREATE TABLE node_routes (
        node_id INTEGER NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
        route TEXT NOT NULL,
        PRIMARY KEY (node_id, route)
      ) STRICT, WITHOUT ROWID;

      CREATE TABLE keys (
        id TEXT PRIMARY KEY,
        sha256 TEXT NOT NULL,
        login TEXT,
        reusable INTEGER NOT NULL CHECK (reusable IN (0, 1)),
        ephemeral INTEGER NOT NULL CHECK (ephemeral IN (0, 1)),
        preapproved INTEGER NOT NULL CHECK (preapproved IN (0, 1)),
        created_ms INTEGER NOT NULL,
        expires_ms INTEGER,
        revoked_ms INTEGER,
        description TEXT NOT NULL
      ) STRICT, WITHOUT ROWID;

      CREATE TABLE key_tags (
        key_id TEXT NOT NULL REFERENCES keys (id) ON DELETE CASCADE,
        tag TEXT NOT NULL,
        PRIMARY KEY (key_id, tag)
      ) STRICT, WITHOUT ROWID;

      -- Keys of keys.json5 are used too, so there is no reference to keys here.
      CREATE TABLE key_uses (
        key_id TEXT PRIMARY KEY,
        count INTEGER NOT NULL,
        first_ms INTEGER NOT NULL,
        last_ms INTEGER NOT NULL,
        last_node INTEGER NOT NULL
      ) STRICT, WITHOUT ROWID;

      CREATE TABLE logins (
        id TEXT PRIMARY KEY,
        machine_key TEXT NOT NULL,
        node_key TEXT NOT NULL,
        old_node_key TEXT,
        nl_key TEXT,
        hostinfo TEXT NOT NULL,
        capver INTEGER NOT NULL,
        ephemeral INTEGER NOT NULL CHECK (ephemeral IN (0, 1)),
        requested_expiry_ms INTEGER,
        remote TEXT NOT NULL,
        created_ms INTEGER NOT NULL,
        expires_ms INTEGER NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('pending', 'approved', 'denied')),
        decided_by TEXT,
        decided_ms INTEGER,
        node_id INTEGER
      ) STRICT, WITHOUT ROWID;
    `,
  },
  {
    version: 2,
    why: 'posture attributes set at run time, and signatures of Tailnet Lock',
    sql: `
      ALTER TABLE nodes ADD COLUMN key_signature TEXT;

      CREATE TABLE node_attributes (
        node_id INTEGER NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
        name TEXT NOT NULL,
        value TEXT NOT NULL,
        expires_ms INTEGER,
        PRIMARY KEY (node_id, name)
      ) STRICT, WITHOUT ROWID;
    `,
  },
];

export const SCHEMA_VERSION = MIGRATIONS.at(-1)?.version ?? 0;

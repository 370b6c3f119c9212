// The order of the rooms. A room imports only rooms above it in this table, so that a reader can take the house from the
// top and never needs what comes later. On failure the message says which import breaks it and what the table is for.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

const src = path.join(import.meta.dirname, '../../src');

/** Rooms in import order; the packages that only they may use; `pure` rooms may import no module that has effects. */
const ROOMS: readonly { room: string; pure?: boolean; owns?: readonly string[] }[] = [
  { room: 'base', pure: true },
  { room: 'keys', pure: true },
  { room: 'wire', pure: true },
  { room: 'noise', pure: true },
  { room: 'config', pure: true, owns: ['json5', 'ajv', '@humanwhocodes/momoa'] },
  { room: 'policy', pure: true },
  { room: 'snapshot', pure: true },
  { room: 'review', pure: true },
  { room: 'registry', owns: ['sql.js'] },
  { room: 'netmap', pure: true },
  { room: 'derp', owns: ['ws'] },
  { room: 'source', owns: ['isomorphic-git', 'chokidar', 'openpgp'] },
  { room: 'dns' },
  { room: 'identity', owns: ['openid-client'] },
  { room: 'control' },
  { room: 'http', owns: ['koa', '@koa/router', 'prom-client'] },
  { room: 'console' },
  { room: 'server', owns: ['pino', 'pino-pretty', 'acme-client'] },
  { room: 'cli', owns: ['commander'] },
  { room: 'action' },
];

/** What the GitHub Action may see: it runs without secrets on code that nobody has reviewed. */
const ACTION_SEES = ['action', 'base', 'keys', 'wire', 'config', 'policy', 'snapshot', 'review', 'source'];

/** Packages that several rooms share, with the reason. */
const SHARED: Record<string, readonly string[]> = {
  '@noble/curves': ['keys', 'noise', 'derp', 'source'],
  '@noble/ciphers': ['keys', 'noise', 'derp'],
  '@noble/hashes': ['keys', 'noise', 'snapshot', 'policy', 'registry', 'source', 'config'],
  ws: ['derp', 'control'],
};

/** Node modules without effects; `node:crypto` counts as one because every random source comes in as an argument. */
const PURE_NODE = new Set(['node:zlib', 'node:crypto', 'node:util', 'node:buffer']);

const rank = new Map(ROOMS.map(({ room }, i) => [room, i]));
const files = fs
  .readdirSync(src, { recursive: true })
  .map(String)
  .filter((file) => /\.(?:ts|js)$/.test(file));

const importsOf = (file: string): string[] => {
  const text = fs.readFileSync(path.join(src, file), 'utf8');
  return [
    ...text.matchAll(
      /^(?:import|export)\b[^;'"]*?from\s*['"]([^'"]+)['"]|^import\s*['"]([^'"]+)['"]|import\(\s*['"]([^'"]+)['"]/gm,
    ),
  ].map((match) => (match[1] ?? match[2] ?? match[3]) as string);
};

const packageOf = (name: string): string =>
  name
    .split('/')
    .slice(0, name.startsWith('@') ? 2 : 1)
    .join('/');

test('every file lives in a room of the table', () => {
  for (const file of files) {
    const room = file.split(path.sep)[0] as string;
    assert.ok(
      rank.has(room),
      `src/${file}: there is no room «${room}». Rooms are nouns of the design; see docs/architecture.md.`,
    );
    assert.doesNotMatch(
      path.basename(file),
      /^(?:utils?|helpers?|common|types|index|misc)\.ts$/,
      `src/${file}: name the file after what it holds; a name like this collects everything.`,
    );
  }
});

test('a room imports only rooms above it', () => {
  const wrong: string[] = [];
  for (const file of files) {
    const room = file.split(path.sep)[0] as string;
    for (const name of importsOf(file)) {
      if (!name.startsWith('.')) continue;
      const other = path.relative(src, path.resolve(src, path.dirname(file), name)).split(path.sep)[0] as string;
      if (other === '..' || other === room) continue;
      if (room === 'action' && !ACTION_SEES.includes(other)) {
        wrong.push(`src/${file} imports ${name}: the Action sees ${ACTION_SEES.join(', ')} and nothing else`);
      } else if ((rank.get(other) ?? Infinity) > (rank.get(room) as number)) {
        wrong.push(
          `src/${file} imports ${name}: «${other}» stands below «${room}»; move what both need up, or pass it in`,
        );
      }
    }
  }
  assert.deepEqual(wrong, [], `the order is ${ROOMS.map(({ room }) => room).join(' → ')}`);
});

test('a package has one room, and pure rooms have no effects', () => {
  const owner = new Map(ROOMS.flatMap(({ room, owns }) => (owns ?? []).map((name) => [name, room] as const)));
  const wrong: string[] = [];
  for (const file of files) {
    const room = file.split(path.sep)[0] as string;
    const pure = ROOMS.find((entry) => entry.room === room)?.pure === true;
    for (const name of importsOf(file)) {
      if (name.startsWith('.')) continue;
      if (name.startsWith('node:')) {
        if (pure && !PURE_NODE.has(name))
          wrong.push(`src/${file} imports ${name}: «${room}» is pure; take the effect as an argument`);
        continue;
      }
      const pkg = packageOf(name);
      const allowed = SHARED[pkg] ?? (owner.has(pkg) ? [owner.get(pkg) as string] : undefined);
      if (!allowed) wrong.push(`src/${file} imports ${pkg}: give the package a room in this table, with its real job`);
      else if (!allowed.includes(room)) wrong.push(`src/${file} imports ${pkg}: it belongs to ${allowed.join(', ')}`);
    }
  }
  assert.deepEqual(wrong, []);
});

test('the map of the code names every room, and where to start in it', () => {
  const map = fs.readFileSync(path.join(src, '../docs/architecture.md'), 'utf8');
  const rows = [...map.matchAll(/^\| `(\w+)`\s*\|[^|]*\|([^|]*)\|$/gm)].map(
    ([, room, start]) => [room, start] as const,
  );
  const rooms = fs.readdirSync(src);
  assert.deepEqual(new Set(rows.map(([room]) => room)), new Set(rooms), 'docs/architecture.md: one row for each room');
  for (const [room, start = ''] of rows) {
    for (const [, file] of start.matchAll(/`([^`]+)`/g)) {
      assert.ok(
        fs.existsSync(path.join(src, room as string, file as string)),
        `docs/architecture.md: there is no ${room}/${file}`,
      );
    }
  }
});

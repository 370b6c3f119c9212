// What maps cost without sockets and cryptography: full maps in a storm, one endpoint update, many at once, a policy change.
// `npm run bench -- netmap [SIZES]`, sizes separated by commas. Everything that a stream is given counts until the bytes
// are there; who receives a message is what the tailnet says, and each stage fails if a receiver is missed.

import { randomBytes } from 'node:crypto';
import type { NodeId, Revision, StableId, Tag } from '../src/base/ids.ts';
import { stableIdOf } from '../src/base/ids.ts';
import { createTailnet } from '../src/netmap/tailnet.ts';
import type { MapStream } from '../src/netmap/sessions.ts';
import type { Tailnet } from '../src/netmap/tailnet.ts';
import type { NodeField, NodeRecord } from '../src/registry/record.ts';
import { compileSnapshot } from '../src/snapshot/compile.ts';
import type { Snapshot } from '../src/snapshot/snapshot.ts';

const USERS = 40;
const TEAMS = 8;
const SERVICES = 12;

const login = (i: number): string => `user${i}@example.com`;
const users = `{ users: [${Array.from({ length: USERS }, (_, i) => `{ login: '${login(i)}'${i === 0 ? ", role: 'owner'" : ''} }`).join()}] }`; // prettier-ignore
const tagOwners = Object.fromEntries(Array.from({ length: SERVICES }, (_, i) => [`tag:svc${i}`, ['autogroup:admin']]));
const groups = Object.fromEntries(
  Array.from({ length: TEAMS }, (_, t) => [
    `group:team${t}`,
    Array.from({ length: USERS }, (_, i) => i)
      .filter((i) => i % TEAMS === t)
      .map(login),
  ]),
);

/** Everyone to everyone; `port` tells versions apart. */
const open = (port: number): object => ({
  tagOwners,
  groups,
  grants: [{ src: ['*'], dst: ['*'], ip: ['*'] }, { src: ['*'], dst: ['*'], app: { 'example.com/cap/bench': [{ port }] } }], // prettier-ignore
});

/** Teams reach their services, services reach the next, everyone reaches their own devices. */
const teams = (port: number): object => ({
  tagOwners,
  groups,
  grants: [
    { src: ['autogroup:member'], dst: ['autogroup:self'], ip: ['*'] },
    ...Array.from({ length: SERVICES }, (_, s) => ({
      src: [`group:team${s % TEAMS}`, `tag:svc${(s + 1) % SERVICES}`],
      dst: [`tag:svc${s}`],
      ip: [`tcp:${port}`],
    })),
    { src: ['group:team0'], dst: ['*'], ip: ['tcp:22'] },
  ],
});

const snapshotOf = (policy: object, serial: number): Snapshot => {
  const files = {
    'tailnet.json5': `{ name: 'example.com', baseDomain: 'tail.example.com' }`,
    'users.json5': users,
    'policy.json5': JSON.stringify(policy),
  };
  const { snapshot, diagnostics } = compileSnapshot({
    revision: `dir-${String(serial).padStart(16, '0')}` as Revision,
    files: new Map(Object.entries(files).map(([name, text]) => [name, Buffer.from(text)])),
  });
  if (!snapshot) throw new Error(diagnostics.map((diagnostic) => diagnostic.message).join('\n'));
  return snapshot;
};

const hex = (): string => randomBytes(32).toString('hex');

const recordOf = (id: number): NodeRecord => ({
  id: id as NodeId,
  stableId: stableIdOf(id as NodeId) as StableId,
  machineKey: `mkey:${hex()}` as NodeRecord['machineKey'],
  nodeKey: `nodekey:${hex()}` as NodeRecord['nodeKey'],
  previousNodeKey: null,
  nlKey: null,
  keySignature: null,
  login: id % 3 === 0 ? null : (login(id % USERS) as NodeRecord['login']),
  tags: (id % 3 === 0 ? [`tag:svc${id % SERVICES}`] : []) as readonly string[] as readonly Tag[],
  name: `load-${id}`,
  renamed: false,
  addresses: [`100.64.${id >> 8}.${id & 255}`, `fd7a:115c:a1e0::${id.toString(16)}`] as readonly string[] as NodeRecord['addresses'], // prettier-ignore
  createdMs: 1_790_000_000_000 + id * 7,
  expiresMs: null,
  ephemeral: false,
  authorized: true,
  keyId: null,
  approvedRoutes: [],
  attributes: {},
  discoKey: null,
  hostinfo: { OS: 'linux', Hostname: `load-${id}`, IPNVersion: '1.102.3', NetInfo: { PreferredDERP: 999 } },
  capver: 142,
  endpoints: [],
  endpointTypes: [],
  homeDerp: 999,
  lastSeenMs: 0,
});

/** CPU time of this process, garbage collection included: other load on the machine doesn't count. */
const cpuMs = (from: NodeJS.CpuUsage): number => {
  const { user, system } = process.cpuUsage(from);
  return (user + system) / 1000;
};
const mb = (sizeBytes: number): number => Math.round(sizeBytes / 1e4) / 100;
const median = (list: number[]): number => [...list].sort((a, b) => a - b)[list.length >> 1] as number;

class Crowd {
  readonly records: NodeRecord[];
  readonly tailnet: Tailnet;
  readonly streams: MapStream[] = [];
  woken = new Set<number>();
  messages = 0;
  sentBytes = 0;

  constructor(size: number, snapshot: Snapshot) {
    this.records = Array.from({ length: size }, (_, i) => recordOf(i + 1));
    this.tailnet = createTailnet(snapshot, this.records, { nowMs: Date.now, embeddedRegion: null });
  }

  change(i: number, change: Partial<NodeRecord>): void {
    const before = this.records[i] as NodeRecord;
    const after = { ...before, ...change };
    this.records[i] = after;
    this.tailnet.apply([{ kind: 'node-changed', before, after, fields: Object.keys(change) as NodeField[] }]);
  }

  connect(i: number): void {
    const { id } = this.records[i] as NodeRecord;
    this.change(i, { discoKey: `discokey:${hex()}` as NodeRecord['discoKey'], endpoints: [`203.0.113.9:${1024 + i}`] });
    this.tailnet.setOnline(id, true);
    const stream = this.tailnet.open(id, { capver: 142 }, () => this.woken.add(i));
    if (!stream) throw new Error(`no stream for node ${id}`);
    this.streams[i] = stream;
    this.write(i);
  }

  write(i: number): void {
    const pieces = this.streams[i]?.next();
    if (!pieces) return;
    this.messages++;
    for (const piece of pieces) this.sentBytes += piece.length;
  }

  /** One pass over everyone who has something pending, as control does it. */
  pass(): number {
    const due = this.woken;
    this.woken = new Set();
    for (const i of due) this.write(i);
    return due.size;
  }

  measure(work: () => void): { ms: number; messages: number; mb: number } {
    this.messages = 0;
    this.sentBytes = 0;
    const from = process.cpuUsage();
    work();
    return { ms: cpuMs(from), messages: this.messages, mb: mb(this.sentBytes) };
  }
}

/** How many clients connect between two passes over the others: what comes in 50 ms at about 600 a second. */
const CONNECTS_PER_PASS = 32;
const UPDATES = 20;
const BURST = 50;

const rows: Record<string, Record<string, string | number>> = {};

const run = (size: number, name: string, policy: (port: number) => object): void => {
  const snapshots = Array.from({ length: 4 }, (_, i) => snapshotOf(policy(443 + i), i));
  const before = process.memoryUsage().rss;
  const from = process.cpuUsage();
  const crowd = new Crowd(size, snapshots[0] as Snapshot);
  const start = cpuMs(from);
  const row: Record<string, string | number> = { 'start ms': Math.round(start) };

  const storm = crowd.measure(() => {
    for (let i = 0; i < size; i++) {
      crowd.connect(i);
      if (i % CONNECTS_PER_PASS === 0) crowd.pass();
    }
    crowd.pass();
  });
  row['storm ms'] = Math.round(storm.ms);
  row['storm MB'] = Math.round(storm.mb);
  row['messages'] = storm.messages;

  const again = crowd.measure(() => {
    for (let i = 0; i < size; i++) crowd.tailnet.fetchOnce((crowd.records[i] as NodeRecord).id, { capver: 142 });
  });
  row['full map µs'] = Math.round((again.ms * 1000) / size);

  const updates: number[] = [];
  let receivers = 0;
  for (let k = 0; k < UPDATES; k++) {
    const { ms } = crowd.measure(() => {
      crowd.change(0, { endpoints: [`203.0.113.7:${20000 + k}`] });
      receivers = crowd.pass();
    });
    updates.push(ms);
  }
  row['update ms'] = Math.round(median(updates) * 100) / 100;
  row['receivers'] = receivers;

  const burst = crowd.measure(() => {
    for (let i = 0; i < Math.min(BURST, size); i++) {
      crowd.change(i, { endpoints: [`203.0.113.8:${30000 + i}`] });
      if (i === 0) crowd.pass();
    }
    crowd.pass();
  });
  row['burst ms'] = Math.round(burst.ms * 10) / 10;

  const changes = snapshots.slice(1).map((next) => {
    const change = crowd.measure(() => {
      crowd.tailnet.setSnapshot(next);
      crowd.pass();
    });
    return change.ms;
  });
  row['policy ms'] = Math.round(median(changes));
  const stats = crowd.tailnet.stats();
  row['fragments MB'] = mb(stats.fragmentBytes);
  row['RSS + MB'] = Math.round((process.memoryUsage().rss - before) / 1e6);
  for (const stream of crowd.streams) stream.close();
  rows[`${size} ${name}`] = row;
};

const sizes = (process.argv[2] ?? '300,1000,3000').split(',').map(Number);
for (const size of sizes) {
  run(size, 'open', open);
  run(size, 'teams', teams);
}
console.table(rows);

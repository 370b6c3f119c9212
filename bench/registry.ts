// The registry on this machine's disk: acknowledged registrations, start-up, and what a snapshot costs the event loop.
//
//   npm run bench -- registry [--nodes 1000,10000,100000] [--seconds 2]

import { execFileSync } from 'node:child_process';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import type { NodeId } from '../src/base/ids.ts';
import { openRegistry } from '../src/registry/open.ts';
import type { HostinfoJson } from '../src/registry/record.ts';
import type { Registry } from '../src/registry/registry.ts';
import { register } from '../test/registry/sample.ts';

const MIB = 1024 * 1024;

const open = (folder: string): Promise<Registry> =>
  openRegistry({
    folder,
    holder: 'bench',
    now: Date.now,
    warn: ({ message }) => console.error(message),
    snapshotIntervalMs: 1e9,
    snapshotAtBytes: 1e12,
    backups: { everyMs: 1, keep: 0 },
  });

/** About what a Linux client sends. */
const hostinfo = (n: number): HostinfoJson => ({
  IPNVersion: '1.102.3-t0123456789-g0123456789',
  BackendLogID: 'b'.repeat(64),
  OS: 'linux',
  OSVersion: '6.12.0',
  Container: false,
  Distro: 'debian',
  DistroVersion: '13',
  Desktop: false,
  Hostname: `host-${n}`,
  GoArch: 'amd64',
  GoVersion: 'go1.26.4',
  RoutableIPs: n % 50 === 0 ? ['10.1.0.0/16'] : [],
  Services: [
    { Proto: 'peerapi4', Port: 40_000 },
    { Proto: 'peerapi6', Port: 40_001 },
  ],
  NetInfo: {
    MappingVariesByDestIP: false,
    WorkingUDP: true,
    WorkingIPv6: false,
    PreferredDERP: 1,
    FirewallMode: 'nft',
  },
});

const join = async (registry: Registry, n: number): Promise<void> => {
  const outcome = await registry.apply(register(n, { hostinfo: hostinfo(n) }));
  if (!outcome.ok) throw new Error(outcome.code);
};

const fill = async (registry: Registry, count: number): Promise<void> => {
  for (let n = 1; n <= count; n += 1000) {
    await Promise.all(Array.from({ length: Math.min(1000, count - n + 1) }, (_, i) => join(registry, n + i)));
  }
};

const inFolder = async <T>(work: (folder: string) => Promise<T>): Promise<T> => {
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'tailplane-bench-'));
  try {
    return await work(folder);
  } finally {
    await fs.rm(folder, { recursive: true });
  }
};

const print = (title: string, rows: readonly Readonly<Record<string, string>>[]): void => {
  console.log(`\n${title}`);
  console.table(rows);
};

const measureRate = (callers: number, seconds: number): Promise<Record<string, string>> =>
  inFolder(async (folder) => {
    const registry = await open(folder);
    const endMs = performance.now() + seconds * 1000;
    const took: number[] = [];
    let next = 1;
    await Promise.all(
      Array.from({ length: callers }, async () => {
        for (let now = performance.now(); now < endMs; now = performance.now()) {
          await join(registry, next++);
          took.push(performance.now() - now);
        }
      }),
    );
    const { commits, events } = registry.status();
    await registry.close();
    took.sort((a, b) => a - b);
    const at = (share: number): string => `${(took[Math.floor(took.length * share)] ?? 0).toFixed(2)} ms`;
    return {
      callers: String(callers),
      'acknowledged/s': Math.round(took.length / seconds).toLocaleString('en'),
      'per sync': (events / commits).toFixed(1),
      p50: at(0.5),
      p99: at(0.99),
    };
  });

/** A start in a process of its own; called with `--start FOLDER`. */
const start = async (folder: string): Promise<void> => {
  const began = performance.now();
  const registry = await open(folder);
  const startMs = performance.now() - began;
  const { user, system } = process.cpuUsage();
  const peakBytes = process.resourceUsage().maxRSS * 1024;
  globalThis.gc?.();
  const usedBytes = process.memoryUsage().heapUsed;
  // The registry is named here so that it is still there when its memory is measured.
  const nodes = registry.view.nodes.size;
  console.log(JSON.stringify({ startMs, cpuMs: (user + system) / 1000, peakBytes, usedBytes, nodes }));
  process.exit();
};

interface Start {
  readonly startMs: number;
  /** Of the whole process, its own start and the worker thread included. */
  readonly cpuMs: number;
  readonly peakBytes: number;
  readonly usedBytes: number;
}

const startIn = (folder: string): Start =>
  JSON.parse(
    execFileSync(process.execPath, ['--expose-gc', import.meta.filename, '--start', folder], { encoding: 'utf8' }),
  ) as Start;

const mib = (sizeBytes: number): string => `${Math.round(sizeBytes / MIB)} MiB`;

interface Pause {
  readonly tookMs: number;
  /** The longest time between two turns of the loop, other processes' share of the cores included. */
  readonly pauseMs: number;
  /** The most that this thread itself worked between two turns. */
  readonly ownMs: number;
  /** Of the whole process, the worker thread included. */
  readonly cpuMs: number;
  /** By how much the process grew meanwhile. */
  readonly grewBytes: number;
}

const measurePause = async (work: () => Promise<void>): Promise<Pause> => {
  globalThis.gc?.();
  const cpuMs = (): number => {
    const { user, system } = process.threadCpuUsage();
    return (user + system) / 1000;
  };
  const restBytes = process.memoryUsage.rss();
  const before = process.cpuUsage();
  let grewBytes = 0;
  let pauseMs = 0;
  let ownMs = 0;
  let lastMs = performance.now();
  let lastCpuMs = cpuMs();
  const timer = setInterval(() => {
    const now = performance.now();
    const nowCpu = cpuMs();
    pauseMs = Math.max(pauseMs, now - lastMs);
    ownMs = Math.max(ownMs, nowCpu - lastCpuMs);
    lastMs = now;
    lastCpuMs = nowCpu;
  }, 1);
  const scale = setInterval(() => {
    grewBytes = Math.max(grewBytes, process.memoryUsage.rss() - restBytes);
  }, 20);
  const began = performance.now();
  await work();
  const tookMs = performance.now() - began;
  await new Promise((resolve) => {
    setTimeout(resolve, 5);
  });
  clearInterval(timer);
  clearInterval(scale);
  const { user, system } = process.cpuUsage(before);
  return { tookMs, pauseMs, ownMs, cpuMs: (user + system) / 1000, grewBytes };
};

const measureSize = (count: number): Promise<readonly Record<string, string>[]> =>
  inFolder(async (folder) => {
    const registry = await open(folder);
    await fill(registry, count);
    const rows: Record<string, string>[] = [];
    const snapshot = async (what: string): Promise<void> => {
      const { tookMs, pauseMs, ownMs, cpuMs, grewBytes } = await measurePause(() => registry.checkpoint());
      const { size } = await fs.stat(`${folder}/registry.db`);
      rows.push({
        what,
        took: `${Math.round(tookMs)} ms, CPU ${Math.round(cpuMs)} ms`,
        memory: `${mib(grewBytes)} more meanwhile`,
        'longest pause': `${pauseMs.toFixed(1)} ms, own work ${ownMs.toFixed(1)} ms`,
        file: mib(size),
      });
    };
    const journal = registry.status().journalBytes;
    // A copy: the folder itself is in use, and a start would write to it.
    const copy = `${folder}-copy`;
    await fs.cp(folder, copy, { recursive: true });
    const before = startIn(copy);
    await fs.rm(copy, { recursive: true });
    rows.push({
      what: `start from a journal of ${mib(journal)}`,
      took: `${Math.round(before.startMs)} ms, CPU ${Math.round(before.cpuMs)} ms`,
      memory: `${mib(before.peakBytes)} at most, heap ${mib(before.usedBytes)} then`,
    });
    await snapshot('snapshot of all nodes');
    for (let n = 1; n <= count; n += 10) registry.note(n as NodeId, { lastSeenMs: Date.now(), homeDerp: 2 });
    await snapshot('snapshot of a tenth');
    await registry.close();
    const after = startIn(folder);
    rows.push({
      what: 'start from the file',
      took: `${Math.round(after.startMs)} ms, CPU ${Math.round(after.cpuMs)} ms`,
      memory: `${mib(after.peakBytes)} at most, heap ${mib(after.usedBytes)} then`,
    });
    return rows;
  });

const { values } = parseArgs({
  options: {
    nodes: { type: 'string', default: '1000,10000,100000' },
    seconds: { type: 'string', default: '2' },
    start: { type: 'string' },
  },
});

if (values.start !== undefined) await start(values.start);
const rates: Record<string, string>[] = [];
for (const callers of [1, 8, 64, 512]) rates.push(await measureRate(callers, Number(values.seconds)));
print('Registrations, each answered after its fsync', rates);
for (const count of values.nodes.split(',').map(Number))
  print(`${count.toLocaleString('en')} nodes`, await measureSize(count));

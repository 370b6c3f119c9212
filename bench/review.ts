// Lint and plan of a large tailnet, each as one process from start to end.
//
//   node bench/review.ts [--quick]

import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const RULES = 1000;
const NAMES = 100;
const launcher = path.join(import.meta.dirname, '../src/cli/tailplane.js');

// Deterministic, so that two runs measure the same thing.
let state = 1;
const random = (below: number): number => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return Math.floor((state / 2 ** 32) * below);
};
const list = <T>(length: number, make: (i: number) => T): T[] => Array.from({ length }, (_, i) => make(i));

/** A folder in a repository, changed in four places since its commit, and the list of its nodes beside it. */
const write = (scratch: string, nodes: number): { readonly folder: string; readonly nodesFile: string } => {
  const folder = path.join(scratch, `tailnet-${nodes}`);
  fs.mkdirSync(folder);
  const save = (file: string, value: unknown): void => fs.writeFileSync(file, JSON.stringify(value, null, 1));
  const users = Math.ceil(nodes / 4);
  save(path.join(folder, 'tailnet.json5'), { name: 'example.com' });
  save(path.join(folder, 'users.json5'), {
    users: list(users, (i) => ({ login: `user${i}@example.com`, role: i === 0 ? 'owner' : 'member' })),
  });
  const rule = (i: number) => ({
    src: [i % 3 === 0 ? `tag:t${random(NAMES)}` : `group:g${random(NAMES)}`],
    dst: [`tag:t${random(NAMES)}`],
    ip: [`tcp:${1000 + random(2000)}`],
  });
  const grants = list(RULES, rule);
  const groups = Object.fromEntries(
    list(NAMES, (g) => [`group:g${g}`, list(10, (k) => `user${(g * 13 + k * 7) % users}@example.com`)]),
  );
  const tagOwners = Object.fromEntries(list(NAMES, (t) => [`tag:t${t}`, [`group:g${t}`]]));
  const policy = path.join(folder, 'policy.json5');
  save(policy, { groups, tagOwners, grants });
  const git = (...args: string[]): unknown =>
    execFileSync('git', ['-c', 'user.name=Alice', '-c', 'user.email=alice@example.com', ...args], { cwd: folder });
  git('init', '-q');
  git('add', '.');
  git('commit', '-qm', 'first');
  groups['group:g3']?.push('user5@example.com');
  grants.splice(40, 1);
  grants.push({ src: ['group:g1'], dst: ['tag:t7'], ip: ['*'] }, { src: ['tag:t1'], dst: ['tag:t2'], ip: ['tcp:22'] });
  save(policy, { groups, tagOwners, grants });
  const nodesFile = `${folder}.nodes.json`;
  save(nodesFile, {
    nodes: list(nodes, (i) => ({
      id: i + 1,
      name: `n${i}`,
      user: i % 3 === 0 ? null : `user${i % users}@example.com`,
      tags: i % 3 === 0 ? [`tag:t${(i / 3) % NAMES}`] : [],
      addresses: [`100.${64 + ((i + 1) >> 16)}.${((i + 1) >> 8) & 255}.${(i + 1) & 255}`],
    })),
  });
  return { folder, nodesFile };
};

/** The best of three: wall clock and processor time of the process. */
const measure = (args: readonly string[]): { readonly wallMs: number; readonly cpuMs: number } => {
  const runs = list(process.argv.includes('--quick') ? 1 : 3, () => {
    const start = performance.now();
    const script = `process.on('exit', () => { const { user, system } = process.cpuUsage(); process.stderr.write('cpu ' + (user + system)); })`;
    const { stderr } = spawnSync(
      process.execPath,
      ['--import', `data:text/javascript,${encodeURIComponent(script)}`, launcher, ...args],
      { encoding: 'utf8', maxBuffer: 1 << 28 },
    );
    return { wallMs: performance.now() - start, cpuMs: Number(/cpu (\d+)$/.exec(stderr)?.[1] ?? Number.NaN) / 1000 };
  });
  return runs.reduce((a, b) => (b.wallMs < a.wallMs ? b : a));
};

const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'tailplane-bench-'));
try {
  const rows = [1000, 10_000].flatMap((nodes) => {
    const { folder, nodesFile } = write(scratch, nodes);
    return (
      [
        ['lint', ['lint', folder]],
        ['plan', ['plan', folder, '--nodes', nodesFile]],
      ] as const
    ).map(([what, args]) => {
      const { wallMs, cpuMs } = measure(args);
      return { what, nodes, rules: RULES, 'wall ms': Math.round(wallMs), 'cpu ms': Math.round(cpuMs) };
    });
  });
  console.table(rows);
} finally {
  fs.rmSync(scratch, { recursive: true });
}

// The whole server under many nodes: registration, everybody connecting at once, one change reaching all. The nodes are
// made by a load generator that speaks through the official client's protocol code; it is not part of this repository and
// is looked for at ../shared/load, or where TAILPLANE_LOAD says.
//
//   npm run bench -- control --nodes 300,1000 --at-once 32 --raw

import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { Server } from '../test/interop/server.ts';

interface Quantiles {
  readonly p50: number;
  readonly max: number;
}
interface Stage {
  readonly wall_s: number;
  readonly server_cpu_s: number;
  readonly server_rss_mb: { readonly now: number; readonly peak: number };
}
/** What the generator prints. A stage is absent when one before it failed. */
interface Answer {
  readonly nodes: number;
  readonly register?: Stage & { readonly failed: number; readonly latency_ms: Quantiles };
  readonly storm?: Stage & {
    readonly full_maps: number;
    readonly failed: number;
    readonly full_map_ms: Quantiles | null;
  };
  readonly restorm?: Answer['storm'];
  readonly update?: Stage & { readonly missed: number; readonly last_receiver_ms: Quantiles };
  readonly burst?: Stage & { readonly delivered: number; readonly needed: number };
  readonly policy?: Stage & { readonly missed: number; readonly last_receiver_ms: Quantiles };
}

const CHECKOUT = path.join(import.meta.dirname, '..');
const BURST = 50;

const { values: options } = parseArgs({
  options: {
    nodes: { type: 'string', default: '300' },
    'at-once': { type: 'string', default: '32' },
    updates: { type: 'string', default: '20' },
    policies: { type: 'string', default: '3' },
    raw: { type: 'boolean', default: false },
  },
});

const generator = process.env['TAILPLANE_LOAD'] ?? path.join(CHECKOUT, '../shared/load');
if (!fs.existsSync(path.join(generator, 'go.mod'))) {
  console.log(`The load generator is not here (${generator}); TAILPLANE_LOAD names its folder. Nothing was measured.`);
  process.exit(0);
}
if (spawnSync('go', ['version']).status !== 0) {
  console.log('Go is not installed, so the load generator cannot be built. Nothing was measured.');
  process.exit(0);
}

const seconds = (ms: number): string => (ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`);
const cpu = ({ server_cpu_s }: Stage): string => `${server_cpu_s.toFixed(2)} CPU s`;
const lost = (got: number, needed: number): string => (got < needed ? `; ${needed - got} of ${needed} MISSED` : '');

/** Stage, what was measured, and in brackets what was wrong with it. */
const rowsOf = (answer: Answer): readonly (readonly [stage: string, result: string])[] => {
  const { nodes, register, storm, restorm, update, burst, policy } = answer;
  const stormed = (stage: NonNullable<Answer['storm']>): string =>
    `${stage.full_map_ms ? seconds(stage.full_map_ms.max) : 'none'}, ${cpu(stage)}${lost(stage.full_maps, nodes)}`;
  const last = [restorm, policy, burst, update, storm, register].find((stage) => stage !== undefined);
  const row = <T>(name: string, stage: T | undefined, text: (stage: T) => string): readonly [string, string] => [
    name,
    stage === undefined ? 'not reached' : text(stage),
  ];
  return [
    row('register, per second', register, (stage) => {
      const done = nodes - stage.failed;
      return `${Math.round(done / stage.wall_s)}, median ${seconds(stage.latency_ms.p50)}${lost(done, nodes)}`;
    }),
    row('storm, last full map', storm, stormed),
    row('reconnect storm', restorm, stormed),
    row('one endpoint update, last receiver, median', update, (stage) => {
      const all = Number(options.updates) * (nodes - 1);
      return `${seconds(stage.last_receiver_ms.p50)}${lost(all - stage.missed, all)}`;
    }),
    row(`${BURST} nodes change endpoints at once`, burst, (stage) => cpu(stage) + lost(stage.delivered, stage.needed)),
    row('policy change, last receiver, worst', policy, (stage) => {
      const all = Number(options.policies) * nodes;
      const each = `${(stage.server_cpu_s / Number(options.policies)).toFixed(2)} CPU s each`;
      return `${seconds(stage.last_receiver_ms.max)}, ${each}${lost(all - stage.missed, all)}`;
    }),
    row('resident memory', last, (stage) => `${stage.server_rss_mb.now} MB, peak ${stage.server_rss_mb.peak} MB`),
  ];
};

const POLICIES = {
  'all.json5': `{ grants: [{ src: ['*'], dst: ['*'], ip: ['*'] }] }\n`,
  'most.json5': `{ grants: [{ src: ['*'], dst: ['*'], ip: ['tcp:1-60000', 'udp:*', 'icmp:*'] }] }\n`,
};

const measure = async (nodes: number, load: string, folder: string): Promise<Answer> => {
  const source = path.join(folder, 'tailnet');
  fs.mkdirSync(source, { recursive: true });
  fs.writeFileSync(path.join(source, 'tailnet.json5'), `{ name: 'example.com', baseDomain: 'tail.example.com' }\n`);
  fs.writeFileSync(path.join(source, 'users.json5'), `{ users: [{ login: 'alice@example.com', role: 'owner' }] }\n`);
  for (const [name, text] of Object.entries(POLICIES)) fs.writeFileSync(path.join(folder, name), text);
  fs.copyFileSync(path.join(folder, 'all.json5'), path.join(source, 'policy.json5'));
  const policy = path.join(source, 'policy.json5');
  // The other of the two policies, put in place by a rename, as an editor does.
  const change =
    `cmp -s ${policy} ${folder}/all.json5 && cp ${folder}/most.json5 ${folder}/next || cp ${folder}/all.json5 ${folder}/next; ` +
    `mv ${folder}/next ${policy}`;

  const server = await Server.start({
    source,
    dataFolder: path.join(folder, 'data'),
    logFile: path.join(folder, 'server.log'),
    command: [process.execPath, 'src/cli/tailplane.js', 'serve'],
  });
  try {
    const numbers = { n: nodes, c: options['at-once'], updates: options.updates, burst: Math.min(BURST, nodes) };
    const args = {
      url: server.url,
      authkey: server.authKey,
      pid: server.task.pid,
      policies: options.policies,
      ...numbers,
    };
    const flags = Object.entries(args).flatMap(([name, value]) => [`-${name}`, String(value)]);
    const run = spawnSync(load, [...flags, '-policy-cmd', change], { encoding: 'utf8', maxBuffer: 1 << 26 });
    if (run.stderr) console.error(run.stderr.trimEnd());
    return JSON.parse(run.stdout) as Answer;
  } finally {
    await server.stop();
  }
};

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tailplane-bench-'));
try {
  const load = path.join(folder, 'load');
  execFileSync('go', ['build', '-trimpath', '-o', load, '.'], { cwd: generator, stdio: 'inherit' });
  for (const nodes of options.nodes.split(',').map(Number)) {
    const answer = await measure(nodes, load, path.join(folder, String(nodes)));
    if (options.raw) console.log(JSON.stringify(answer, null, 2));
    const rows = rowsOf(answer);
    const width = Math.max(...rows.map(([name]) => name.length));
    console.log(`${nodes} nodes, ${options['at-once']} at once\n`);
    console.log(rows.map(([name, result]) => `  ${name.padEnd(width)}  ${result}`).join('\n'), '\n');
  }
} finally {
  fs.rmSync(folder, { recursive: true, force: true });
}

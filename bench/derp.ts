// The relay against a stock derper, under the same load in turns: pairs of nodes that send through it, round trips, and
// idle clients. The load generator speaks through the official client; it is not part of this repository and is looked for
// at ../shared/load, or where TAILPLANE_LOAD says. derper comes from test/interop.
//
//   npm run bench -- derp --pairs 8 --idle 2000 --rounds 5 --tls

import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { makeSelfSignedCertificate } from '../src/server/certificate.ts';
import { buildClients } from '../test/interop/build.ts';
import { eventually, freePort } from '../test/interop/task.ts';

/** What the generator prints. */
interface Answer {
  readonly relay: { readonly packets_per_s: number; readonly server_cpu_us_per_packet: number };
  readonly rtt_us: { readonly p50: number; readonly p99: number };
  readonly idle: {
    readonly connects_per_s: number;
    readonly server_cpu_ms_per_connect: number;
    readonly rss_kb_per_client: number;
  };
}

const CHECKOUT = path.join(import.meta.dirname, '..');
const DAY_MS = 86_400_000;
const SETTLE_MS = 2_000;

const { values: options } = parseArgs({
  options: {
    pairs: { type: 'string', default: '8' },
    size: { type: 'string', default: '1200' },
    idle: { type: 'string', default: '1000' },
    seconds: { type: 'string', default: '4' },
    rounds: { type: 'string', default: '3' },
    tls: { type: 'boolean', default: false },
    'own-session': { type: 'boolean', default: false },
  },
});

const generator = process.env['TAILPLANE_LOAD'] ?? path.join(CHECKOUT, '../shared/load');
if (!fs.existsSync(path.join(generator, 'derp'))) {
  console.log(
    `The load generator is not here (${generator}/derp); TAILPLANE_LOAD names its folder. Nothing was measured.`,
  );
  process.exit(0);
}
const clients = buildClients(console.log);
if (clients.kind === 'missing') {
  console.log(`${clients.reason}. Nothing was measured.`);
  process.exit(0);
}

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tailplane-bench-derp-'));
process.once('exit', () => fs.rmSync(folder, { recursive: true, force: true }));
const load = path.join(folder, 'load');
if (spawnSync('go', ['build', '-o', load, './derp'], { cwd: generator, stdio: 'inherit' }).status !== 0)
  process.exit(1);
const { certPem, keyPem } = makeSelfSignedCertificate({
  hostnames: [],
  ips: ['127.0.0.1'],
  notBefore: new Date(Date.now() - DAY_MS),
  notAfter: new Date(Date.now() + DAY_MS),
});
// The names that derper looks for.
const certFile = path.join(folder, '127.0.0.1.crt');
const keyFile = path.join(folder, '127.0.0.1.key');
fs.writeFileSync(certFile, certPem);
fs.writeFileSync(keyFile, keyPem);

const commandOf = (relay: 'ours' | 'derper', port: number): readonly string[] => {
  if (relay === 'ours') {
    return [
      process.execPath,
      path.join(CHECKOUT, 'src/cli/tailplane.js'),
      ...`derp --admit any --stun off --listen 127.0.0.1:${port} --data ${folder}/data`.split(' '),
      ...(options.tls ? ['--tls-cert', certFile, '--tls-key', keyFile] : ['--insecure-http']),
    ];
  }
  return [
    path.join(clients.folder, 'derper'),
    ...`-a 127.0.0.1:${port} -http-port -1 -stun=false -c ${folder}/derper.json`.split(' '),
    ...(options.tls ? ['-certmode', 'manual', '-certdir', folder, '-hostname', '127.0.0.1'] : []),
  ];
};

const measure = async (relay: 'ours' | 'derper'): Promise<Answer> => {
  const port = await freePort();
  const [command, ...args] = commandOf(relay, port);
  // In the session of the generator unless asked otherwise: Linux shares the processor between sessions, and a relay with a
  // share of its own is woken for every packet, which costs a relay of many threads the most.
  const child = spawn(command as string, args, { stdio: 'ignore', detached: options['own-session'] });
  const ended = once(child, 'exit');
  const scheme = options.tls ? 'https' : 'http';
  try {
    await eventually('the relay listens', 10_000, async () => {
      const socket = net.connect(port, '127.0.0.1');
      await once(socket, 'connect');
      socket.destroy();
      return true;
    });
    // What a program does at its start is not what is measured.
    await sleep(SETTLE_MS);
    const { pairs, size, idle, seconds } = options;
    const flags = `-url ${scheme}://127.0.0.1:${port}/derp -pid ${child.pid} -pairs ${pairs} -size ${size} -idle ${idle} -for ${seconds}s`;
    const env = { ...process.env, SSL_CERT_FILE: certFile };
    return JSON.parse(execFileSync(load, flags.split(' '), { env, encoding: 'utf8' })) as Answer;
  } finally {
    child.kill();
    await ended;
  }
};

const answers: Record<'ours' | 'derper', Answer[]> = { ours: [], derper: [] };
for (let round = 0; round < Number(options.rounds); round++) {
  // In turns, so that what else the machine does falls on both.
  for (const relay of ['derper', 'ours'] as const) answers[relay].push(await measure(relay));
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;

const rows: readonly (readonly [name: string, of: (answer: Answer) => number, digits: number])[] = [
  ['packets per second', ({ relay }) => relay.packets_per_s, 0],
  ['CPU per packet, µs', ({ relay }) => relay.server_cpu_us_per_packet, 1],
  ['round trip, median, µs', ({ rtt_us }) => rtt_us.p50, 0],
  ['round trip, 99 %, µs', ({ rtt_us }) => rtt_us.p99, 0],
  ['connects per second', ({ idle }) => idle.connects_per_s, 0],
  ['CPU per connect, ms', ({ idle }) => idle.server_cpu_ms_per_connect, 2],
  ['memory per idle client, KB', ({ idle }) => idle.rss_kb_per_client, 1],
];
const { pairs, size, idle, rounds, tls } = options;
console.log(
  `${pairs} pairs, ${size} bytes, ${idle} idle, ${tls ? 'TLS' : 'plain'}; medians of ${rounds} rounds in turns\n`,
);
console.log(`${''.padEnd(28)}${'derper'.padStart(10)}${'ours'.padStart(10)}${'ratio'.padStart(8)}`);
for (const [name, of, digits] of rows) {
  const [stock, ours] = [median(answers.derper.map(of)), median(answers.ours.map(of))];
  const cells = [
    stock.toFixed(digits).padStart(10),
    ours.toFixed(digits).padStart(10),
    (ours / stock).toFixed(2).padStart(8),
  ];
  console.log(`${name.padEnd(28)}${cells.join('')}`);
}

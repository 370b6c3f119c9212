// From `git push` to the last client: a git host with a webhook, a server that follows it, and many nodes that wait for their
// new filter. The nodes are made by a load generator that is not part of this repository and is looked for at
// ../shared/load, or where TAILPLANE_LOAD says.
//
//   npm run bench -- gitops --nodes 300 --pushes 10

import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { Server } from '../test/interop/server.ts';
import { git, PASSWORD, startHost, startWriter } from '../test/source/githost.ts';

const CHECKOUT = path.join(import.meta.dirname, '..');
const SECRET = 'shared-with-the-host';

const { values: options } = parseArgs({
  options: {
    nodes: { type: 'string', default: '300' },
    pushes: { type: 'string', default: '10' },
    'at-once': { type: 'string', default: '32' },
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

interface Answer {
  readonly policy?: {
    readonly missed: number;
    readonly server_cpu_s: number;
    readonly last_receiver_ms: { readonly p50: number; readonly max: number };
  };
}

const policy = (ports: string): string => `{ grants: [{ src: ['*'], dst: ['*'], ip: ['${ports}'] }] }\n`;

/** What a git host does after a push. */
const hookOf = (url: string): string => `#!/bin/sh
read -r before after ref
body="{\\"ref\\":\\"$ref\\",\\"after\\":\\"$after\\"}"
mac=$(printf %s "$body" | openssl dgst -sha256 -hmac '${SECRET}' | sed 's/.* //')
curl -sf -o /dev/null -H 'x-github-event: push' -H "x-hub-signature-256: sha256=$mac" -d "$body" '${url}/hooks/git' &
`;

const undo: (() => unknown)[] = [];
const scope = { after: (step: () => unknown) => undo.push(step) } as unknown as Parameters<typeof startHost>[0];
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tailplane-bench-'));
try {
  const load = path.join(folder, 'load');
  execFileSync('go', ['build', '-trimpath', '-o', load, '.'], { cwd: generator, stdio: 'inherit' });
  const host = await startHost(scope);
  const writer = startWriter(scope, host.repository);
  writer.commit({
    'tailnet.json5': `{ name: 'example.com', baseDomain: 'tail.example.com' }\n`,
    'users.json5': `{ users: [{ login: 'alice@example.com', role: 'owner' }] }\n`,
    'policy.json5': policy('*'),
  });
  const settings = [
    `TAILPLANE_WEBHOOK_SECRET=${SECRET}`,
    'TAILPLANE_SOURCE_USER=tailplane',
    `TAILPLANE_SOURCE_TOKEN=${PASSWORD}`,
  ];
  const server = await Server.start({
    source: host.url,
    dataFolder: path.join(folder, 'data'),
    logFile: path.join(folder, 'server.log'),
    command: ['env', ...settings, process.execPath, 'src/cli/tailplane.js', 'serve'],
  });
  undo.push(() => server.stop());
  fs.writeFileSync(path.join(host.repository, 'hooks/post-receive'), hookOf(server.url), { mode: 0o755 });
  git(writer.dir, ['config', 'user.name', 'Alice']);
  git(writer.dir, ['config', 'user.email', 'alice@example.com']);
  fs.writeFileSync(path.join(folder, 'a'), policy('*'));
  fs.writeFileSync(path.join(folder, 'b'), policy('tcp:1-60000'));
  const push = [
    `cd ${writer.dir}`,
    `{ cmp -s policy.json5 ${folder}/a && cp ${folder}/b policy.json5 || cp ${folder}/a policy.json5; }`,
    'git commit -qam change',
    'git push -q origin HEAD:main',
  ].join(' && ');
  // Not spawnSync: the git host answers in this process.
  const flags = {
    url: server.url,
    authkey: server.authKey,
    pid: server.task.pid,
    n: options.nodes,
    c: options['at-once'],
    updates: 1,
    policies: options.pushes,
    restorm: false,
  };
  const args = Object.entries(flags).map(([name, value]) => `-${name}=${String(value)}`);
  const run = spawn(load, [...args, '-policy-cmd', push], { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  run.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
  await once(run, 'close');
  const stage = (JSON.parse(text) as Answer).policy;
  if (!stage) console.log('The generator did not come as far as the pushes.');
  else {
    const { missed, server_cpu_s, last_receiver_ms } = stage;
    console.log(`${options.nodes} nodes, ${options.pushes} pushes, told by webhook\n`);
    console.log(`  commit and push to the last new filter, median  ${Math.round(last_receiver_ms.p50)} ms`);
    console.log(`  the slowest of them                             ${Math.round(last_receiver_ms.max)} ms`);
    console.log(
      `  CPU of the server for each                      ${((1000 * server_cpu_s) / Number(options.pushes)).toFixed(0)} ms`,
    );
    console.log(`  filters that did not arrive                     ${missed}`);
  }
} finally {
  for (const step of undo.reverse()) await step();
  fs.rmSync(folder, { recursive: true, force: true });
}

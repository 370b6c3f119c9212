#!/usr/bin/env node
// The launcher: finds a Node that is new enough (the `node` package in a checkout, where the machine's own is older) and
// runs the command line on it, from source in a checkout and from dist/ in a published package. Plain JavaScript that
// also an old Node can read.

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const source = here('./main.ts');
const main = existsSync(source) ? source : here('../../dist/cli/main.js');
const major = Number(process.versions.node.split('.')[0]);

if (major >= 24) {
  // Keeps compiled code between starts: half the time to start and some 30 MB less.
  const { enableCompileCache } = await import('node:module');
  enableCompileCache();
  process.argv[1] = here('./tailplane.js');
  const { run } = await import(main);
  await run(process.argv.slice(2));
} else {
  const own = here('../../node_modules/node/bin/node');
  if (!existsSync(own)) {
    process.stderr.write(
      `tailplane: Node 24 or newer is needed; this is ${process.version}.\n` +
        'In a checkout, run `npm ci`: it brings the right Node along. Else install a newer Node.\n',
    );
    process.exit(2);
  }
  const child = spawn(own, [here('./tailplane.js'), ...process.argv.slice(2)], { stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.on('exit', (code, signal) => {
    if (signal) process.kill(process.pid, signal);
    else process.exit(code ?? 1);
  });
}

#!/usr/bin/env node
// The launcher: finds a Node that is new enough (the `node` package in a checkout, where the machine's own is older) and
// runs the command line on it, from source in a checkout and from dist/ in a published package. The server is started with
// settings for little memory. Plain JavaScript that also an old Node can read.

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const source = here('./main.ts');
const main = existsSync(source) ? source : here('../../dist/cli/main.js');
const major = Number(process.versions.node.split('.')[0]);

// A server lives long and holds many clients: the young generation, which V8 lets grow to 64 MB, stays small, one helper
// thread collects garbage instead of four, and the C library gives memory back instead of keeping it for each thread. This
// is read only when a process starts, so it replaces itself, under the same id (docs/decisions/0004-record-path.md).
const YOUNG = '--max-semi-space-size';
const isSet = [...process.execArgv, process.env.NODE_OPTIONS ?? ''].some((option) => option.includes(YOUNG));
if (major >= 24 && process.argv[2] === 'serve' && !isSet && process.platform !== 'win32') {
  const options = [`${YOUNG}=4`, '--v8-pool-size=1', ...process.execArgv];
  process.execve(process.execPath, [process.execPath, ...options, ...process.argv.slice(1)], {
    MALLOC_ARENA_MAX: '2',
    MALLOC_MMAP_THRESHOLD_: '131072',
    ...process.env,
  });
}

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

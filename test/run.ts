// `npm test` runs everything; `npm test -- policy netmap` runs the suites of these rooms. Suites of the rooms share the
// cores; the suites with real clients come last, each in a network of its own. All of it closes with one count.

import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import type { TestEvent } from 'node:test/reporters';
import { buildClients, OLDER_RELEASES } from './interop/build.ts';

const REAL_CLIENTS = 'interop';
/** No file takes longer by far; this ends one that hangs. */
const FILE_TIMEOUT_MS = 5 * 60_000;

const suites = Map.groupBy(
  fs.globSync('*/**/*.test.ts', { cwd: import.meta.dirname }).sort(),
  (file) => file.split(path.sep)[0] as string,
);
const asked = process.argv.slice(2);
const unknown = asked.filter((room) => !suites.has(room));
if (unknown.length > 0) {
  console.error(`There are no tests of: ${unknown.join(', ')}. There are tests of: ${[...suites.keys()].join(', ')}.`);
  process.exit(2);
}
const rooms = asked.length > 0 ? asked : [...suites.keys()];
const filesOf = (chosen: readonly string[]): string[] =>
  chosen.flatMap((room) => suites.get(room) ?? []).map((file) => path.join(import.meta.dirname, file));

/** The files with real clients; none, with a line that says so, where there is no Go. CI never skips: there they fail. */
const filesWithClients = (): string[] => {
  if (!rooms.includes(REAL_CLIENTS)) return [];
  const say = (line: string): void => void process.stderr.write(`${line}\n`);
  const clients = buildClients(say);
  // Here, because it takes longer than a file may.
  if (process.env['TAILPLANE_LONG'] !== undefined) for (const release of OLDER_RELEASES) buildClients(say, release);
  if (clients.kind === 'ready' || process.env['CI']) return filesOf([REAL_CLIENTS]);
  process.stderr.write(`Skipped: test/${REAL_CLIENTS}. ${clients.reason}.\n`);
  return [];
};

// The files share most of their modules: one compiles them for all, and for the processes that they start.
process.env['NODE_COMPILE_CACHE'] ??= path.join(os.tmpdir(), 'tailplane-compile-cache');

const phases: readonly { files: () => string[]; concurrency: number }[] = [
  { files: () => filesOf(rooms.filter((room) => room !== REAL_CLIENTS)), concurrency: os.availableParallelism() },
  // Clients wait more than they compute. More at once would blur the times that these tests print and limit.
  { files: filesWithClients, concurrency: os.availableParallelism() + 2 },
];

/** Whether the event closes a run: its counts, as an event and as lines to print, belong to no file. */
const closes = ({ type, data }: TestEvent): boolean =>
  ['test:plan', 'test:diagnostic', 'test:summary'].includes(type) && (data as { file?: string }).file === undefined;

async function* events(): AsyncGenerator<TestEvent> {
  const start = performance.now();
  const totals = { tests: 0, suites: 0, passed: 0, failed: 0, cancelled: 0, skipped: 0, todo: 0 };
  for (const { files, concurrency } of phases) {
    const chosen = files();
    if (chosen.length === 0) continue;
    for await (const event of run({ files: chosen, concurrency, timeout: FILE_TIMEOUT_MS })) {
      if (!closes(event)) yield event;
      else if (event.type === 'test:summary') {
        for (const name of Object.keys(totals) as (keyof typeof totals)[]) totals[name] += event.data.counts[name];
      }
    }
  }
  if (totals.failed + totals.cancelled > 0 || totals.tests === 0) process.exitCode = 1;
  const duration_ms = performance.now() - start;
  for (const [name, value] of Object.entries({ ...totals, duration_ms })) {
    // The words of node:test's own closing lines.
    const message = `${name.replace(/^(pass|fail)ed$/, '$1')} ${value}`;
    yield { type: 'test:diagnostic', data: { nesting: 0, message, level: 'info' } } as TestEvent;
  }
}

await pipeline(Readable.from(events()), new spec(), process.stdout);

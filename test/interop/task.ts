// A program that a test runs in the background: its output is kept in a file, and it never outlives the test.

import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) kill(child, 'SIGKILL');
});
// A signal ends the process without 'exit' handlers unless somebody asks for it.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));

/** To the whole process group, for a program that starts others (`npm start` does). Says whether there was one. */
const kill = (child: ChildProcess, signal: NodeJS.Signals | 0): boolean => {
  if (child.pid === undefined) return false;
  try {
    return process.kill(-child.pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
};
const isAlive = (child: ChildProcess): boolean => kill(child, 0);

export interface TaskOptions {
  readonly command: readonly string[];
  readonly logFile: string;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
}

export class Task {
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;
  readonly #logFile: string;
  readonly name: string;

  constructor({ command, logFile, cwd, env }: TaskOptions) {
    const log = fs.openSync(logFile, 'a');
    this.#logFile = logFile;
    this.name = path.basename(logFile, '.log');
    this.#child = spawn(command[0] as string, command.slice(1), {
      ...(cwd === undefined ? {} : { cwd }),
      env: { ...process.env, ...env },
      stdio: ['ignore', log, log],
      detached: true,
    });
    fs.closeSync(log);
    running.add(this.#child);
    this.#ended = new Promise((resolve) => {
      this.#child.once('error', () => resolve());
      this.#child.once('exit', () => resolve());
    });
    void this.#ended.then(() => running.delete(this.#child));
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  get hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  get log(): string {
    return fs.readFileSync(this.#logFile, 'utf8');
  }

  signal(signal: NodeJS.Signals): void {
    kill(this.#child, signal);
  }

  /**
   * Asks it to end as a service manager does, and makes the whole group end after `graceMs`. Resolves to how long it took
   * until the last process of the group was gone, in milliseconds.
   */
  async stop(graceMs = 5_000): Promise<number> {
    const start = performance.now();
    this.#child.kill('SIGTERM');
    const patience = setTimeout(() => this.signal('SIGKILL'), graceMs);
    await this.#ended;
    while (isAlive(this.#child)) await sleep(5);
    clearTimeout(patience);
    return performance.now() - start;
  }
}

// Below the range from which the kernel takes ports for others (32768 on Linux): a port found free stays free.
const FIRST_PORT = 20_000;
const LAST_PORT = 32_000;
let nextPort = FIRST_PORT + (process.pid % 100) * 100;

/** A TCP port that nobody listens on; never the same twice. */
export const freePort = async (): Promise<number> => {
  for (;;) {
    const port = nextPort++;
    if (port > LAST_PORT) throw new Error('no port is free');
    const server = net.createServer().listen(port, '127.0.0.1');
    const isFree = await new Promise<boolean>((resolve) => {
      server.once('listening', () => resolve(true));
      server.once('error', () => resolve(false));
    });
    if (!isFree) continue;
    await new Promise((resolve) => server.close(resolve));
    return port;
  }
};

/** What `eventually` does not wait after. */
export class Hopeless extends Error {}

/**
 * Looks every few milliseconds until `check` gives something other than undefined or false, and says after how many
 * milliseconds that was. What `check` throws counts as "not yet", and is told when time is up; `Hopeless` ends it at once.
 */
export const eventually = async <T>(
  what: string,
  limitMs: number,
  check: () => Promise<T | undefined | false> | T | undefined | false,
): Promise<{ value: T; afterMs: number }> => {
  const start = performance.now();
  let last: unknown;
  for (;;) {
    try {
      const value = await check();
      if (value !== undefined && value !== false) return { value, afterMs: performance.now() - start };
      last = undefined;
    } catch (error) {
      if (error instanceof Hopeless) throw error;
      last = error;
    }
    if (performance.now() - start > limitMs) {
      throw new Error(`Not within ${limitMs} ms: ${what}`, last === undefined ? {} : { cause: last });
    }
    await sleep(20);
  }
};

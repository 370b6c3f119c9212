// An ordinary `ssh` from one client's machine to another's, through the tailnet: it knows nothing of Tailscale.

import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import type { Client } from './client.ts';
import type { Said } from './client.ts';
import { eventually, Hopeless } from './task.ts';

const OPTIONS = ['BatchMode=yes', 'StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'ConnectTimeout=15'];
const LIMIT_MS = 30_000;

export interface ShellWish {
  readonly user?: string;
  readonly command?: string;
  /** Variables to send along: set for `ssh`, and named by SendEnv. */
  readonly env?: Readonly<Record<string, string>>;
}

export class Shell {
  readonly #child: ChildProcess;
  readonly #ended: Promise<Said>;
  #text = '';

  private constructor(child: ChildProcess) {
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk: Buffer) => (this.#text += chunk.toString())); // prettier-ignore
    const patience = setTimeout(() => child.kill('SIGKILL'), LIMIT_MS);
    this.#ended = new Promise((resolve) => {
      child.once('close', (code) => {
        clearTimeout(patience);
        resolve({ exitCode: code ?? 1, text: this.#text });
      });
    });
  }

  static async open(
    from: Client,
    to: Client,
    { user = 'root', command = 'echo hello from $USER', env = {} }: ShellWish = {},
  ): Promise<Shell> {
    const all = [
      `ProxyCommand=${from.command.join(' ')} nc %h %p`,
      ...OPTIONS,
      ...Object.keys(env).map((name) => `SendEnv=${name}`),
    ];
    const args = ['-F', 'none', ...all.flatMap((option) => ['-o', option]), `${user}@${await to.address()}`, command];
    return new Shell(spawn('ssh', args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } }));
  }

  /** Runs the command to its end. */
  static async run(from: Client, to: Client, wish: ShellWish = {}): Promise<Said> {
    return (await Shell.open(from, to, wish)).ended;
  }

  /** Standard output and error so far, as they came. */
  get text(): string {
    return this.#text;
  }

  get ended(): Promise<Said> {
    return this.#ended;
  }

  async says(part: string | RegExp, limitMs = 10_000): Promise<void> {
    await eventually(`the shell says ${part}`, limitMs, () => {
      if (typeof part === 'string' ? this.#text.includes(part) : part.test(this.#text)) return true;
      if (this.#child.exitCode !== null) throw new Hopeless(`the shell ended: ${this.#text}`);
      return false;
    });
  }
}

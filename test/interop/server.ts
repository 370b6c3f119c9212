// The server under test, started the way the README says and stopped the way a service manager does.

import { execFile } from 'node:child_process';
import path from 'node:path';
import { eventually, freePort, Hopeless, Task } from './task.ts';

const CHECKOUT = path.join(import.meta.dirname, '../..');
const LINE = /tailscale up --login-server (\S+) --authkey (\S+)/;

export interface ServerOptions {
  /** Folder or URL of the tailnet. */
  readonly source: string;
  readonly dataFolder: string;
  readonly logFile: string;
  /** The address to listen on; loopback where not given. */
  readonly host?: string;
  /** The files of a certificate for «localhost», under which clients then know the server; without TLS where not given. */
  readonly certificate?: { readonly certFile: string; readonly keyFile: string };
  /** How to start it; as the README does where not given. */
  readonly command?: readonly string[];
  /** More settings. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface KeyWishes {
  readonly user?: string;
  readonly tag?: string;
  readonly reusable?: boolean;
  readonly ephemeral?: boolean;
  /** As on the command line: `15m`, `24h`. */
  readonly expires?: string;
}

export class Server {
  readonly #options: ServerOptions;
  readonly #port: number;
  #task: Task;
  /** What the server printed to paste. */
  url = '';
  authKey = '';

  private constructor(options: ServerOptions, port: number) {
    this.#options = options;
    this.#port = port;
    this.#task = this.#spawn();
  }

  static async start(options: ServerOptions): Promise<Server> {
    const server = new Server(options, await freePort());
    try {
      await server.#ready(0);
      return server;
    } catch (error) {
      await server.stop();
      throw error;
    }
  }

  #spawn(): Task {
    const {
      source,
      dataFolder,
      logFile,
      host = '127.0.0.1',
      command = ['npm', 'start', '--silent'],
      env,
      certificate,
    } = this.#options;
    return new Task({
      command,
      cwd: CHECKOUT,
      logFile,
      env: {
        TAILPLANE_SOURCE: source,
        TAILPLANE_DATA: dataFolder,
        TAILPLANE_LISTEN: `${host}:${this.#port}`,
        ...(certificate && {
          TAILPLANE_URL: `https://localhost:${this.#port}`,
          TAILPLANE_TLS_CERT: certificate.certFile,
          TAILPLANE_TLS_KEY: certificate.keyFile,
        }),
        ...env,
      },
    });
  }

  /** Waits for the line to paste in what was logged after `from`. */
  async #ready(from: number): Promise<void> {
    const { value } = await eventually('the server prints the line to paste', 20_000, () => {
      const fresh = this.#task.log.slice(from);
      if (this.#task.hasEnded) throw new Hopeless(`the server ended:\n${fresh}`);
      const line = LINE.exec(fresh);
      if (line === null) throw new Error(`the server has not printed it yet:\n${fresh}`);
      return line;
    });
    this.url = value[1] as string;
    this.authKey = value[2] as string;
  }

  get task(): Task {
    return this.#task;
  }

  /** Resolves to how long the server took to drain and end, in milliseconds. */
  async stop(): Promise<number> {
    return this.#task.stop(5_000);
  }

  /** The same data, the same address, a new process. */
  async startAgain(): Promise<void> {
    const from = this.#task.log.length;
    this.#task = this.#spawn();
    await this.#ready(from);
  }

  /** `tailplane … --json`, through the Unix socket in the data folder. */
  async admin(...args: string[]): Promise<unknown> {
    const command = ['src/cli/tailplane.js', '--json', '--data', this.#options.dataFolder, ...args];
    return new Promise((resolve, reject) => {
      execFile(process.execPath, command, { cwd: CHECKOUT, timeout: 20_000 }, (error, stdout, stderr) => {
        if (error) reject(new Error(`tailplane ${args.join(' ')}: ${stdout}${stderr}`));
        else resolve(JSON.parse(stdout));
      });
    });
  }

  async createKey({ user, tag, reusable, ephemeral, expires }: KeyWishes): Promise<string> {
    const made = await this.admin(
      'keys',
      'create',
      ...(user === undefined ? [] : ['--user', user]),
      ...(tag === undefined ? [] : ['--tag', tag]),
      ...(reusable ? ['--reusable'] : []),
      ...(ephemeral ? ['--ephemeral'] : []),
      ...(expires === undefined ? [] : ['--expires', expires]),
    );
    return (made as { key: string }).key;
  }
}

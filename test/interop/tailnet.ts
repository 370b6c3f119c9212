// A whole tailnet for one test file: a temporary folder with the tailnet's files and the server's data, a server, and as
// many clients as are asked for. Everything ends and is removed with it; when a test failed, its logs are shown first.

import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { SuiteContext, TestContext } from 'node:test';
import { makeSelfSignedCertificate } from '../../src/server/certificate.ts';
import { Client } from './client.ts';
import type { Programs, Weather } from './client.ts';
import type { Place } from './place.ts';
import { Server } from './server.ts';
import { eventually, Task } from './task.ts';

export const OWNER = 'alice@example.com';
export const MEMBER = 'bob@example.com';

const FILES = {
  'tailnet.json5': `{ name: 'example.com', baseDomain: 'tail.example.com' }\n`,
  'users.json5': `{ users: [{ login: '${OWNER}', role: 'owner' }, { login: '${MEMBER}' }] }\n`,
  'policy.json5': `{ grants: [{ src: ['*'], dst: ['*'], ip: ['*'] }] }\n`,
};

export interface TailnetOptions {
  /** By name; the default is two people and a policy that allows everything. Or the path of a whole folder. */
  readonly files?: Readonly<Record<string, string>> | string;
  /** Makes a source of the folder that holds the files, and names it; the folder itself where not given. */
  readonly follow?: (folder: string) => string;
  /** The address that the server listens on; loopback where not given. */
  readonly host?: string;
  /** More settings of the server, and more of the clients' environment. */
  readonly env?: Readonly<Record<string, string>>;
  readonly clientEnv?: Readonly<Record<string, string>>;
  /** Gives the server a certificate that clients find among those of their system; it makes its own where not given. */
  readonly certified?: boolean;
}

const certify = (folder: string): { readonly certFile: string; readonly keyFile: string } => {
  const [certFile, keyFile] = [path.join(folder, 'server.crt'), path.join(folder, 'server.key')];
  const { certPem, keyPem } = makeSelfSignedCertificate({
    hostnames: ['localhost'],
    ips: [],
    notBefore: new Date(Date.now() - 3_600_000),
    notAfter: new Date(Date.now() + 3_600_000),
  });
  fs.writeFileSync(certFile, certPem);
  fs.writeFileSync(keyFile, keyPem, { mode: 0o600 });
  return { certFile, keyFile };
};

const LOG_TAIL_LINES = 60;

export class Tailnet {
  readonly server: Server;
  readonly clients: Client[] = [];
  readonly #folder: string;
  readonly #clientEnv: Readonly<Record<string, string>>;
  #failed = false;

  private constructor(folder: string, server: Server, clientEnv: Readonly<Record<string, string>>) {
    this.#folder = folder;
    this.#clientEnv = clientEnv;
    this.server = server;
  }

  static async start({
    files = {},
    follow = (dir) => dir,
    host,
    env,
    clientEnv = {},
    certified = false,
  }: TailnetOptions = {}): Promise<Tailnet> {
    // The socket of a client lies in here, and a path of a Unix socket has room for 107 bytes.
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tailplane-'));
    const source = path.join(folder, 'tailnet');
    fs.mkdirSync(path.join(folder, 'logs'));
    if (typeof files === 'string') fs.cpSync(files, source, { recursive: true });
    else {
      fs.mkdirSync(source);
      for (const [name, text] of Object.entries({ ...FILES, ...files }))
        fs.writeFileSync(path.join(source, name), text);
    }
    const logFile = path.join(folder, 'logs', 'server.log');
    const certificate = certified ? certify(folder) : undefined;
    try {
      return new Tailnet(
        folder,
        await Server.start({
          source: follow(source),
          dataFolder: path.join(folder, 'data'),
          logFile,
          ...(host !== undefined && { host }),
          ...(env && { env }),
          ...(certificate && { certificate }),
        }),
        { ...clientEnv, ...(certificate && { SSL_CERT_FILE: certificate.certFile }) },
      );
    } catch (error) {
      fs.rmSync(folder, { recursive: true, force: true });
      throw error;
    }
  }

  /** Another program of the test, whose output is kept with the logs. */
  task(name: string, command: readonly string[]): Task {
    return new Task({ command, logFile: path.join(this.#folder, 'logs', `${name}.log`) });
  }

  /** A client that has not joined yet, on this machine or in a place of its own. */
  async client(name: string, weather: Weather = 'clear', place?: Place, programs?: Programs): Promise<Client> {
    const logFile = path.join(this.#folder, 'logs', `${name}.log`);
    const folder = path.join(this.#folder, 'clients', name);
    const client = await Client.start(name, folder, weather, logFile, place, this.#clientEnv, programs);
    this.clients.push(client);
    return client;
  }

  /** What `tailscale up` needs, with a key of one's own or the one that the server printed. */
  up(client: Client, key = this.server.authKey): readonly string[] {
    return ['up', '--login-server', this.server.url, '--authkey', key, '--hostname', client.name, '--timeout', '20s'];
  }

  /** Starts clients and joins them. */
  async joined(names: readonly string[], weather: Weather = 'clear', key?: string): Promise<Client[]> {
    const joined = await Promise.all(names.map(async (name) => this.client(name, weather)));
    await Promise.all(joined.map(async (client) => client.tell(...this.up(client, key))));
    return joined;
  }

  /** Writes a file of the tailnet folder as an editor does, and gives back what it held before. */
  edit(name: string, text: string): string {
    const file = path.join(this.#folder, 'tailnet', name);
    const before = fs.readFileSync(file, 'utf8');
    fs.writeFileSync(`${file}.new`, text);
    fs.renameSync(`${file}.new`, file);
    return before;
  }

  /** For `afterEach`: remembers a failure, so that `stop` shows what everybody logged. */
  note(test: TestContext | SuiteContext): void {
    this.#failed ||= 'passed' in test && !test.passed;
  }

  async stop(): Promise<void> {
    await Promise.all(this.clients.map(async (client) => client.stop()));
    await this.server.stop();
    if (this.#failed) {
      for (const { name, log } of [this.server.task, ...this.clients.map(({ task }) => task)]) {
        console.log(`--- ${name}, last lines\n${log.split('\n').slice(-LOG_TAIL_LINES).join('\n')}`);
      }
      console.log(`--- whole logs: ${path.join(this.#folder, 'logs')}`);
    } else fs.rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** Waits until each client sees all others online and knows their home relay; the milliseconds that took. */
export const seeEachOther = async (clients: readonly Client[], limitMs = 10_000): Promise<number> => {
  const start = performance.now();
  for (const one of clients) {
    for (const other of clients) {
      if (one === other) continue;
      const what = `${one.name} sees ${other.name} online`;
      await eventually(what, limitMs, async () => {
        const peer = await one.peer(other.name);
        return peer?.Online === true && peer.Relay !== '';
      });
    }
  }
  return performance.now() - start;
};

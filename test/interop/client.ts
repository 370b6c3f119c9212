// One real Tailscale client on loopback: a tailscaled of its own in userspace mode (no network device, no rights needed),
// driven by the `tailscale` command as a person would, and by its local API where a test needs to look often.

import { execFile } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { startEcho, Talk } from './echo.ts';
import { program } from './machine.ts';
import type { Place } from './place.ts';
import { eventually, freePort, Hopeless, Task } from './task.ts';

/** What the network between clients is like. */
export type Weather = 'clear' | 'indirect' | 'relayed';

/**
 * In clear weather clients reach each other's UDP sockets on loopback. In relayed weather a client has no UDP at all
 * (magicsock/debugknobs.go), so that everything goes through a DERP relay over TLS. In indirect weather clients have UDP for
 * STUN, but not to each other.
 */
const WEATHER: Record<Weather, Record<string, string>> = {
  clear: {},
  indirect: { TS_DEBUG_NEVER_DIRECT_UDP: 'true' },
  relayed: { TS_DEBUG_ALWAYS_USE_DERP: 'true' },
};

const QUIET = {
  TS_NO_LOGS_NO_SUPPORT: 'true',
  // Loopback alone does not count as a network for a client, which would wait for a better one.
  TS_ASSUME_NETWORK_UP_FOR_TEST: 'true',
  TS_DISABLE_PORTMAPPER: 'true',
};

/** Where the programs of a client are; those of the newest release where not given. */
export type Programs = (name: 'tailscaled' | 'tailscale') => string;

export interface Said {
  readonly exitCode: number;
  /** Standard output and error, in that order. */
  readonly text: string;
}

/** The parts of `tailscale status --json` that the tests read (ipn/ipnstate/ipnstate.go). */
export interface PeerStatus {
  readonly ID: string;
  readonly HostName: string;
  readonly DNSName: string;
  readonly TailscaleIPs?: readonly string[];
  readonly Tags?: readonly string[];
  readonly CapMap?: Readonly<Record<string, unknown>>;
  readonly Online: boolean;
  readonly Expired?: boolean;
  readonly PrimaryRoutes?: readonly string[];
  readonly ExitNodeOption?: boolean;
  readonly CurAddr: string;
  readonly Relay: string;
}
export interface Status {
  readonly BackendState: string;
  /** Where a person decides about a login; empty while none is asked for. */
  readonly AuthURL?: string;
  readonly Self: PeerStatus;
  readonly Peer?: Readonly<Record<string, PeerStatus>> | null;
  readonly Health?: readonly string[] | null;
  /** What the server says about updates; once a map came. */
  readonly ClientVersion?: object | null;
}

export class Client {
  readonly name: string;
  readonly #folder: string;
  readonly #socksPort: number;
  readonly #task: Task;
  readonly #program: Programs;
  readonly #echo: { port: number; close: () => void };

  private constructor(
    name: string,
    folder: string,
    socksPort: number,
    task: Task,
    echo: Client['echo'],
    programs: Programs,
  ) {
    this.name = name;
    this.#folder = folder;
    this.#socksPort = socksPort;
    this.#task = task;
    this.#echo = echo;
    this.#program = programs;
  }

  /** Starts the daemon; it belongs to no tailnet yet. `folder` keeps its state and socket. In a `place` it has a network device. */
  static async start(
    name: string,
    folder: string,
    weather: Weather,
    logFile: string,
    place?: Place,
    more: Readonly<Record<string, string>> = {},
    programs: Programs = program,
  ): Promise<Client> {
    fs.mkdirSync(folder, { recursive: true });
    const socksPort = await freePort();
    const task = new Task({
      command: [
        ...(place?.command ?? []),
        programs('tailscaled'),
        `--tun=${place ? 'tailscale0' : 'userspace-networking'}`,
        `--statedir=${folder}`,
        `--socket=${path.join(folder, 'socket')}`,
        `--socks5-server=127.0.0.1:${socksPort}`,
        '--port=0',
      ],
      logFile,
      env: { ...QUIET, ...WEATHER[weather], TS_LOGS_DIR: folder, HOME: folder, ...more },
    });
    const client = new Client(name, folder, socksPort, task, await startEcho(name), programs);
    try {
      await eventually(`${name} starts`, 20_000, async () => {
        if (task.hasEnded) throw new Hopeless(`tailscaled ended:\n${task.log}`);
        return (await client.status()).BackendState !== '';
      });
      return client;
    } catch (error) {
      await client.stop();
      throw error;
    }
  }

  get echo(): { readonly port: number; readonly close: () => void } {
    return this.#echo;
  }

  /** Address of the SOCKS proxy into the tailnet. */
  get socks(): string {
    return `127.0.0.1:${this.#socksPort}`;
  }

  get task(): Task {
    return this.#task;
  }

  /** Where it keeps its keys and its socket. */
  get folder(): string {
    return this.#folder;
  }

  /** Its SOCKS5 proxy into the tailnet; it knows MagicDNS. */
  get socksPort(): number {
    return this.#socksPort;
  }

  /** What a command line begins with that is for this client: `tailscale --socket …`. */
  get command(): readonly [string, ...string[]] {
    return [this.#program('tailscale'), '--socket', path.join(this.#folder, 'socket')];
  }

  /** Runs `tailscale …` against this client. Refusals are answers here, not exceptions. */
  async say(...args: string[]): Promise<Said> {
    return new Promise((resolve) => {
      const [tailscale, ...rest] = this.command;
      const child = execFile(tailscale, [...rest, ...args], { timeout: 60_000 }, (error, stdout, stderr) => {
        const exitCode = error === null ? 0 : (child.exitCode ?? 1);
        resolve({ exitCode, text: `${stdout}${stderr}`.trim() });
      });
    });
  }

  /** Runs `tailscale …` and throws when it fails. */
  async tell(...args: string[]): Promise<string> {
    const { exitCode, text } = await this.say(...args);
    if (exitCode !== 0) throw new Error(`${this.name}: tailscale ${args[0]} failed (${exitCode}): ${text}`);
    return text;
  }

  async status(): Promise<Status> {
    return new Promise((resolve, reject) => {
      const request = http.get(
        {
          socketPath: path.join(this.#folder, 'socket'),
          path: '/localapi/v0/status',
          headers: { host: 'local-tailscaled.sock' },
          timeout: 5_000,
        },
        (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('error', reject);
          response.on('end', () => {
            const text = Buffer.concat(chunks).toString();
            if (response.statusCode === 200) resolve(JSON.parse(text) as Status);
            else reject(new Error(`status ${response.statusCode}: ${text}`));
          });
        },
      );
      request.on('timeout', () => request.destroy(new Error('no answer from the local API')));
      request.on('error', reject);
    });
  }

  /** The peer of that MagicDNS label as this client sees it, if it sees it. */
  async peer(name: string): Promise<PeerStatus | undefined> {
    const { Peer: peers } = await this.status();
    return Object.values(peers ?? {}).find(({ DNSName }) => DNSName.startsWith(`${name}.`));
  }

  async address(): Promise<string> {
    const address = (await this.status()).Self.TailscaleIPs?.[0];
    if (address === undefined) throw new Error(`${this.name} has no address`);
    return address;
  }

  /** Opens a TCP connection to the other's echo server, through the tailnet. */
  async talkTo(other: Client, limitMs = 10_000): Promise<Talk> {
    return Talk.through(this.#socksPort, await other.address(), other.echo.port, limitMs);
  }

  /** One question and answer over a connection of its own. Throws when the path is closed. */
  async echoFrom(other: Client, limitMs = 10_000): Promise<string> {
    const talk = await this.talkTo(other, limitMs);
    try {
      return await talk.say(`hello from ${this.name}`, limitMs);
    } finally {
      talk.close();
    }
  }

  async stop(): Promise<void> {
    this.#echo.close();
    await this.#task.stop(3_000);
  }
}

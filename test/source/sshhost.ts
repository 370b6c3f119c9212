// A git host that speaks SSH, for tests: the sshd of OpenSSH on loopback with a configuration, host keys and
// authorized_keys of its own, as the person who runs the tests. It can change its host key, hang and die.

import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { tempDir } from './githost.ts';

const SSHD = ['/usr/sbin/sshd', '/usr/local/sbin/sshd', '/usr/lib/ssh/sshd', '/usr/libexec/sshd'].find((file) =>
  fs.existsSync(file),
);

/** Why there is no sshd to test with; undefined where there is one. CI never skips. */
export const whyNoSshd = (): string | undefined =>
  SSHD === undefined && !process.env['CI'] ? 'there is no sshd; it is in the package openssh-server' : undefined;

const USER = os.userInfo().username;
const START_MS = 10_000;

export interface SshHost {
  readonly user: string;
  readonly port: number;
  /** A line for a known_hosts file. */
  pin(key: string): string;
  /** The private key file of that name; made at the first call. */
  key(name: string): string;
  /** Lets a key in, with options of authorized_keys(5) in front of it. */
  allow(key: string, options?: string): void;
  /** Starts sshd with this host key. */
  start(hostKey: string): Promise<void>;
  /** Stops listening; sessions end. */
  stop(): Promise<void>;
  /** Freezes or wakes sshd with all of its sessions. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void;
}

const freePort = async (): Promise<number> =>
  await new Promise((resolve) => {
    const server = net.createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as net.AddressInfo;
      server.close(() => resolve(port));
    });
  });

/** sshd answers with its banner once it is up. */
const speaks = async (port: number): Promise<boolean> =>
  await new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    socket.once('data', () => socket.destroy() && resolve(true));
    socket.once('error', () => resolve(false));
    socket.once('end', () => resolve(false));
  });

/** The child processes of a process, and theirs. */
const descendants = (pid: number): readonly number[] => {
  const children = execFileSync('ps', ['-A', '-o', 'pid=,ppid='])
    .toString()
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/).map(Number) as [number, number]);
  const out = [pid];
  for (const parent of out) for (const [child, above] of children) if (above === parent) out.push(child);
  return out;
};

export const startSshHost = async (t: Pick<TestContext, 'after'>): Promise<SshHost> => {
  const dir = tempDir(t, 'sshhost');
  const authorized = path.join(dir, 'authorized_keys');
  fs.writeFileSync(authorized, '', { mode: 0o600 });
  const port = await freePort();
  let running: ChildProcess | undefined;

  const key: SshHost['key'] = (name) => {
    const file = path.join(dir, name);
    if (!fs.existsSync(file)) execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', name, '-f', file]);
    return file;
  };
  const publicKey = (file: string): string => fs.readFileSync(`${file}.pub`, 'utf8').trim();

  const stop = async (): Promise<void> => {
    const ended = running;
    running = undefined;
    if (!ended || ended.exitCode !== null || ended.signalCode !== null) return;
    const exit = new Promise((resolve) => {
      ended.once('exit', resolve);
    });
    for (const pid of descendants(ended.pid as number)) process.kill(pid, 'SIGKILL');
    await exit;
  };
  t.after(stop);

  const start: SshHost['start'] = async (hostKey) => {
    await stop();
    const config = path.join(dir, 'sshd_config');
    const lines = [
      `Port ${port}`,
      'ListenAddress 127.0.0.1',
      `HostKey ${hostKey}`,
      `AuthorizedKeysFile ${authorized}`,
      'PidFile none',
      // Files in a folder of everybody's are fine for a test.
      'StrictModes no',
      'UsePAM no',
      'PasswordAuthentication no',
      'KbdInteractiveAuthentication no',
      'PermitRootLogin prohibit-password',
      'PrintMotd no',
    ];
    fs.writeFileSync(config, `${lines.join('\n')}\n`);
    // Root's sshd wants this empty folder, which a service manager makes elsewhere.
    if (process.getuid?.() === 0) fs.mkdirSync('/run/sshd', { recursive: true, mode: 0o755 });
    const child = spawn(SSHD as string, ['-D', '-e', '-f', config], { stdio: ['ignore', 'ignore', 'pipe'] });
    running = child;
    let said = '';
    child.stderr.on('data', (chunk: Buffer) => (said = (said + chunk.toString()).slice(-4096)));
    const untilMs = Date.now() + START_MS;
    while (!(await speaks(port))) {
      if (child.exitCode !== null || Date.now() > untilMs) throw new Error(`sshd does not start: ${said}`);
      await sleep(20);
    }
  };

  return {
    user: USER,
    port,
    pin: (hostKey) => `[127.0.0.1]:${port} ${publicKey(hostKey)}\n`,
    key,
    allow: (client, options) =>
      fs.appendFileSync(authorized, `${options === undefined ? '' : `${options} `}${publicKey(client)}\n`),
    start,
    stop,
    signal: (signal) => {
      if (running) for (const pid of descendants(running.pid as number)) process.kill(pid, signal);
    },
  };
};

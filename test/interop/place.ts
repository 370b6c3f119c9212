// A second machine beside the first: a network namespace of its own with a cable to ours, and its own /etc, so that a real
// client can have a network device, routes and a resolver there. What we have on loopback is out of its reach, so what it
// reaches, it reaches through the tailnet. For files that run on a machine of their own (machine.ts).

import { execFile, execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

/** Our end of the cable and the other's. */
export const NEAR = '10.200.0.1';
const FAR = '10.200.0.2';
const NAME = 'far';

export interface Place {
  /** What a command begins with that runs there. */
  readonly command: readonly string[];
  /** Runs a program there and gives its output; throws when it fails or takes longer. */
  readonly run: (limitMs: number, ...command: string[]) => Promise<string>;
}

const ip = (...args: string[]): unknown => execFileSync('ip', args, { stdio: 'pipe' });

/** There is one; it ends with the machine. Throws where namespaces can't have cables. */
export const openPlace = (): Place => {
  // Where `ip` keeps its namespaces; nobody has to own the real one.
  execFileSync('mount', ['-t', 'tmpfs', 'run', '/run'], { stdio: 'pipe' });
  ip('netns', 'add', NAME);
  ip('link', 'add', 'name', 'near', 'type', 'veth', 'peer', 'name', 'far', 'netns', NAME);
  ip('address', 'add', `${NEAR}/30`, 'dev', 'near');
  ip('link', 'set', 'near', 'up');
  ip('-n', NAME, 'link', 'set', 'lo', 'up');
  ip('-n', NAME, 'address', 'add', `${FAR}/30`, 'dev', 'far');
  ip('-n', NAME, 'link', 'set', 'far', 'up');

  // A client with a network device rewrites /etc/resolv.conf.
  const etc = fs.mkdtempSync(path.join(os.tmpdir(), 'tailplane-etc-'));
  execFileSync('mount', ['-t', 'tmpfs', 'etc', etc], { stdio: 'pipe' });
  // Not everything in it is for everybody's eyes, nor needed.
  spawnSync('cp', ['-a', '/etc/.', etc], { stdio: 'ignore' });
  const command = ['ip', 'netns', 'exec', NAME, 'sh', '-c', `mount --bind ${etc} /etc && exec "$@"`, 'sh'];
  process.on('exit', () => {
    execFileSync('umount', [etc], { stdio: 'pipe' });
    fs.rmdirSync(etc);
  });
  return {
    command,
    run: async (limitMs, ...rest) =>
      new Promise((resolve, reject) => {
        const [program, ...args] = [...command, ...rest] as [string, ...string[]];
        execFile(program, args, { timeout: limitMs, killSignal: 'SIGKILL' }, (error, stdout, stderr) => {
          if (error) reject(new Error(`${rest.join(' ')}: ${error.message}\n${stderr}`));
          else resolve(stdout);
        });
      }),
  };
};

/** Gives our loopback an address, as if it were of a network behind us. */
export const addAddress = (address: string): void => {
  ip('address', 'add', `${address}/32`, 'dev', 'lo');
};

/** The same for an address of the internet: the place finds it behind us without a tailnet. */
export const addInternetAddress = (address: string): void => {
  addAddress(address);
  ip('-n', NAME, 'route', 'add', `${address}/32`, 'via', NEAR);
};

/** Gives us a network beside loopback: older clients take loopback alone for none, and send nothing. */
export const addNetwork = (): void => {
  ip('link', 'add', 'name', 'lan', 'type', 'veth', 'peer', 'name', 'lan-end');
  ip('address', 'add', '192.168.77.1/24', 'dev', 'lan');
  ip('link', 'set', 'lan-end', 'up');
  ip('link', 'set', 'lan', 'up');
};

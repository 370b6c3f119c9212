// Other machines beside the first: network namespaces of their own with a cable to ours, and their own /etc, so that a real
// client can have a network device, routes and a resolver there. What we have on loopback is out of their reach, so what they
// reach, they reach through the tailnet. For files that run on a machine of their own (machine.ts).

import { execFile, execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

/** Our end of the first cable, and the place where it ends unless another is named. */
export const NEAR = '10.200.0.1';
const FAR = 'far';

export interface Place {
  /** What a command begins with that runs there. */
  readonly command: readonly string[];
  /** Runs a program there and gives its output; throws when it fails or takes longer. */
  readonly run: (limitMs: number, ...command: string[]) => Promise<string>;
}

const ip = (...args: string[]): unknown => execFileSync('ip', args, { stdio: 'pipe' });

export interface PlaceOptions {
  /** Which cable: the place has the address 10.200.N.2, and we have 10.200.N.1. */
  readonly number?: number;
  /** Whether everything goes through us that has no way of its own; we forward between such places. */
  readonly wide?: boolean;
}

/** Makes `file` of the kernel's settings say `value`, in a namespace or here. */
const setKernel = (command: readonly string[], file: string, value: string): void => {
  const line = [...command, 'sh', '-c', `echo ${value} > /proc/sys/${file}`];
  execFileSync(line[0] as string, line.slice(1), { stdio: 'pipe' });
};

/** Where `ip` keeps its namespaces; nobody has to own the real one. */
let isMounted = false;

const addNamespace = (name: string): void => {
  if (!isMounted) execFileSync('mount', ['-t', 'tmpfs', 'run', '/run'], { stdio: 'pipe' });
  isMounted = true;
  ip('netns', 'add', name);
  ip('-n', name, 'link', 'set', 'lo', 'up');
};

/** A cable from here, or from another namespace. */
const addCable = (near: string | undefined, nearAddress: string, far: string, farAddress: string): void => {
  const here = near === undefined ? [] : ['-n', near];
  const nearEnd = `to-${far}`;
  ip(...here, 'link', 'add', 'name', nearEnd, 'type', 'veth', 'peer', 'name', 'out', 'netns', far);
  ip(...here, 'address', 'add', `${nearAddress}/30`, 'dev', nearEnd);
  ip(...here, 'link', 'set', nearEnd, 'up');
  ip('-n', far, 'address', 'add', `${farAddress}/30`, 'dev', 'out');
  ip('-n', far, 'link', 'set', 'out', 'up');
};

const addPlace = (name: string, number: number, wide: boolean): void => {
  addNamespace(name);
  addCable(undefined, `10.200.${number}.1`, name, `10.200.${number}.2`);
  if (wide) {
    ip('-n', name, 'route', 'add', 'default', 'via', `10.200.${number}.1`);
    setKernel([], 'net/ipv4/ip_forward', '1');
  }
};

/** They end with the machine. Throws where namespaces can't have cables. */
export const openPlace = (name = FAR, { number = 0, wide = false }: PlaceOptions = {}): Place => {
  addPlace(name, number, wide);
  return enter(name);
};

/** What nft is missing for, or undefined: the tests that need it skip with this reason, but never where CI is set. */
export const lacksNft = (): string | undefined => {
  if (spawnSync('nft', ['list', 'ruleset']).status === 0) return undefined;
  if (process.env['CI']) throw new Error('nft does not work here; with CI set these tests are never skipped');
  return 'nft (Debian: nftables) is not there or may not be used';
};

/** Rules of the kernel's packet filter, as `nft -f` reads them; in a namespace or here. */
const setRules = (command: readonly string[], rules: string): void => {
  const line = [...command, 'nft', '-f', '-'];
  execFileSync(line[0] as string, line.slice(1), { input: rules, stdio: ['pipe', 'pipe', 'pipe'] });
};

export interface Home {
  readonly place: Place;
  /** The address that others see instead of those behind it. */
  readonly outside: string;
  readonly inside: string;
  /** How many connections were translated so far. */
  readonly translated: () => number;
}

/** A place behind a router that hides it behind its own address as most homes are. */
export const openHome = (name: string, number: number): Home => {
  const gateway = `${name}-nat`;
  addPlace(gateway, number, true);
  const inside = '192.168.77.2';
  addNamespace(name);
  addCable(gateway, '192.168.77.1', name, inside);
  ip('-n', name, 'route', 'add', 'default', 'via', '192.168.77.1');
  const inGateway = ['ip', 'netns', 'exec', gateway];
  setKernel(inGateway, 'net/ipv4/ip_forward', '1');
  // Nobody comes in who wasn't asked from inside.
  setRules(
    inGateway,
    `table ip nat {
      chain leaving {
        type nat hook postrouting priority srcnat
        oif "out" counter masquerade
      }
    }
    table ip filter {
      chain passing {
        type filter hook forward priority filter
        policy drop
        oif "out" accept
        ct state established,related accept
      }
    }\n`,
  );
  const counted = (): number => {
    const rules = execFileSync('ip', ['netns', 'exec', gateway, 'nft', 'list', 'table', 'ip', 'nat'], { encoding: 'utf8' }); // prettier-ignore
    return Number(/counter packets (\d+)/.exec(rules)?.[1]);
  };
  return { place: enter(name), outside: `10.200.${number}.2`, inside, translated: counted };
};

/** From now on nothing passes between the two, over us, however it is tried. */
export const cut = (one: string, other: string): void => {
  setRules(
    [],
    `table ip cut {
      chain passing {
        type filter hook forward priority filter
        iifname "to-${one}" oifname "to-${other}" drop
        iifname "to-${other}" oifname "to-${one}" drop
      }
    }\n`,
  );
};

const enter = (name: string): Place => {
  // A client with a network device rewrites /etc/resolv.conf.
  const etc = fs.mkdtempSync(path.join(os.tmpdir(), 'tailplane-etc-'));
  execFileSync('mount', ['-t', 'tmpfs', 'etc', etc], { stdio: 'pipe' });
  // Not everything in it is for everybody's eyes, nor needed.
  spawnSync('cp', ['-a', '/etc/.', etc], { stdio: 'ignore' });
  const command = ['ip', 'netns', 'exec', name, 'sh', '-c', `mount --bind ${etc} /etc && exec "$@"`, 'sh'];
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

/** Gives our loopback, or that of a place, an address, as if it were of a network behind it. */
export const addAddress = (address: string, place?: string): void => {
  ip(...(place === undefined ? [] : ['-n', place]), 'address', 'add', `${address}/32`, 'dev', 'lo');
};

/** The same for an address of the internet: the place finds it behind us without a tailnet. */
export const addInternetAddress = (address: string): void => {
  addAddress(address);
  ip('-n', FAR, 'route', 'add', `${address}/32`, 'via', NEAR);
};

/** Gives us a network beside loopback: older clients take loopback alone for none, and send nothing. */
export const addNetwork = (): void => {
  ip('link', 'add', 'name', 'lan', 'type', 'veth', 'peer', 'name', 'lan-end');
  ip('address', 'add', '192.168.77.1/24', 'dev', 'lan');
  ip('link', 'set', 'lan-end', 'up');
  ip('link', 'set', 'lan', 'up');
};

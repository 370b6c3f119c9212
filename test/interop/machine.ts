// A test file with real clients imports this module, which builds the clients and then runs the file again on a machine of
// its own: a network namespace that has nothing but loopback, so that no client can talk to anybody
// outside, and a process namespace, so that the kernel ends every client when the test process ends, however it ends.
// Where the system offers neither (no Linux, no right to make namespaces), the file runs as it is.

import { spawnSync } from 'node:child_process';
import { buildClients } from './build.ts';

const CLIENTS = 'TAILPLANE_TEST_CLIENTS';

const asRoot = process.getuid?.() === 0 ? [] : ['--user', '--map-root-user'];
const namespaces = ['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
/** Runs what follows it on a machine of its own. The shell stays, as the first process, to bury orphans. */
const OWN_MACHINE = [...asRoot, ...namespaces, '--', 'sh', '-c', 'ip link set lo up && "$@"; exit $?', 'sh'];

const prepare = (): { folder: string } | { skip: string } => {
  const folder = process.env[CLIENTS];
  if (folder !== undefined) return { folder };
  const clients = buildClients(console.log);
  if (clients.kind === 'missing') {
    if (process.env['CI']) throw new Error(`${clients.reason}; with CI set these tests are never skipped`);
    return { skip: clients.reason };
  }
  if (spawnSync('unshare', [...OWN_MACHINE, 'true']).status === 0) {
    const again = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
    const env = { ...process.env, [CLIENTS]: clients.folder };
    const { status } = spawnSync('unshare', [...OWN_MACHINE, ...again], { stdio: 'inherit', env });
    process.exit(status ?? 1);
  }
  return { folder: clients.folder };
};

const prepared = prepare();

/** For `describe`: the reason to skip, or `false`. */
export const skip: string | false = 'skip' in prepared ? prepared.skip : false;

/** Whether the file runs on a machine of its own, whose network it may change. */
export const isOwnMachine = process.env[CLIENTS] !== undefined;

/** Path of one of the client's programs. */
export const program = (name: 'tailscaled' | 'tailscale' | 'derper'): string => {
  if ('skip' in prepared) throw new Error(prepared.skip);
  return `${prepared.folder}/${name}`;
};

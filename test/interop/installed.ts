// Programs of the system that a test needs and that may not be there: what is not tested without them is said once. CI installs
// them and never skips.

import { spawnSync } from 'node:child_process';

// Daemons are not in everybody's path.
const FIND = 'PATH=$PATH:/usr/sbin:/usr/local/sbin; command -v "$1"';

/** Where the program is. */
export const find = (program: string): string | undefined =>
  spawnSync('sh', ['-c', FIND, 'sh', program], { encoding: 'utf8' }).stdout.trim() || undefined;

/** For `describe`: the reason to skip what tests `what`, or `false`. */
export const without = (program: string, pack: string, what: string): string | false => {
  if (find(program) !== undefined) return false;
  const reason = `${program} (package ${pack}) is not installed`;
  if (process.env['CI']) throw new Error(`${reason}; with CI set these tests are never skipped`);
  // A file that goes on in a machine of its own (machine.ts) comes by here twice.
  const told = `TAILPLANE_TOLD_${program}_${what.length}`;
  if (process.env[told] === undefined) console.log(`Not tested: ${what}. ${reason}.`);
  process.env[told] = 'yes';
  return reason;
};

// A reconcile loop in a process of its own that kills itself at one instant: `reconcile-child.ts REPOSITORY DATA N
// [COMMIT]` dies at the N-th of them and writes the name of each that it comes to. With a commit it goes back to that one. Instants are the beginnings and ends of the steps, and the
// moments before and after a file takes its place on disk.

import fs from 'node:fs';
import { openReconcile } from '../../src/server/reconcile.ts';
import { openSource } from '../../src/source/open.ts';
import { sideOf } from './reconcile-bench.ts';

const [repository = '', dataDir = '', deadly = '', back = ''] = process.argv.slice(2);
let count = 0;
/** A rollback begins when the start is done. */
let isArmed = back === '';
const instant = (name: string): void => {
  // The end of a step is the beginning of the next, but for a few instructions.
  if (!isArmed || (name.endsWith(' end') && !process.env['TAILPLANE_LONG'])) return;
  fs.writeSync(1, `${name}\n`);
  if (count++ === Number(deadly)) process.kill(process.pid, 'SIGKILL');
};

const fileOf = (place: fs.PathLike): string => String(place).replace(`${dataDir}/`, '');
const { renameSync } = fs;
const { rename } = fs.promises;
fs.renameSync = (from, to) => {
  instant(`before ${fileOf(to)}`);
  renameSync(from, to);
  instant(`after ${fileOf(to)}`);
};
fs.promises.rename = async (from, to) => {
  instant(`before ${fileOf(to)}`);
  await rename(from, to);
  instant(`after ${fileOf(to)}`);
};

const none = (): void => {};
const opened = await openSource(`file://${repository}`, { dataDir });
if (!opened.ok) throw new Error(opened.reason);
const source = opened.value;
const reconcile = await openReconcile({
  source: {
    ...source,
    sync: async () => {
      instant('fetch begin');
      const seen = await source.sync();
      instant('fetch end');
      return seen;
    },
  },
  origin: repository,
  dataDir,
  now: Date.now,
  sideOf,
  onStep: (step, edge) => instant(`${step} ${edge}`),
  onEvent: ({ transition }) => instant(`told ${transition.kind}`),
  onFailing: none,
  onFault: none,
});
if (!reconcile.ok) throw new Error(reconcile.reason);
if (back !== '') {
  isArmed = true;
  await reconcile.value.rollback(back);
}
await reconcile.value.close();

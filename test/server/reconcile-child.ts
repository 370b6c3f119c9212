// A reconcile loop in a process of its own, to be killed: `reconcile-child.ts REPOSITORY DATA` writes `up` when it begins
// and `taken` when the newest commit serves.

import { openReconcile } from '../../src/server/reconcile.ts';
import { openSource } from '../../src/source/open.ts';

const [repository = '', dataDir = ''] = process.argv.slice(2);
const none = (): void => {};
const source = await openSource(`file://${repository}`, { dataDir });
if (!source.ok) throw new Error(source.reason);
process.stdout.write('up\n');
const reconcile = await openReconcile({
  source: source.value,
  origin: repository,
  dataDir,
  now: Date.now,
  sideOf: (snapshot) => ({ snapshot, nodes: [], userOf: () => undefined }),
  onEvent: none,
  onFailing: none,
  onFault: none,
});
process.stdout.write(reconcile.ok ? 'taken\n' : `${reconcile.reason}\n`);
setInterval(none, 1000);

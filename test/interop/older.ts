// Older releases of the real clients, for the test that lets several meet. Each takes minutes to build, so they are built
// only when long tests are asked for; where they have been built before, the test runs anyhow. A file that needs them
// imports this module before machine.ts, because only outside of a machine of its own can Go fetch what it lacks.

import path from 'node:path';
import type { Clients, OlderRelease } from './build.ts';
import { buildClients, findClients, OLDER_RELEASES } from './build.ts';
import type { Programs } from './client.ts';

const mayBuild = process.env['TAILPLANE_LONG'] !== undefined && process.env['TAILPLANE_TEST_CLIENTS'] === undefined;

const clients = new Map<OlderRelease, Clients>(
  OLDER_RELEASES.map((release) => [release, mayBuild ? buildClients(console.log, release) : findClients(release)]),
);

/** For `describe`: why there are no older clients to test with, or `false`. */
export const skipOlder: string | false =
  [...clients.values()]
    .flatMap((found) => (found.kind === 'missing' ? [`${found.reason}; npm run test:long does it`] : []))
    .at(0) ?? false;

export const olderPrograms = (release: OlderRelease): Programs => {
  const found = clients.get(release);
  if (found?.kind !== 'ready') throw new Error(`There are no clients of ${release}`);
  return (name) => path.join(found.folder, name);
};

// The real clients: tailscaled, tailscale and derper, unmodified, from the Go module beside this file. They are built
// once into .build/<key>, where the key is a digest of everything that decides the result, so a second run costs nothing.

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';

/** The folder with `tailscaled`, `tailscale` and `derper`; or one sentence on why there is none. */
export type Clients =
  | { readonly kind: 'ready'; readonly folder: string; readonly version: string; readonly buildMs: number }
  | { readonly kind: 'missing'; readonly reason: string };

const GO_MODULE = import.meta.dirname;
const BUILDS = path.join(GO_MODULE, '.build');
/** No local paths and no state of the checkout in the programs: the same inputs make the same bytes. */
const FLAGS = ['-trimpath', '-buildvcs=false'];

const go = (...args: string[]) => spawnSync('go', args, { cwd: GO_MODULE, encoding: 'utf8' });

/** `note` is called once, before a build that takes minutes. Throws when the build itself fails. */
export const buildClients = (note: (line: string) => void): Clients => {
  const toolchain = go('version');
  if (toolchain.status !== 0) {
    return { kind: 'missing', reason: 'Go is not installed, so the real Tailscale clients cannot be built' };
  }
  const manifest = fs.readFileSync(path.join(GO_MODULE, 'go.mod'), 'utf8');
  const sums = fs.readFileSync(path.join(GO_MODULE, 'go.sum'), 'utf8');
  const version = /^\ttailscale\.com v(\S+)/m.exec(manifest)?.[1];
  if (version === undefined) throw new Error('test/interop/go.mod does not name a version of tailscale.com');
  // Released clients carry their version by these two linker flags (build_dist.sh); without them it reads "…-ERR-…".
  const stamp = `-s -w -X tailscale.com/version.shortStamp=${version} -X tailscale.com/version.longStamp=${version}`;

  const parts = [manifest, sums, toolchain.stdout, stamp, ...FLAGS];
  const key = createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 16);
  const folder = path.join(BUILDS, key);
  if (fs.existsSync(folder)) return { kind: 'ready', folder, version, buildMs: 0 };

  note(`Building tailscaled ${version}; the first time takes some minutes.`);
  const start = performance.now();
  const draft = path.join(BUILDS, `draft-${process.pid}`);
  const build = go('build', ...FLAGS, `-ldflags=${stamp}`, '-o', `${draft}/`, 'tool');
  if (build.status !== 0) {
    fs.rmSync(draft, { recursive: true, force: true });
    throw new Error(`The real clients did not build (go build, exit ${build.status}):\n${build.stderr}`);
  }
  fs.renameSync(draft, folder);
  return { kind: 'ready', folder, version, buildMs: performance.now() - start };
};

// The real clients: tailscaled, tailscale and derper, unmodified, from the Go module beside this file, and older ones from
// the modules in versions/. Each is built once into .build/<key>, where the key is a digest of everything that decides the
// result, so a second run costs nothing.

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
const NO_GO: Clients = {
  kind: 'missing',
  reason: 'Go is not installed, so the real Tailscale clients cannot be built',
};

/** Releases that have a Go module of their own, in versions/. They come without derper. */
export const OLDER_RELEASES = ['1.80', '1.90'] as const;
export type OlderRelease = (typeof OLDER_RELEASES)[number];

interface Recipe {
  readonly module: string;
  readonly version: string;
  readonly flags: readonly string[];
  readonly folder: string;
}

const moduleOf = (release?: OlderRelease): string =>
  release === undefined ? GO_MODULE : path.join(GO_MODULE, 'versions', release);

/** How the clients of a module are built and where they go; undefined where there is no Go. */
const recipeOf = (module: string): Recipe | undefined => {
  const toolchain = spawnSync('go', ['version'], { cwd: module, encoding: 'utf8' });
  if (toolchain.status !== 0) return undefined;
  const manifest = fs.readFileSync(path.join(module, 'go.mod'), 'utf8');
  const sums = fs.readFileSync(path.join(module, 'go.sum'), 'utf8');
  const version = /^\ttailscale\.com v(\S+)/m.exec(manifest)?.[1];
  if (version === undefined) throw new Error(`${module}/go.mod does not name a version of tailscale.com`);
  // Released clients carry their version by these two linker flags (build_dist.sh); without them it reads "…-ERR-…".
  const stamp = `-s -w -X tailscale.com/version.shortStamp=${version} -X tailscale.com/version.longStamp=${version}`;
  const parts = [manifest, sums, toolchain.stdout, stamp, ...FLAGS];
  const key = createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 16);
  return { module, version, flags: [...FLAGS, `-ldflags=${stamp}`], folder: path.join(BUILDS, key) };
};

/** The clients if they are there already; without building anything. */
export const findClients = (release?: OlderRelease): Clients => {
  const recipe = recipeOf(moduleOf(release));
  if (!recipe) return NO_GO;
  const { folder, version } = recipe;
  if (fs.existsSync(folder)) return { kind: 'ready', folder, version, buildMs: 0 };
  return { kind: 'missing', reason: `tailscaled ${version} has not been built` };
};

/** `note` is called once, before a build that takes minutes. Throws when the build itself fails. */
export const buildClients = (note: (line: string) => void, release?: OlderRelease): Clients => {
  const recipe = recipeOf(moduleOf(release));
  if (!recipe) return NO_GO;
  const { module, version, flags, folder } = recipe;
  if (fs.existsSync(folder)) return { kind: 'ready', folder, version, buildMs: 0 };

  note(`Building tailscaled ${version}; the first time takes some minutes.`);
  const start = performance.now();
  const draft = path.join(BUILDS, `draft-${process.pid}`);
  const build = spawnSync('go', ['build', ...flags, '-o', `${draft}/`, 'tool'], { cwd: module, encoding: 'utf8' });
  if (build.status !== 0) {
    fs.rmSync(draft, { recursive: true, force: true });
    throw new Error(`The real clients did not build (go build, exit ${build.status}):\n${build.stderr}`);
  }
  fs.renameSync(draft, folder);
  return { kind: 'ready', folder, version, buildMs: performance.now() - start };
};

// Makes what is published: each source file as JavaScript in dist/, beside the same neighbours, and one CommonJS bundle for
// the GitHub Action in dist/action/. A checkout needs neither; Node runs the TypeScript there as it stands.

import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { build } from 'esbuild';

const root = import.meta.dirname;
const outAt = process.argv.indexOf('--out');
const dist = outAt < 0 ? path.join(root, 'dist') : path.resolve(process.argv[outAt + 1] ?? 'dist');
const { version } = JSON.parse(fs.readFileSync(path.join(root, 'package.json'), 'utf8')) as { version: string };
const actionEntry = path.join(root, 'src/action/main.ts');

const emit = (): void => {
  for (const entry of fs.existsSync(dist) ? fs.readdirSync(dist) : []) {
    if (entry !== 'action') fs.rmSync(path.join(dist, entry), { recursive: true });
  }
  const compiler = path.join(root, 'node_modules/.bin/tsc');
  const flags = [
    '--noEmit',
    'false',
    '--outDir',
    dist,
    '--rootDir',
    path.join(root, 'src'),
    '--rewriteRelativeImportExtensions',
  ];
  fs.writeFileSync(
    path.join(root, 'tsconfig.build.json'),
    JSON.stringify({ extends: './tsconfig.json', include: ['src'], exclude: ['src/action'] }),
  );
  try {
    execFileSync(compiler, ['-p', path.join(root, 'tsconfig.build.json'), ...flags], { stdio: 'inherit' });
  } finally {
    fs.rmSync(path.join(root, 'tsconfig.build.json'));
  }
};

const bundleAction = async (): Promise<void> => {
  if (!fs.existsSync(actionEntry)) return;
  await build({
    entryPoints: [actionEntry],
    outfile: path.join(dist, 'action/index.cjs'),
    bundle: true,
    platform: 'node',
    target: 'node24',
    format: 'cjs',
    legalComments: 'none',
    define: { 'import.meta.url': 'undefined', TAILPLANE_VERSION: JSON.stringify(version) },
    minify: true,
    keepNames: true,
    logLevel: 'warning',
  });
};

if (!process.argv.includes('--action-only')) emit();
await bundleAction();

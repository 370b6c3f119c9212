// `npm run bench` says what can be measured; `npm run bench -- control` measures it, with the options that follow. Each
// measurement is a file beside this one that prints a table. None of them gates anything: numbers are for people to read.

import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const names = fs
  .readdirSync(import.meta.dirname)
  .filter((file) => file.endsWith('.ts') && file !== 'run.ts')
  .map((file) => path.basename(file, '.ts'));

/** The first sentence of a file's header. */
const about = (name: string): string => {
  const header =
    fs.readFileSync(path.join(import.meta.dirname, `${name}.ts`), 'utf8').match(/^(?:\/\/.*\n)+/)?.[0] ?? '';
  const text = header.replaceAll(/^\/\/ ?/gm, '').replaceAll('\n', ' ');
  return text.match(/^.*?[.:](?= |$)/)?.[0].replace(/:$/, '.') ?? '';
};

const [name, ...options] = process.argv.slice(2);
if (name === undefined || !names.includes(name)) {
  const list = names.map((one) => `  ${one.padEnd(12)} ${about(one)}`).join('\n');
  console.log(`npm run bench -- NAME [OPTIONS]\n\n${list}`);
  process.exit(name === undefined ? 0 : 2);
}

const cpu = os.cpus()[0]?.model ?? 'unknown processor';
const memoryGb = Math.round(os.totalmem() / 2 ** 30);
const load = os.loadavg()[0]?.toFixed(1);
console.log(
  `${os.availableParallelism()} × ${cpu}, ${memoryGb} GB, ${os.type()} ${os.release()}, Node ${process.version}`,
);
console.log(`${new Date().toISOString()}, load before the start ${load}\n`);
// What is left after a collection is what something costs in memory.
const { status } = spawnSync(
  process.execPath,
  ['--expose-gc', path.join(import.meta.dirname, `${name}.ts`), ...options],
  {
    stdio: 'inherit',
  },
);
process.exit(status ?? 1);

// Kills a registry under pressure, again and again, at random instants, and checks at each next start that everything that
// was acknowledged is there exactly once. `node test/registry/crash.ts 2000` is the long form of crash.test.ts.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { openRegistry } from '../../src/registry/open.ts';
import { foundOf, type Acknowledged, type Act, type Found, type Promised } from './victim.ts';

export interface Tally {
  readonly kills: number;
  readonly acknowledged: number;
  /** Kills that came before the start was done. */
  readonly starts: number;
}

/** A data folder is used for so many lives, then the next begins: reading the state takes longer each time. */
const LIVES_PER_FOLDER = 25;
/** A life ends soon after so many acknowledgements: under the same pressure on a busy machine as on an idle one. */
const LONGEST_LIFE_ACKNOWLEDGED = 100;
const JITTER_MS = 3;
const LONGEST_START_MS = 400;
const DOT = '.'.charCodeAt(0);
const GIVE_UP_MS = 30_000;

/** What the killed process promised: the last word on each machine, and acts whose answer was not seen. */
class Promises {
  readonly machines = new Map<string, Promised | null>();
  readonly usedKeys = new Set<string>();
  readonly open = new Map<number, Act>();
  acknowledged = 0;

  begin(caller: number, act: Act): void {
    this.open.set(caller, act);
  }

  keep({ act, caller, promised }: Acknowledged): void {
    this.acknowledged++;
    this.open.delete(caller);
    this.machines.set(act.machine, promised);
    if (act.act === 'join') this.usedKeys.add(act.key);
  }

  /** Whether a machine may be as found: as promised, or as an open act would have made it. */
  #allows(machine: string, found: Promised | undefined): boolean {
    const promised = this.machines.get(machine) ?? undefined;
    if (JSON.stringify(found) === JSON.stringify(promised)) return true;
    const act = [...this.open.values()].find((candidate) => candidate.machine === machine);
    switch (act?.act) {
      case 'join':
        return promised === undefined && found?.nodeKey === act.nodeKey && found.keyId === act.key;
      case 'rotate':
        return same({ ...promised, nodeKey: act.nodeKey, keyId: null }, found);
      case 'authorize':
        return same({ ...promised, authorized: true }, found);
      case 'approve':
        return same({ ...promised, routes: act.routes }, found);
      case 'remove':
        return found === undefined;
      default:
        return false;
    }
  }

  /** Fails on the first promise that was broken; then what was found is the new word. */
  check(found: Found, where: string): void {
    for (const [machine, nodes] of Object.entries(found.machines)) {
      assert.equal(nodes.length, 1, `${where}: ${machine} is there ${nodes.length} times`);
    }
    for (const machine of new Set([...this.machines.keys(), ...Object.keys(found.machines)])) {
      const node = found.machines[machine]?.[0];
      if (!this.#allows(machine, node)) assert.deepEqual(node, this.machines.get(machine), `${where}: ${machine}`);
    }
    const nodes = Object.values(found.machines).flat();
    const addresses = nodes.flatMap((node) => node.addresses);
    assert.equal(new Set(addresses).size, addresses.length, `${where}: an address is held twice`);
    assert.equal(new Set(nodes.map(({ name }) => name)).size, nodes.length, `${where}: a name is held twice`);
    for (const key of this.usedKeys) assert.equal(found.uses[key], 1, `${where}: uses of ${key}`);
    for (const [key, count] of Object.entries(found.uses)) assert.equal(count, 1, `${where}: uses of ${key}`);
    for (const machine of this.machines.keys()) this.machines.set(machine, found.machines[machine]?.[0] ?? null);
    for (const [machine, [node]] of Object.entries(found.machines)) this.machines.set(machine, node ?? null);
    for (const key of Object.keys(found.uses)) this.usedKeys.add(key);
    this.open.clear();
  }
}

const same = (expected: object, found: Promised | undefined): boolean =>
  found !== undefined && JSON.stringify(expected) === JSON.stringify(found);

/** One life. Resolves after the kill, when its diary was read; false if the start was hit. */
const liveAndDie = async (folder: string, life: number, promises: Promises, cache: string): Promise<boolean> => {
  const victim = path.join(import.meta.dirname, 'victim.ts');
  const diary = `${folder}.diary`;
  await fs.rm(diary, { force: true });
  const child = spawn(process.execPath, [victim, folder, String(life), diary], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, NODE_COMPILE_CACHE: cache, NODE_OPTIONS: '' },
  });
  const where = `life ${life} in ${folder}`;
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  const kill = (): void => {
    child.kill('SIGKILL');
  };
  // One life in eight ends while it starts.
  const hitsStart = randomInt(8) === 0;
  let timer = setTimeout(kill, hitsStart ? randomInt(1, LONGEST_START_MS) : GIVE_UP_MS);
  let left = randomInt(1, LONGEST_LIFE_ACKNOWLEDGED);
  child.stdout.on('data', (chunk: Buffer) => {
    if (hitsStart || left <= 0) return;
    for (const byte of chunk) if (byte === DOT) left--;
    if (left > 0) return;
    clearTimeout(timer);
    timer = setTimeout(kill, Math.random() * JITTER_MS);
  });
  const [, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
  clearTimeout(timer);
  assert.equal(signal, 'SIGKILL', `${where} ended by itself: ${stderr}`);

  let isUp = false;
  const lines = await fs.readFile(diary, 'utf8').catch(() => '');
  // What stands after the last line break was cut by the kill.
  for (const line of lines.split('\n').slice(0, -1)) {
    const value: unknown = JSON.parse(line.slice(1));
    if (line.startsWith('=')) {
      promises.check(value as Found, where);
      isUp = true;
    } else if (line.startsWith('?')) {
      const { caller, act } = value as { caller: number; act: Act };
      promises.begin(caller, act);
    } else promises.keep(value as Acknowledged);
  }
  return isUp;
};

/** Lives one after the other, until `kills` were made. */
const runLane = async (
  kills: number,
  cache: string,
  report: (acknowledged: number, isUp: boolean) => void,
): Promise<void> => {
  for (let done = 0; done < kills;) {
    const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'tailplane-crash-'));
    const promises = new Promises();
    for (let life = 1; life <= LIVES_PER_FOLDER && done < kills; life++, done++) {
      const before = promises.acknowledged;
      const isUp = await liveAndDie(folder, life, promises, cache);
      report(promises.acknowledged - before, isUp);
    }
    const last = await openRegistry({ folder, holder: 'the last word', now: Date.now, warn: () => undefined });
    promises.check(foundOf(last, []), `after the last life in ${folder}`);
    await last.close();
    await fs.rm(folder, { recursive: true });
    await fs.rm(`${folder}.diary`, { force: true });
  }
};

export const crash = async (kills: number, onLife: (tally: Tally) => void = () => undefined): Promise<Tally> => {
  const cache = path.join(os.tmpdir(), 'tailplane-compile-cache');
  let tally: Tally = { kills: 0, acknowledged: 0, starts: 0 };
  const report = (acknowledged: number, isUp: boolean): void => {
    tally = {
      kills: tally.kills + 1,
      acknowledged: tally.acknowledged + acknowledged,
      starts: tally.starts + (isUp ? 0 : 1),
    };
    onLife(tally);
  };
  const lanes = Math.min(os.availableParallelism(), 4);
  await Promise.all(
    Array.from({ length: lanes }, (_, i) => {
      const share = Math.floor(kills / lanes) + (i < kills % lanes ? 1 : 0);
      return runLane(share, cache, report);
    }),
  );
  return tally;
};

export const formatTally = ({ kills, acknowledged, starts }: Tally): string =>
  `${kills} kills (${starts} of them during a start), ${acknowledged} acknowledged, 0 lost`;

if (import.meta.main) {
  const kills = Number(process.argv[2] ?? 2000);
  const tally = await crash(kills, (so) => {
    if (so.kills % 100 === 0) console.log(formatTally(so));
  });
  console.log(formatTally(tally));
}

// The process that is killed: a registry under pressure from eight callers. It writes to a diary what it found at its start
// (`=`), what it is about to do (`?`) and what was acknowledged (`+`), each a line of JSON, each before it goes on. On standard
// output it says when it is up, and a dot for each acknowledgement. Run by crash.ts as `node victim.ts FOLDER LIFE DIARY`.

import { randomInt } from 'node:crypto';
import fs from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';
import type { Prefix } from '../../src/base/address.ts';
import { openRegistry } from '../../src/registry/open.ts';
import type { NodeRecord } from '../../src/registry/record.ts';
import type { Applied, Registry } from '../../src/registry/registry.ts';
import type { RegistryEvent } from '../../src/registry/event.ts';
import { authKey, keyId, machineKey, nodeKey, register } from './sample.ts';

/** What has to survive of one machine: everything that an acknowledgement promised. */
export interface Promised {
  readonly id: number;
  readonly nodeKey: string;
  readonly addresses: readonly string[];
  readonly name: string;
  readonly authorized: boolean;
  readonly routes: readonly string[];
  readonly keyId: string | null;
}

export type Act =
  | { readonly act: 'join'; readonly machine: string; readonly key: string; readonly nodeKey: string }
  | { readonly act: 'rotate'; readonly machine: string; readonly nodeKey: string }
  | { readonly act: 'authorize'; readonly machine: string }
  | { readonly act: 'approve'; readonly machine: string; readonly routes: readonly string[] }
  | { readonly act: 'remove'; readonly machine: string };

export interface Acknowledged {
  readonly act: Act;
  readonly caller: number;
  /** Null after a removal. */
  readonly promised: Promised | null;
}

export interface Found {
  readonly machines: Readonly<Record<string, readonly Promised[]>>;
  /** Key id to number of uses. */
  readonly uses: Readonly<Record<string, number>>;
  readonly warnings: readonly string[];
}

export const CALLERS = 8;

const promisedOf = (node: NodeRecord): Promised => ({
  id: node.id,
  nodeKey: node.nodeKey,
  addresses: node.addresses,
  name: node.name,
  authorized: node.authorized,
  routes: node.approvedRoutes,
  keyId: node.keyId,
});

export const foundOf = (registry: Registry, warnings: readonly string[]): Found => {
  const machines: Record<string, Promised[]> = {};
  for (const node of registry.view.nodes.values()) (machines[node.machineKey] ??= []).push(promisedOf(node));
  const uses = Object.fromEntries([...registry.view.keyUses.values()].map(({ keyId, count }) => [keyId, count]));
  return { machines, uses, warnings };
};

const main = async (folder: string, life: number, diary: number): Promise<void> => {
  const say = (mark: '=' | '?' | '+', value: unknown): void => {
    fs.writeSync(diary, `${mark}${JSON.stringify(value)}\n`);
  };
  const warnings: string[] = [];
  const registry = await openRegistry({
    folder,
    holder: 'the victim',
    now: Date.now,
    warn: ({ message }) => warnings.push(message),
    snapshotIntervalMs: 20,
    snapshotAtBytes: 128 * 1024,
  });
  say('=', foundOf(registry, warnings));
  process.stdout.write('up\n');

  const perform = async (caller: number, act: Act, event: RegistryEvent): Promise<Applied> => {
    say('?', { act, caller });
    const outcome = await registry.apply(event);
    if (!outcome.ok) throw new Error(`${act.act} was refused: ${outcome.code}`);
    say('+', { act, caller, promised: outcome.value.node && promisedOf(outcome.value.node) } satisfies Acknowledged);
    process.stdout.write('.');
    return outcome.value;
  };

  const call = async (caller: number): Promise<void> => {
    for (let i = 0; ; i++) {
      const n = (life * CALLERS + caller) * 10_000 + i + 1;
      const machine = machineKey(n);
      const key = `l${life}c${caller}i${i}`;
      const created = await registry.apply({ kind: 'create-key', key: authKey(key) });
      if (!created.ok) throw new Error(created.code);
      const first = nodeKey(2 * n);
      const join: Act = { act: 'join', machine, key, nodeKey: first };
      const wish = { authorized: false, hostinfo: { Hostname: 'web', OS: 'linux', Padding: 'x'.repeat(600) } };
      const event = register(n, { nodeKey: first, key: { id: keyId(key), reusable: false }, ...wish });
      const { node } = await perform(caller, join, event);
      if (!node) throw new Error('no node');
      const { id } = node;
      registry.note(id, { endpoints: ['192.0.2.1:41641'], lastSeenMs: Date.now() });
      if (randomInt(2) === 0) {
        const second = nodeKey(2 * n + 1);
        const rotation = register(n, { nodeKey: second, oldNodeKey: first, ...wish });
        await perform(caller, { act: 'rotate', machine, nodeKey: second }, rotation);
      }
      if (randomInt(2) === 0) {
        await perform(caller, { act: 'authorize', machine }, { kind: 'authorize', id, authorized: true });
      }
      if (randomInt(3) === 0) {
        const routes = ['10.0.0.0/8', '192.168.0.0/16'] as Prefix[];
        await perform(caller, { act: 'approve', machine, routes }, { kind: 'approve-routes', id, routes });
      }
      if (randomInt(3) === 0) {
        await perform(caller, { act: 'remove', machine }, { kind: 'remove', id, cause: 'administrator' });
      }
      await turn();
    }
  };
  await Promise.all(Array.from({ length: CALLERS }, (_, caller) => call(caller)));
};

if (import.meta.main) {
  const [folder = '', life = '', diary = ''] = process.argv.slice(2);
  await main(folder, Number(life), fs.openSync(diary, 'a'));
}

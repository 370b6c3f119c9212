// The whole server is killed while machines register through the real protocol: what a client read as «you are in» is so
// after the next start. crash.test.ts does this far more often to the registry alone; this shows that nothing between the
// socket and the registry answers too early. More kills: TAILPLANE_KILLS=100 node --test test/registry/outage.test.ts

import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { keyBytes, parseMachineKey } from '../../src/keys/text.ts';
import { connect, machineKeyOf, newKeyPair, newNodeKey } from '../control/world.ts';
import { Server } from '../interop/server.ts';

const KILLS = Number(process.env['TAILPLANE_KILLS'] ?? 3);
const CALLERS = 12;
const CAPVER = 130;
const EXAMPLE = path.join(import.meta.dirname, '../../tailnet.example');
const CLI = path.join(import.meta.dirname, '../../src/cli/tailplane.js');

interface Listed {
  readonly machineKey: string;
  readonly nodeKey: string;
  readonly addresses: readonly string[];
}

/** By machine: the node key of the last answer, and one that was sent without an answer being read. */
interface Word {
  answered: string | undefined;
  sent: string | undefined;
}

test(`${KILLS} kills of a server under registrations`, { timeout: 60_000 + KILLS * 20_000 }, async (t) => {
  const root = await fs.mkdtemp(path.join(os.tmpdir(), 'tailplane-outage-'));
  const server = await Server.start({
    source: EXAMPLE,
    dataFolder: path.join(root, 'data'),
    logFile: path.join(root, 'server.log'),
    command: [process.execPath, CLI, 'serve'],
  });
  const words = new Map<string, Word>();
  let acknowledged = 0;
  // Made in the first life, used in all: a key is state too.
  const AuthKey = server.authKey;

  const machine = async (port: number, serverKey: Uint8Array): Promise<void> => {
    const client = await connect(port, serverKey, newKeyPair(), CAPVER);
    const word: Word = { answered: undefined, sent: undefined };
    words.set(machineKeyOf(client), word);
    try {
      let OldNodeKey: string | undefined;
      for (let i = 0; i < 2; i++) {
        const NodeKey = newNodeKey();
        word.sent = NodeKey;
        const wish = { NodeKey, Auth: { AuthKey }, Hostinfo: { Hostname: 'laptop', OS: 'linux' } };
        const answer = await client.register(OldNodeKey === undefined ? wish : { ...wish, OldNodeKey });
        assert.equal(answer.json['Error'] ?? '', '');
        assert.ok(answer.json['User'], answer.text);
        word.answered = NodeKey;
        acknowledged++;
        OldNodeKey = NodeKey;
      }
    } finally {
      client.close();
    }
  };

  const press = async (isOver: () => boolean): Promise<void> => {
    const { port } = new URL(server.url);
    const answer = (await (await fetch(`${server.url}/key?v=${CAPVER}`)).json()) as { publicKey: string };
    const serverKey = keyBytes(parseMachineKey(answer.publicKey)!);
    await Promise.all(
      Array.from({ length: CALLERS }, async () => {
        while (!isOver()) {
          try {
            await machine(Number(port), serverKey);
          } catch (error) {
            // The server is gone: connections end in many ways. Anything else is a failure.
            if (!isOver()) throw error;
          }
        }
      }),
    );
  };

  const check = async (): Promise<void> => {
    const nodes = (await server.admin('nodes', 'list')) as readonly Listed[];
    const byMachine = Map.groupBy(nodes, ({ machineKey }) => machineKey);
    for (const [machineKey, word] of words) {
      const found = byMachine.get(machineKey) ?? [];
      assert.ok(found.length <= 1, `${machineKey} is there ${found.length} times`);
      const nodeKey = found[0]?.nodeKey;
      const promises = [word.answered, word.sent];
      assert.ok(promises.includes(nodeKey), `${machineKey}: ${nodeKey} instead of ${promises.join(' or ')}`);
      Object.assign(word, { answered: nodeKey, sent: nodeKey });
    }
    const addresses = nodes.flatMap((node) => node.addresses);
    assert.equal(new Set(addresses).size, addresses.length, 'an address is held twice');
  };

  try {
    for (let kill = 1; kill <= KILLS; kill++) {
      let isOver = false;
      const pressing = press(() => isOver);
      await sleep(randomInt(150, 600));
      isOver = true;
      server.task.signal('SIGKILL');
      await pressing;
      await server.startAgain();
      await check();
    }
    assert.ok(acknowledged > 5 * KILLS, `there was no pressure: ${acknowledged} registrations`);
    t.diagnostic(`${KILLS} kills, ${acknowledged} acknowledged, 0 lost`);
  } finally {
    await server.stop();
    await fs.rm(root, { recursive: true, force: true });
  }
});

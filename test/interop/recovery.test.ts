// The machine of the server is lost, and docs/backup-and-recovery.md is followed to the letter: real clients come back by
// themselves, without a new login, and are who they were.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { commandsUnder, type, type Machine } from '../registry/guide.ts';
import { Client } from './client.ts';
import { skip } from './machine.ts';
import { Server } from './server.ts';
import { seeEachOther } from './tailnet.ts';
import { eventually } from './task.ts';

const EXAMPLE = path.join(import.meta.dirname, '../../tailnet.example');

interface Listed {
  readonly stableId: string;
  readonly name: string;
  readonly addresses: readonly string[];
  readonly nodeKey: string;
}

describe('the machine is lost, and restored on another', { skip, timeout: 150_000 }, () => {
  // The socket of a client lies in here, and a path of a Unix socket has room for 107 bytes.
  const root = fs.mkdtempSync(path.join(os.tmpdir(), 'tp-lost-'));
  const machine: Machine = {
    cwd: root,
    dataFolder: path.join(root, 'data'),
    passphraseFile: path.join(root, 'passphrase'),
  };
  const clients: Client[] = [];
  let server: Server;

  const listed = async (): Promise<readonly Listed[]> => {
    const nodes = (await server.admin('nodes', 'list')) as Listed[];
    return nodes
      .map(({ stableId, name, addresses, nodeKey }) => ({ stableId, name, addresses, nodeKey }))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  };

  before(async () => {
    fs.writeFileSync(machine.passphraseFile, 'correct horse battery\n', { mode: 0o600 });
    server = await Server.start({
      source: EXAMPLE,
      dataFolder: machine.dataFolder,
      logFile: path.join(root, 'server.log'),
    });
    for (const name of ['alpha', 'beta']) {
      const client = await Client.start(name, path.join(root, name), 'clear', path.join(root, `${name}.log`));
      clients.push(client);
      await client.tell('up', '--login-server', server.url, '--authkey', server.authKey, '--hostname', name);
    }
    await seeEachOther(clients);
  });
  after(async () => {
    await Promise.all(clients.map((client) => client.stop()));
    await server?.stop();
    fs.rmSync(root, { recursive: true, force: true });
  });

  test('clients come back by themselves, as who they were', async (t) => {
    const nodes = await listed();
    assert.equal(nodes.length, 2);
    for (const command of commandsUnder('Make a backup')) await type(command, machine);

    server.task.signal('SIGKILL');
    fs.rmSync(machine.dataFolder, { recursive: true });
    for (const command of commandsUnder('The machine is lost').slice(0, 2)) await type(command, machine);
    await server.startAgain();
    // For a while the server counts clients as online that were there until just before: it is the sessions that count.
    const back = await eventually('both are connected to the new server', 60_000, async () => {
      const sessions = (await server.admin('debug', 'sessions')) as readonly unknown[];
      return sessions.length === 2;
    });
    t.diagnostic(`both were connected ${Math.round(back.afterMs)} ms after the start`);
    await seeEachOther(clients);

    assert.deepEqual(await listed(), nodes);
    const [alpha, beta] = clients as [Client, Client];
    for (const client of clients) assert.equal((await client.status()).BackendState, 'Running');
    assert.equal(await alpha.echoFrom(beta), 'beta: hello from alpha');
    for (const command of commandsUnder('The machine is lost').slice(2)) {
      assert.doesNotMatch(await type(command, machine), /error\[/);
    }
  });
});

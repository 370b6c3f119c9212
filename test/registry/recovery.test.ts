// docs/backup-and-recovery.md, followed to the letter with real servers: the machine is lost, another takes its place, and
// everything that was registered is there, with the key that clients know the server by. The same with real clients is in
// test/interop/recovery.test.ts.

import assert from 'node:assert/strict';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { Server } from '../interop/server.ts';
import { openRegistry } from '../../src/registry/open.ts';
import { commandsUnder, type, type Machine } from './guide.ts';
import { authKey, register } from './sample.ts';

const EXAMPLE = path.join(import.meta.dirname, '../../tailnet.example');

test('the machine is lost, and restored on another', { timeout: 120_000 }, async () => {
  const root = await fs.mkdtemp(path.join(os.tmpdir(), 'tailplane-recovery-'));
  const machineAt = async (name: string): Promise<Machine> => {
    const cwd = path.join(root, name);
    await fs.mkdir(cwd, { recursive: true });
    await fs.writeFile(path.join(cwd, 'passphrase'), 'correct horse battery\n', { mode: 0o600 });
    return { cwd, dataFolder: path.join(cwd, 'data'), passphraseFile: path.join(cwd, 'passphrase') };
  };
  const startAt = ({ cwd, dataFolder }: Machine): Promise<Server> =>
    Server.start({
      source: EXAMPLE,
      dataFolder,
      logFile: path.join(cwd, 'server.log'),
      command: [process.execPath, path.join(import.meta.dirname, '../../src/cli/tailplane.js'), 'serve'],
    });
  const keyOf = async (server: Server): Promise<unknown> => (await fetch(`${server.url}/key?v=130`)).json();
  const running: Server[] = [];
  try {
    const first = await machineAt('first');
    // Machines that registered: what a client would have sent.
    const registry = await openRegistry({
      folder: first.dataFolder,
      holder: 'a test',
      now: Date.now,
      lastSaveMs: 60_000,
      warn: ({ message }) => assert.fail(message),
    });
    for (let n = 1; n <= 20; n++) assert.ok((await registry.apply(register(n))).ok);
    await registry.apply({ kind: 'create-key', key: authKey('printer', { reusable: true }) });
    await registry.close();
    const server = await startAt(first);
    running.push(server);
    const nodes = await server.admin('nodes', 'list');
    const keys = await server.admin('keys', 'list');
    const key = await keyOf(server);
    assert.equal((nodes as unknown[]).length, 20);

    for (const command of commandsUnder('Make a backup')) assert.match(await type(command, first), /20 nodes/);
    assert.match(
      await type('tailplane backup tailnet.backup', first),
      /cli\/would-overwrite\]: tailnet\.backup is there already/,
    );
    assert.match(
      await type('tailplane restore tailnet.backup --apply', first),
      /registry\/in-use\]: The data folder \S+ is in use by process \d+ on \S+ \(tailplane serve/,
    );
    // The disk dies; the backup was on another one.
    server.task.signal('SIGKILL');
    const second = await machineAt('second');
    await fs.copyFile(path.join(first.cwd, 'tailnet.backup'), path.join(second.cwd, 'tailnet.backup'));
    await fs.rm(first.cwd, { recursive: true });

    const [look, apply, doctor, ...more] = commandsUnder('The machine is lost');
    assert.deepEqual(more, []);
    assert.match(await type(look ?? '', second), /20 come back: .*\n.*\n?.*Nothing was changed/s);
    await assert.rejects(fs.stat(second.dataFolder), { code: 'ENOENT' });
    assert.match(await type(apply ?? '', second), /Done\./);
    const revived = await startAt(second);
    running.push(revived);
    const said = await type(doctor ?? '', second);
    assert.doesNotMatch(said, /error\[/, said);

    assert.deepEqual(await revived.admin('nodes', 'list'), nodes);
    const before = keys as readonly { id: string }[];
    const after = (await revived.admin('keys', 'list')) as readonly { id: string }[];
    for (const { id } of before)
      assert.ok(
        after.some((one) => one.id === id),
        `key ${id}`,
      );
    assert.deepEqual(await keyOf(revived), key);
  } finally {
    for (const server of running) await server.stop();
    await fs.rm(root, { recursive: true, force: true });
  }
});

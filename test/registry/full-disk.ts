// Run by full-disk.test.ts in a mount namespace of its own: a whole server on a disk of 6 MB that fills up and is freed.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { keyBytes, parseMachineKey } from '../../src/keys/text.ts';
import { connect, newKeyPair, newNodeKey, type Answer } from '../control/world.ts';
import { Server } from '../interop/server.ts';

const CAPVER = 140;
const CHUNK = Buffer.alloc(4096, 1);

const root = process.argv[2] as string;
const disk = path.join(root, 'disk');
fs.mkdirSync(disk);
execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=6m', 'tmpfs', disk]);

const server = await Server.start({
  source: path.join(import.meta.dirname, '../../tailnet.example'),
  dataFolder: path.join(disk, 'data'),
  logFile: path.join(root, 'server.log'),
  command: [process.execPath, path.join(import.meta.dirname, '../../src/cli/tailplane.js'), 'serve'],
});

const get = async (route: string): Promise<{ status: number; text: string }> => {
  const answer = await fetch(`${server.url}${route}`);
  return { status: answer.status, text: await answer.text() };
};

try {
  const { publicKey } = JSON.parse((await get(`/key?v=${CAPVER}`)).text) as { publicKey: string };
  const serverKey = keyBytes(parseMachineKey(publicKey)!);
  const port = Number(new URL(server.url).port);
  const join = async (NodeKey = newNodeKey()): Promise<Answer> => {
    const client = await connect(port, serverKey, newKeyPair(), CAPVER);
    try {
      return await client.register({ NodeKey, Auth: { AuthKey: server.authKey } });
    } finally {
      client.close();
    }
  };

  const connected = await connect(port, serverKey, newKeyPair(), CAPVER);
  const NodeKey = newNodeKey();
  assert.equal((await connected.register({ NodeKey, Auth: { AuthKey: server.authKey } })).status, 200);
  const map = await connected.stream({ NodeKey });
  assert.ok(await map.next());

  const filler = fs.openSync(path.join(disk, 'filler'), 'w');
  try {
    for (;;) fs.writeSync(filler, CHUNK);
  } catch (error) {
    assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC');
  }
  // The last page of the journal may have room for some.
  let refused: Answer;
  let joined = 1;
  for (;;) {
    refused = await join();
    if (refused.status !== 200) break;
    assert.ok(++joined < 50, 'the disk is not full');
  }
  assert.equal(refused.status, 429);
  assert.equal(refused.headers['retry-after'], '5');
  assert.match(refused.text, /cannot save registrations right now/);

  assert.equal((await get('/readyz')).status, 503);
  assert.equal((await get('/healthz')).status, 200, 'nothing is gained by a restart');
  assert.match((await get('/metrics')).text, /^tailplane_registry_ready 0$/m);
  const { problems } = (await server.admin('status')) as { problems: readonly string[] };
  assert.match(problems.join('\n'), /registrations are refused for now: ENOSPC/);

  // The client that is connected says where it is now, and gets an answer; its stream is open.
  assert.equal((await connected.update({ NodeKey, Endpoints: ['192.0.2.1:41641'] })).status, 200);
  const [node] = (await server.admin('nodes', 'list')) as readonly { online: boolean; endpoints: readonly string[] }[];
  assert.deepEqual([node?.online, node?.endpoints], [true, ['192.0.2.1:41641']]);

  fs.closeSync(filler);
  fs.rmSync(path.join(disk, 'filler'));
  for (let tries = 0; (await get('/readyz')).status !== 200; tries++) {
    assert.ok(tries < 200, 'the service did not return');
    await sleep(50);
  }
  assert.equal((await join()).status, 200);
  assert.equal(
    ((await server.admin('nodes', 'list')) as unknown[]).length,
    joined + 1,
    'what was refused is not there',
  );
  map.cancel();
  connected.close();
} finally {
  await server.stop();
}

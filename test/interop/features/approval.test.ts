// What nodes.json5 and tailnet.json5 say about machines: approval, fixed addresses, other names, and a short stay.

import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import type { Client } from '../client.ts';
import { skip } from '../machine.ts';
import { OWNER, seeEachOther, Tailnet } from '../tailnet.ts';
import { eventually } from '../task.ts';

const WITHIN_MS = 1_000;
const nodes = (...declared: string[]): string => `{ nodes: [${declared.join(', ')}] }\n`;
const ALPHA = `{ node: { name: 'alpha', owner: '${OWNER}' }, approved: true, addresses: ['100.64.7.7'] }`;
const BETA = `{ node: { name: 'beta', owner: '${OWNER}' }, approved: true }`;
const RENAMED = `{ node: { name: 'beta', owner: '${OWNER}' }, approved: true, name: 'printer' }`;

const FILES = {
  'tailnet.json5': `{
    name: 'example.com',
    baseDomain: 'tail.example.com',
    nodes: { approval: 'manual', ephemeralTimeout: '15s' },
  }\n`,
  'nodes.json5': nodes(ALPHA),
  'keys.json5': '{ authKeys: [] }\n',
};

describe('declared machines', { skip, timeout: 120_000 }, () => {
  let tailnet: Tailnet;
  let alpha: Client;
  let beta: Client;

  before(async () => {
    tailnet = await Tailnet.start({ files: FILES });
    [alpha] = (await tailnet.joined(['alpha'])) as [Client];
    beta = await tailnet.client('beta');
  });
  afterEach((t) => tailnet.note(t));
  after(async () => tailnet?.stop());

  test('an address that is declared is given', async () => {
    assert.equal(await alpha.address(), '100.64.7.7');
  });

  test('a machine waits until nodes.json5 approves it', async (t) => {
    const declared = await tailnet.server.admin('keys', 'create', '--declare', '--user', OWNER);
    const { key, entry } = declared as { key: string; entry: object };
    tailnet.edit('keys.json5', JSON.stringify({ authKeys: [{ ...entry, preapproved: false }] }));
    const served = (): boolean => tailnet.server.task.log.split('this revision serves now').length > 2;
    await eventually('the key counts', 5_000, served);
    const up = beta.say(...tailnet.up(beta, key));
    const waits = async (): Promise<boolean> => (await beta.status()).BackendState === 'NeedsMachineAuth';
    await eventually('beta waits for approval', 10_000, waits);
    assert.equal(await alpha.peer('beta'), undefined);

    const approved = performance.now();
    tailnet.edit('nodes.json5', nodes(ALPHA, BETA));
    const runs = async (): Promise<boolean> => (await beta.status()).BackendState === 'Running';
    await eventually('beta runs', 5_000, runs);
    t.diagnostic(`runs ${Math.round(performance.now() - approved)} ms after the edit`);
    await up;
    await seeEachOther([alpha, beta]);
    // A client that met its peer a moment too early tries WireGuard's handshake again only after five seconds.
    await eventually('alpha reaches beta', 20_000, async () => alpha.echoFrom(beta, 7_000));
  });

  test('another name is known to all within a second', async (t) => {
    tailnet.edit('nodes.json5', nodes(ALPHA, RENAMED));
    const { afterMs } = await eventually('alpha sees printer', WITHIN_MS, async () => alpha.peer('printer'));
    assert.equal(await alpha.peer('beta'), undefined);
    assert.equal((await beta.status()).Self.DNSName, 'printer.tail.example.com.');
    t.diagnostic(`after ${Math.round(afterMs)} ms`);
  });

  test('an ephemeral machine that falls away is forgotten after the declared time', async (t) => {
    const guest = `{ node: { name: 'guest', owner: '${OWNER}' }, approved: true }`;
    tailnet.edit('nodes.json5', nodes(ALPHA, RENAMED, guest));
    const key = await tailnet.server.createKey({ user: OWNER, ephemeral: true });
    const [client] = (await tailnet.joined(['guest'], 'clear', key)) as [Client];
    await seeEachOther([alpha, client]);
    const start = performance.now();
    client.task.signal('SIGKILL');
    const gone = async (): Promise<boolean> => (await alpha.peer('guest')) === undefined;
    await eventually('alpha forgets the guest', 30_000, gone);
    const afterMs = performance.now() - start;
    t.diagnostic(`gone after ${Math.round(afterMs / 100) / 10} s`);
    assert.ok(afterMs > 14_000, 'not before its time');
  });
});

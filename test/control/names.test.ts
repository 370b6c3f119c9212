// Whose a name is: a client chooses its host name, so what the tailnet or its server calls something else must not go to it.

import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';

import { accept } from '../../src/base/outcome.ts';
import { authKeyOf, newNodeKey, openRealWorld, snapshotOf, until } from './world.ts';

const PROOF = 'p'.repeat(43);
const tailnet = (baseDomain = 'tail.example') => ({
  'tailnet.json5': { name: 'example.com', baseDomain, features: { https: true } },
});

const openHouse = async (t: TestContext, files: Record<string, unknown>) => {
  const published: string[] = [];
  const publishDns = ({ name }: { readonly name: string }) => {
    published.push(name);
    return Promise.resolve(accept(undefined));
  };
  const world = await openRealWorld({ files, ports: { publishDns } });
  t.after(() => world.close());
  const join = async (Hostname: string) => {
    const client = await world.connect();
    const NodeKey = newNodeKey();
    await client.register({ NodeKey, Hostinfo: { Hostname }, Auth: { AuthKey: authKeyOf('bob') } });
    const id = world.registry.view.byNodeKey.get(NodeKey)!;
    const nameOf = (): string => world.netmap.node(id)!.label;
    const certify = async () => {
      const Name = `_acme-challenge.${world.netmap.node(id)!.fqdn}`;
      return client.request('POST', '/machine/set-dns', { NodeKey, Name, Type: 'TXT', Value: PROOF });
    };
    return { nameOf, certify, stableId: world.registry.view.nodes.get(id)!.stableId };
  };
  return { world, join, published };
};

const record = (name: string) => ({ 'dns.json5': { extraRecords: [{ name, type: 'A', value: '100.64.0.99' }] } });
const derp = (hostName: string) => ({
  'derp.json5': { regions: [{ id: 900, code: 'own', name: 'Own', nodes: [{ name: 'own1', hostName }] }] },
});

const TAKEN: Readonly<Record<string, readonly [hostname: string, files: Record<string, unknown>]>> = {
  'the server itself': ['tail', tailnet('example.com')],
  'a relay': ['relay', { ...tailnet(), ...derp('relay.tail.example') }],
  'a relay below a name, which a wildcard would cover': ['eu', { ...tailnet(), ...derp('relay.eu.tail.example') }],
  'an extra record': ['vault', { ...tailnet(), ...record('vault.tail.example') }],
};

for (const [what, [hostname, files]] of Object.entries(TAKEN))
  test(`a machine does not get the name of ${what}, nor a certificate for it if it had the name before`, async (t) => {
    const { world, join, published } = await openHouse(t, tailnet());
    const early = await join(hostname);
    assert.equal(early.nameOf(), hostname);
    world.setSnapshot(snapshotOf(files));
    const late = await join(hostname);
    assert.equal(late.nameOf(), `${hostname}-${what === 'an extra record' ? 1 : 2}`);
    if (what === 'an extra record') {
      const { status, text } = await early.certify();
      assert.deepEqual([status, /something else/.test(text)], [403, true], 'it keeps the name that it had');
      assert.deepEqual(published, []);
    } else assert.equal(early.nameOf(), `${hostname}-1`);
    assert.equal((await late.certify()).status, 200, 'its own name is its own');
  });

test('a name that nodes.json5 gives to a machine leaves the one that took it before', async (t) => {
  const { world, join } = await openHouse(t, tailnet());
  const [squatter, database] = [await join('db'), await join('database')];
  const named = { nodes: [{ node: { id: database.stableId }, name: 'db' }] };
  world.setSnapshot(snapshotOf({ ...tailnet(), 'nodes.json5': named }));
  await until(() => squatter.nameOf() === 'db-1');
  assert.equal(database.nameOf(), 'db');
  assert.equal((await database.certify()).status, 200);
});

test('a machine whose own name is declared for it keeps it, whatever else has the name', async (t) => {
  const { world, join } = await openHouse(t, tailnet());
  const own = await join('vault');
  const named = { nodes: [{ node: { id: own.stableId }, name: 'vault' }] };
  world.setSnapshot(snapshotOf({ ...tailnet(), ...record('vault.tail.example'), 'nodes.json5': named }));
  const other = await join('vault');
  assert.deepEqual([own.nameOf(), other.nameOf()], ['vault', 'vault-1']);
  assert.equal((await own.certify()).status, 200);
});

// What a client resolves, asked where its applications ask: at 100.100.100.100, on a machine with a network device.

import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import type { Client } from '../client.ts';
import { skip } from '../machine.ts';
import { NEAR, openPlace } from '../place.ts';
import type { Place } from '../place.ts';
import { seeEachOther, Tailnet } from '../tailnet.ts';
import { eventually } from '../task.ts';

/** Prints, as JSON, what the resolver inside the client answers. */
const ASK = `
  const resolver = new (require('node:dns').promises.Resolver)({ timeout: 2000, tries: 1 });
  resolver.setServers(['100.100.100.100']);
  const [name, type] = process.argv.slice(1);
  resolver.resolve(name, type).then((found) => console.log(JSON.stringify(found)), (error) => console.log(JSON.stringify(error.code)));
`;

const FILES = {
  'dns.json5': `{
    magicDNS: true,
    nameservers: ['192.0.2.53'],
    splitDNS: { 'corp.example.com': ['192.168.10.53'] },
    searchDomains: ['corp.example.com'],
    extraRecords: [
      { name: 'git.example.com', type: 'A', value: '100.64.0.10' },
      { name: 'git.example.com', type: 'AAAA', value: 'fd7a:115c:a1e0::10' },
      { name: 'www.example.com', type: 'CNAME', value: 'git.example.com' },
      { name: 'store.example.com', type: 'CNAME', value: 'box.tail.example.com' },
    ],
  }`,
};

describe('DNS', { skip, timeout: 90_000 }, () => {
  let place: Place;
  let tailnet: Tailnet;
  let desk: Client;
  let box: Client;

  const ask = async (name: string, type = 'A'): Promise<unknown> =>
    JSON.parse(await place.run(10_000, process.execPath, '-e', ASK, name, type)) as unknown;

  before(async () => {
    place = openPlace();
    tailnet = await Tailnet.start({ files: FILES, host: NEAR });
    desk = await tailnet.client('desk', 'clear', place);
    await desk.tell(...tailnet.up(desk), '--netfilter-mode=off');
    [box] = (await tailnet.joined(['box'])) as [Client];
    await seeEachOther([desk, box]);
  });
  afterEach((t) => tailnet.note(t));
  after(async () => tailnet?.stop());

  test('MagicDNS answers names of machines, and their addresses backwards', async () => {
    const address = await box.address();
    await eventually('the name is known', 5_000, async () => {
      assert.deepEqual(await ask('box.tail.example.com'), [address]);
      return true;
    });
    // Clients answer for an address with the name of an extra record first, and the box has one.
    const reverse = `${(await desk.address()).split('.').reverse().join('.')}.in-addr.arpa`;
    assert.deepEqual(await ask(reverse, 'PTR'), ['desk.tail.example.com']);
    assert.equal(await ask('nobody.tail.example.com'), 'ENOTFOUND');
  });

  test('extra records are answered, an alias by what it stands for', async () => {
    assert.deepEqual(await ask('git.example.com'), ['100.64.0.10']);
    assert.deepEqual(await ask('git.example.com', 'AAAA'), ['fd7a:115c:a1e0::10']);
    assert.deepEqual(await ask('www.example.com'), ['100.64.0.10']);
    assert.deepEqual(await ask('store.example.com'), [await box.address()], 'a machine that joined later');
  });

  test('the system is told of the search domains, and the client of split DNS', async () => {
    const resolvConf = await place.run(2_000, 'cat', '/etc/resolv.conf');
    assert.match(resolvConf, /^nameserver 100\.100\.100\.100$/m);
    assert.match(resolvConf, /^search tail\.example\.com corp\.example\.com$/m);
    const status = await desk.tell('dns', 'status');
    assert.match(status, /corp\.example\.com\.?\s+-> 192\.168\.10\.53/);
  });

  test('a record that is added is answered within a second', async (t) => {
    tailnet.edit('dns.json5', FILES['dns.json5'].replaceAll('100.64.0.10', '100.64.0.11'));
    const { afterMs } = await eventually('the new address is answered', 1_500, async () => {
      assert.deepEqual(await ask('git.example.com'), ['100.64.0.11']);
      return true;
    });
    t.diagnostic(`after ${Math.round(afterMs)} ms`);
  });
});

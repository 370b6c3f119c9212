// What a client resolves, asked where its applications ask: at 100.100.100.100, on a machine with a network device.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import fs from 'node:fs';
import https from 'node:https';
import os from 'node:os';
import path from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { makeSelfSignedCertificate } from '../../../src/server/certificate.ts';
import { skipNamed, startNamed, type Named } from '../../dns/named.ts';
import { answerWith } from '../answer.ts';
import type { Client } from '../client.ts';
import { without } from '../installed.ts';
import { skip } from '../machine.ts';
import { addInternetAddress, NEAR, openPlace } from '../place.ts';
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

const DNS = {
  magicDNS: true,
  nameservers: ['192.0.2.53'],
  splitDNS: { 'corp.example.com': [NEAR] },
  searchDomains: ['corp.example.com'],
  extraRecords: [
    { name: 'git.example.com', type: 'A', value: '100.64.0.10' },
    { name: 'git.example.com', type: 'AAAA', value: 'fd7a:115c:a1e0::10' },
    { name: 'www.example.com', type: 'CNAME', value: 'git.example.com' },
    { name: 'store.example.com', type: 'CNAME', value: 'box.tail.example.com' },
  ],
};
const policy = (...attr: readonly string[]): string =>
  JSON.stringify({ grants: [{ src: ['*'], dst: ['*'], ip: ['*'] }], nodeAttrs: [{ target: ['*'], attr }] });

const skipDig = without('dig', 'bind9-dnsutils', 'answers to dig');
const CLOUDFLARE = '1.1.1.1';
const NEXTDNS = ['45.90.28.0', '45.90.30.0'];

describe('DNS', { skip, timeout: 90_000 }, () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tailplane-dns-'));
  let place: Place;
  let tailnet: Tailnet;
  let desk: Client;
  let box: Client;
  let corp: Named | undefined;
  let doh: https.Server;
  /** What the DNS-over-HTTPS server of the whole internet was asked for. */
  const visits: string[] = [];

  const ask = async (name: string, type = 'A'): Promise<unknown> =>
    JSON.parse(await place.run(10_000, process.execPath, '-e', ASK, name, type)) as unknown;
  /** Status, and the answers as `+short` has them. */
  const dig = async (...args: readonly string[]): Promise<readonly string[]> => {
    const said = await place.run(10_000, 'dig', '@100.100.100.100', '+tries=1', '+time=3', '+noall', '+comments', '+answer', ...args); // prettier-ignore
    const answers = [...said.matchAll(/^[^;\s]\S*\s+\d+\s+IN\s+(\S+\s+\S+)$/gm)].map(([, answer]) => (answer as string).replaceAll(/\s+/g, ' ')); // prettier-ignore
    return [/status: (\w+)/.exec(said)?.[1] ?? '', ...answers];
  };

  /** Stands for DNS-over-HTTPS of two providers: 192.0.2.80 is its answer to everything. */
  const startDoh = async (): Promise<void> => {
    const certificate = makeSelfSignedCertificate({
      hostnames: ['cloudflare-dns.com', 'dns.nextdns.io'],
      ips: [],
      notBefore: new Date(Date.now() - 3_600_000),
      notAfter: new Date(Date.now() + 3_600_000),
    });
    fs.writeFileSync(path.join(folder, 'roots.pem'), certificate.certPem);
    doh = https.createServer({ cert: certificate.certPem, key: certificate.keyPem }, (request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        visits.push(`${request.headers.host}${request.url}`);
        response.writeHead(200, { 'content-type': 'application/dns-message' });
        response.end(answerWith('192.0.2.80', Buffer.concat(chunks)));
      });
    });
    for (const address of [CLOUDFLARE, ...NEXTDNS]) addInternetAddress(address);
    doh.listen(443, '0.0.0.0');
    await once(doh, 'listening');
  };

  before(async () => {
    place = openPlace();
    await startDoh();
    if (skipNamed === false) corp = await startNamed({ host: NEAR, port: 53, records: 'wiki.corp A 192.0.2.7\n' });
    tailnet = await Tailnet.start({
      files: { 'dns.json5': JSON.stringify(DNS), 'policy.json5': policy('magicdns-aaaa') },
      host: NEAR,
      clientEnv: { SSL_CERT_FILE: path.join(folder, 'roots.pem') },
    });
    desk = await tailnet.client('desk', 'clear', place);
    await desk.tell(...tailnet.up(desk), '--netfilter-mode=off');
    [box] = (await tailnet.joined(['box'])) as [Client];
    await seeEachOther([desk, box]);
  });
  afterEach((t) => tailnet.note(t));
  after(async () => {
    await tailnet?.stop();
    await corp?.stop();
    doh?.close();
    doh?.closeAllConnections();
    fs.rmSync(folder, { recursive: true, force: true });
  });

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

  test(
    '`dig` at 100.100.100.100: addresses of both families, no such name, no such record',
    { skip: skipDig },
    async () => {
      const [four, six] = (await box.status()).Self.TailscaleIPs as [string, string];
      assert.deepEqual(await dig('box.tail.example.com', 'A'), ['NOERROR', `A ${four}`]);
      assert.deepEqual(await dig('box.tail.example.com', 'AAAA'), ['NOERROR', `AAAA ${six}`]);
      assert.deepEqual(await dig('-x', (await desk.status()).Self.TailscaleIPs?.[1] ?? ''), ['NOERROR', 'PTR desk.tail.example.com.']); // prettier-ignore
      assert.deepEqual(await dig('nobody.tail.example.com', 'A'), ['NXDOMAIN']);
      for (const type of ['TXT', 'MX', 'SRV']) assert.deepEqual((await dig('box.tail.example.com', type)).slice(1), [], type); // prettier-ignore
      assert.deepEqual(await dig('+tcp', 'www.example.com', 'A'), ['NOERROR', 'A 100.64.0.10'], 'over TCP');
    },
  );

  test('extra records are answered, an alias by what it stands for', async () => {
    assert.deepEqual(await ask('git.example.com'), ['100.64.0.10']);
    assert.deepEqual(await ask('git.example.com', 'AAAA'), ['fd7a:115c:a1e0::10']);
    assert.deepEqual(await ask('www.example.com'), ['100.64.0.10']);
    assert.deepEqual(await ask('store.example.com'), [await box.address()], 'a machine that joined later');
  });

  test('the system is told of the search domains, and finds machines by their short names', async () => {
    const resolvConf = await place.run(2_000, 'cat', '/etc/resolv.conf');
    assert.match(resolvConf, /^nameserver 100\.100\.100\.100$/m);
    assert.match(resolvConf, /^search tail\.example\.com corp\.example\.com$/m);
    const hosts = await place.run(10_000, 'getent', 'ahostsv4', 'box');
    assert.ok(hosts.startsWith(`${await box.address()} `), hosts);
  });

  test('split DNS asks the nameserver of its suffix', { skip: skipNamed }, async () => {
    assert.match(await desk.tell('dns', 'status'), /corp\.example\.com\.?\s+-> 10\.200\.0\.1/);
    assert.deepEqual(await ask('wiki.corp.example.com'), ['192.0.2.7']);
    assert.match(await place.run(10_000, 'getent', 'ahostsv4', 'wiki'), /^192\.0\.2\.7 /, 'by the search domain');
  });

  test('a record that is added is answered within a second', async (t) => {
    tailnet.edit('dns.json5', JSON.stringify(DNS).replaceAll('100.64.0.10', '100.64.0.11'));
    const { afterMs } = await eventually('the new address is answered', 1_500, async () => {
      assert.deepEqual(await ask('git.example.com'), ['100.64.0.11']);
      return true;
    });
    t.diagnostic(`after ${Math.round(afterMs)} ms`);
  });

  test('a machine that is renamed is found by its new name within a second, and by no other', async (t) => {
    const address = await box.address();
    await box.tell('set', '--hostname', 'crate');
    const { afterMs } = await eventually('the new name is answered', 1_500, async () => {
      assert.deepEqual(await ask('crate.tail.example.com'), [address]);
      return true;
    });
    t.diagnostic(`after ${Math.round(afterMs)} ms`);
    assert.equal(await ask('box.tail.example.com'), 'ENOTFOUND');
    assert.equal(
      await ask('store.example.com'),
      'ESERVFAIL',
      'an alias of the old name is asked of the world, which nobody answers for',
    );
  });

  test('names under a name lead to the machine where the policy gives it the attribute', async () => {
    const address = await box.address();
    assert.equal(await ask('app.crate.tail.example.com'), 'ENOTFOUND');
    tailnet.edit('policy.json5', policy('dns-subdomain-resolve'));
    await eventually('the name under it is answered', 5_000, async () => {
      assert.deepEqual(await ask('app.crate.tail.example.com'), [address]);
      return true;
    });
    assert.deepEqual(await ask('crate.tail.example.com', 'AAAA').catch(String), 'ENODATA', 'IPv6 is an attribute, too');
  });

  test('global nameservers that replace those of the system: one that clients know is asked over HTTPS', async () => {
    for (const address of [CLOUDFLARE, 'https://cloudflare-dns.com/dns-query']) {
      visits.length = 0;
      tailnet.edit('dns.json5', JSON.stringify({ ...DNS, overrideLocalDNS: true, nameservers: [address] }));
      await eventually(`${address} is asked`, 5_000, async () => {
        assert.deepEqual(await ask('somewhere.example.org'), ['192.0.2.80']);
        return true;
      });
      assert.ok(visits.length > 0 && visits.every((visit) => visit === 'cloudflare-dns.com/dns-query'), visits.join());
    }
  });

  test('a profile of NextDNS by attribute takes their place, and is told which device asks, or not', async () => {
    const profile = async (id: string, ...attr: readonly string[]): Promise<URL> => {
      visits.length = 0;
      tailnet.edit('policy.json5', policy(`nextdns:${id}`, ...attr));
      const { value } = await eventually(`NextDNS is asked as ${id}`, 5_000, async () => {
        await ask(`n${visits.length}.example.org`);
        return visits.findLast((visit) => visit.startsWith(`dns.nextdns.io/${id}`));
      });
      return new URL(`https://${value}`);
    };
    const told = await profile('abc123');
    assert.equal(told.pathname, '/abc123');
    assert.deepEqual(Object.fromEntries(told.searchParams), { device_name: 'desk', device_model: 'linux', device_ip: await desk.address() }); // prettier-ignore
    const silent = await profile('abc124', 'nextdns:no-device-info');
    assert.equal(`${silent.pathname}${silent.search}`, '/abc124');
  });
});

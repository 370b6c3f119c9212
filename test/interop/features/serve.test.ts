// Certificates for machines, by `tailscale cert` and in `tailscale serve`: a real client, a real certificate authority (pebble),
// and a real name server (BIND) that our server updates. Then Serve without certificates, and Funnel, which there is none of.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
// Before machine.ts, which has no network to get the parts from.
import { pebbleCertificate, skipPebble, startPebble, type Pebble } from '../pebble.ts';
import { KEY, skipNamed, startNamed, type Named } from '../../dns/named.ts';
import type { Client } from '../client.ts';
import { without } from '../installed.ts';
import { skip } from '../machine.ts';
import { seeEachOther, Tailnet } from '../tailnet.ts';
import { eventually } from '../task.ts';

const WEB = 'web.tail.example.com';
const CHALLENGE = `_acme-challenge.${WEB}`;
const settings = (https: boolean, baseDomain = 'tail.example.com'): string => `{ name: 'example.com', baseDomain: '${baseDomain}', features: { https: ${https} } }\n`; // prettier-ignore
const policy = (...attr: readonly string[]): string => JSON.stringify({ grants: [{ src: ['*'], dst: ['*'], ip: ['*'] }], nodeAttrs: [{ target: ['*'], attr }] }); // prettier-ignore

describe(
  'certificates and Serve',
  { skip: skip || skipPebble || skipNamed || without('curl', 'curl', 'certificates and Serve'), timeout: 120_000 },
  () => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tailplane-serve-'));
    const file = (name: string): string => path.join(folder, name);
    let dns: Named;
    let pebble: Pebble;
    let tailnet: Tailnet;
    let web: Client;
    let desk: Client;
    let site: http.Server;

    /** What `desk` gets, asked through its proxy into the tailnet. */
    const curl = async (url: string, ...flags: readonly string[]): Promise<string> => {
      const fixed = [
        '--silent',
        '--show-error',
        '--max-time',
        '10',
        '--socks5-hostname',
        `127.0.0.1:${desk.socksPort}`,
      ];
      return (await promisify(execFile)('curl', [...fixed, ...flags, url])).stdout;
    };

    before(async () => {
      dns = await startNamed();
      pebble = await startPebble({ dnsPort: dns.port });
      // Everything that the clients are to trust; they trust nobody else.
      fs.writeFileSync(file('roots.pem'), pebbleCertificate.certPem + (await pebble.root()));
      fs.writeFileSync(file('root.pem'), await pebble.root());
      fs.writeFileSync(file('tsig'), `${KEY.secret}\n`, { mode: 0o600 });
      tailnet = await Tailnet.start({
        files: { 'tailnet.json5': settings(true) },
        env: {
          TAILPLANE_DNS_SERVER: `127.0.0.1:${dns.port}`,
          TAILPLANE_DNS_KEY_NAME: KEY.name,
          TAILPLANE_DNS_KEY_FILE: file('tsig'),
        },
        clientEnv: { TS_DEBUG_ACME_DIRECTORY_URL: pebble.directoryForClients, SSL_CERT_FILE: file('roots.pem') },
      });
      [web, desk] = (await tailnet.joined(['web', 'desk'])) as [Client, Client];
      await seeEachOther([web, desk]);
      site = http.createServer((request, response) =>
        response.end(`${request.headers.host} for ${String(request.headers['tailscale-user-login'] ?? 'nobody')}`),
      );
      site.listen(0, '127.0.0.1');
      await once(site, 'listening');
    });
    afterEach((t) => tailnet.note(t));
    after(async () => {
      site?.close();
      await tailnet?.stop();
      await Promise.all([pebble?.stop(), dns?.stop()]);
      fs.rmSync(folder, { recursive: true, force: true });
    });
    const capabilities = async (client: Client): Promise<object> => (await client.status()).Self.CapMap ?? {};
    const target = (): string => `http://127.0.0.1:${(site.address() as AddressInfo).port}`;

    test('`tailscale cert` gets a certificate of the name of the machine', async (t) => {
      const start = performance.now();
      await web.tell('cert', '--cert-file', file('web.crt'), '--key-file', file('web.key'), WEB);
      t.diagnostic(`after ${Math.round(performance.now() - start)} ms`);
      const certificate = new X509Certificate(fs.readFileSync(file('web.crt')));
      assert.match(certificate.issuer, /Pebble/);
      assert.equal(certificate.checkHost(WEB), WEB);
      assert.match((await dns.texts(CHALLENGE)).join(), /^[\w-]{43}$/);
    });

    test('of no other name, and the machine is told what it may have', async () => {
      const { exitCode, text } = await desk.say('cert', '--cert-file', '-', '--key-file', '-', WEB);
      assert.notEqual(exitCode, 0);
      assert.match(text, /must be one of \["desk\.tail\.example\.com"\]/);
    });

    test('`tailscale serve` shows a site by HTTPS to the tailnet, with a certificate that curl verifies', async (t) => {
      await web.tell('serve', '--bg', '--https=443', target());
      assert.equal(await curl(`https://${WEB}/`, '--cacert', file('root.pem')), `${WEB} for alice@example.com`);
      // The other one has no certificate yet.
      const start = performance.now();
      await desk.tell('serve', '--bg', '--https=443', target());
      const own = await curl(`https://desk.tail.example.com/`, '--cacert', file('root.pem'), '--noproxy', '');
      t.diagnostic(
        `from \`tailscale serve\` to the first page with a new certificate: ${Math.round(performance.now() - start)} ms`,
      );
      assert.match(own, /^desk\.tail\.example\.com/);
    });

    test('Serve by HTTP and by TCP needs no certificate', async () => {
      await web.tell('serve', '--bg', '--http=80', target());
      assert.equal(await curl(`http://${WEB}/`), `${WEB} for alice@example.com`);
      assert.equal(await curl('http://web/'), 'web for alice@example.com', 'by the short name');
      await web.tell('serve', '--bg', '--tcp=2222', `tcp://127.0.0.1:${(site.address() as AddressInfo).port}`);
      assert.equal(await curl(`http://${WEB}:2222/`), `${WEB}:2222 for nobody`);
      await web.tell('serve', 'reset');
      await assert.rejects(curl(`http://${WEB}/`, '--max-time', '2'));
    });

    test('one certificate for all names under that of a machine, where the policy gives the attribute', async () => {
      tailnet.edit('policy.json5', policy('dns-subdomain-resolve'));
      await eventually(
        'the attribute arrives',
        5_000,
        async () => 'dns-subdomain-resolve' in (await capabilities(web)),
      );
      await web.tell('cert', '--cert-file', file('all.crt'), '--key-file', file('all.key'), `*.${WEB}`);
      const certificate = new X509Certificate(fs.readFileSync(file('all.crt')));
      assert.equal(certificate.checkHost(`app.${WEB}`), `*.${WEB}`);
    });

    test('a name server that does not take the record: the person at the machine reads why', async () => {
      // The key of the server may change names under tail.example.com alone.
      tailnet.edit('tailnet.json5', settings(true, 'other.example.com'));
      await eventually(
        'the name changes',
        5_000,
        async () => (await web.status()).Self.DNSName === 'web.other.example.com.',
      );
      const { exitCode, text } = await web.say('cert', '--cert-file', '-', '--key-file', '-', 'web.other.example.com');
      assert.notEqual(exitCode, 0);
      assert.match(text, /The name server did not take the record \(REFUSED\)/);
      const { problems } = (await tailnet.server.admin('status')) as { problems: string[] };
      assert.deepEqual(problems, ['machines get no certificates: The name server did not take the record (REFUSED)']);
      tailnet.edit('tailnet.json5', settings(true));
      await eventually('the name is back', 5_000, async () => (await web.status()).Self.DNSName === `${WEB}.`);
    });

    test('Funnel is refused with a sentence, also where the policy names it', async () => {
      const refused = async (): Promise<void> => {
        const { text } = await web.say('funnel', '--bg', target());
        assert.match(text, /^Funnel is not available: it lets the internet in/);
        assert.doesNotMatch(await web.tell('serve', 'status'), /Funnel on/);
      };
      await refused();
      tailnet.edit('policy.json5', policy('funnel', 'magicdns-aaaa'));
      await eventually('the attributes arrive', 5_000, async () => 'magicdns-aaaa' in (await capabilities(web)));
      await refused();
    });

    test('where HTTPS is off, the client says so, and what works', async () => {
      tailnet.edit('tailnet.json5', settings(false));
      await eventually('HTTPS goes', 5_000, async () => !('https' in (await capabilities(web))));
      assert.match((await web.say('serve', '--bg', target())).text, /HTTPS is off in this tailnet.*--http=80/s);
      assert.match((await web.say('cert', WEB)).text, /does not support getting TLS certs/);
    });

    test('a server that was killed takes its challenges out of the DNS when it starts, and one that stops before', async () => {
      tailnet.edit('tailnet.json5', settings(true));
      await eventually('web may ask', 5_000, async () => 'https' in (await capabilities(web)));
      assert.ok((await dns.texts(CHALLENGE)).length > 0);
      tailnet.server.task.signal('SIGKILL');
      await eventually('it is gone', 5_000, () => tailnet.server.task.hasEnded);
      await tailnet.server.startAgain();
      await eventually('the record is gone', 5_000, async () => (await dns.texts(CHALLENGE)).length === 0);

      await eventually('web may ask', 10_000, async () => 'https' in (await capabilities(web)));
      await web.tell(
        'cert',
        '--cert-file',
        file('new.crt'),
        '--key-file',
        file('new.key'),
        '--min-validity',
        '9000h',
        WEB,
      );
      const serial = (name: string): string => new X509Certificate(fs.readFileSync(file(name))).serialNumber;
      assert.notEqual(serial('new.crt'), serial('web.crt'));
      assert.equal((await dns.texts(CHALLENGE)).length, 1);
      await tailnet.server.stop();
      assert.deepEqual(await dns.texts(CHALLENGE), []);
    });
  },
);

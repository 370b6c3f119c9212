// Settings for certificate records: every wrong one ends the start with a sentence, and no secret is in it.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Secret } from '../../src/base/secret.ts';
import { StartFailure } from '../../src/server/failure.ts';
import { openCertificateRecords } from '../../src/server/publish-dns.ts';
import type { Settings } from '../../src/server/settings.ts';

const dataFolder = fs.mkdtempSync(path.join(os.tmpdir(), 'tailplane-publish-'));
after(() => fs.rmSync(dataFolder, { recursive: true }));
const open = (settings: Settings) => openCertificateRecords({ settings, dataFolder, now: Date.now, note: () => {} });

const FEATURES = { taildrop: true, ssh: true, https: false, tailnetLock: false };
const KEY = Buffer.alloc(32, 7).toString('base64');
const right: Settings = { dnsServer: '127.0.0.1:9', dnsKeyName: 'tailplane', dnsKey: new Secret(KEY) };

test('without settings nothing is published', () => assert.equal(open({}).publish, undefined));

for (const dnsServer of [
  '192.0.2.53',
  'ns1.example.com',
  'ns1.example.com:5353',
  '[2001:db8::53]',
  '[2001:db8::53]:53',
])
  test(`${dnsServer} is a name server`, () => assert.ok(open({ ...right, dnsServer })));

const wrong: readonly [what: string, settings: Settings, words: RegExp][] = [
  ['no key', { dnsServer: '127.0.0.1' }, /need a key/],
  ['no name of the key', { ...right, dnsKeyName: undefined! }, /need a key/],
  ['a key that is no base64', { ...right, dnsKey: new Secret('not base64!') }, /not the base64/],
  ['a short key', { ...right, dnsKey: new Secret('c2hvcnQ=') }, /at least 16 bytes/],
  ['a name with a space', { ...right, dnsKeyName: 'my key' }, /name of a key/],
  ['an address without brackets', { ...right, dnsServer: '2001:db8::53' }, /not a name server for dnsServer/],
  ['a port alone', { ...right, dnsServer: ':53' }, /not a name server/],
  ['a secondary that is none', { ...right, dnsSecondaries: '192.0.2.1, a:b:c' }, /«a:b:c».* dnsSecondaries/],
  ['a server and a command', { ...right, dnsCommand: '/bin/true' }, /Both/],
];
for (const [what, settings, words] of wrong)
  test(`${what} is told`, () => {
    assert.throws(
      () => open(settings),
      (error) =>
        error instanceof StartFailure &&
        error.code === 'server/bad-setting' &&
        words.test(error.message) &&
        !error.message.includes(KEY),
    );
  });

test('what is out is written to the data folder, and is gone from there when it is taken away', async () => {
  const told = path.join(dataFolder, 'told');
  const dnsCommand = path.join(dataFolder, 'publish');
  fs.writeFileSync(dnsCommand, `#!/bin/sh\necho "$@" >> ${told}\n`, { mode: 0o700 });
  const publisher = open({ dnsCommand });
  const name = '_acme-challenge.web.tail.example.com';
  assert.ok((await publisher.publish!({ name, value: 'proof' })).ok);
  const ledger = (): unknown => JSON.parse(fs.readFileSync(path.join(dataFolder, 'dns-challenges.json'), 'utf8'));
  assert.deepEqual(ledger(), [name]);
  await publisher.close();
  assert.deepEqual(ledger(), []);
  assert.equal(fs.readFileSync(told, 'utf8'), `set ${name} proof\nset ${name}\n`);
});

const told = async (problem: () => string | undefined): Promise<string> => {
  for (let tries = 0; tries < 500; tries++) {
    const found = problem();
    if (found !== undefined) return found;
    await sleep(10);
  }
  return 'nothing';
};
const declared = (https: boolean, baseDomain = 'tail.example.com') => ({ baseDomain, features: { ...FEATURES, https } }); // prettier-ignore

test('what stands in the way of certificates is known before somebody asks for one', async () => {
  const nothing = open({});
  nothing.follow(declared(false));
  assert.equal(nothing.problem(), undefined);
  nothing.follow(declared(true));
  assert.match(await told(nothing.problem), /neither dnsServer nor dnsCommand/);
  nothing.follow(declared(false));
  assert.equal(nothing.problem(), undefined);

  const away = open(right);
  away.follow(declared(true));
  assert.match(await told(away.problem), /^machines get no certificates: .*ECONNREFUSED$/);
});

test('the trial takes away a record that no machine can have', async () => {
  const dnsCommand = path.join(dataFolder, 'trial');
  fs.writeFileSync(dnsCommand, '#!/bin/sh\n[ "$*" = "set _acme-challenge._trial.tail.example.com" ] || exit 4\n', {
    mode: 0o700,
  });
  const records = open({ dnsCommand });
  records.follow(declared(true, 'other.example.com'));
  assert.match(await told(records.problem), /ended with 4/);
  records.follow(declared(true));
  await sleep(200);
  assert.equal(records.problem(), undefined);
});

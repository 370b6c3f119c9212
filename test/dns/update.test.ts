// Challenge records at a real name server, BIND, which judges our signatures and whose signatures we judge.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { parseBase64 } from '../../src/base/bytes.ts';
import { Secret } from '../../src/base/secret.ts';
import { exchangeOverTcp, type Exchange } from '../../src/dns/exchange.ts';
import { createUpdateProvider, type UpdateOptions } from '../../src/dns/update.ts';
import type { Algorithm } from '../../src/dns/signature.ts';
import { freePort } from '../interop/task.ts';
import { KEY, KEY_512, skipNamed, startNamed, type Named } from './named.ts';

const NAME = '_acme-challenge.web.tail.example.com';
const PROOF = 'a'.repeat(43);

const keyOf = ({ name, secret }: { name: string; secret: string }, algorithm: Algorithm = 'hmac-sha256') => ({
  name,
  algorithm,
  secret: new Secret(parseBase64(secret) as Uint8Array),
});

describe('updates of a name server', { skip: skipNamed, timeout: 60_000 }, () => {
  let primary: Named;
  let secondary: Named;
  const provider = (change: Partial<UpdateOptions> = {}) =>
    createUpdateProvider({ primary, key: keyOf(KEY), secondaries: [], now: Date.now, ...change });

  before(async () => {
    const secondaryPort = await freePort();
    primary = await startNamed({ secondaryPort });
    secondary = await startNamed({ port: secondaryPort, secondaryOf: primary });
  });
  after(async () => Promise.all([primary?.stop(), secondary?.stop()]));

  for (const [algorithm, key] of [
    ['hmac-sha256', KEY],
    ['hmac-sha512', KEY_512],
  ] as const) {
    test(`texts are put there, replaced and taken away, signed with ${algorithm}`, async () => {
      const { setTexts } = provider({ key: keyOf(key, algorithm) });
      for (const values of [[PROOF], [PROOF, 'b'.repeat(43)], ['c'.repeat(300)], []]) {
        assert.deepEqual(await setTexts(NAME, values), { ok: true, value: undefined });
        assert.deepEqual(await primary.texts(NAME), values);
      }
    });
  }

  test('the answer comes when the other servers of the zone have it too', async (t) => {
    const start = performance.now();
    assert.ok((await provider({ secondaries: [secondary] }).setTexts(NAME, [PROOF])).ok);
    assert.deepEqual(await secondary.texts(NAME), [PROOF]);
    t.diagnostic(`both have it after ${Math.round(performance.now() - start)} ms`);
    const nobody = { host: '127.0.0.1', port: await freePort() };
    const late = await provider({ secondaries: [nobody], spreadMs: 100 }).setTexts(NAME, [PROOF]);
    assert.equal(!late.ok && late.code, 'dns/late');
    assert.ok((await provider().setTexts(NAME, [])).ok);
  });

  /** The last byte of the answer is of what else a signature says, the one in the middle of the message itself. */
  const tampered =
    (at: number): Exchange =>
    async (server, request) => {
      const answer = await exchangeOverTcp(server, request);
      answer[at] = (answer[at] as number) ^ 1;
      return answer;
    };
  const refusals: readonly [what: string, code: string, words: RegExp, change: () => Partial<UpdateOptions>][] = [
    ['a key that the server does not know', 'dns/unsigned', /BADKEY/, () => ({ key: keyOf({ ...KEY, name: 'nobody' }) })],
    ['a wrong secret', 'dns/unsigned', /BADSIG/, () => ({ key: keyOf({ ...KEY, secret: KEY_512.secret }) })],
    ['a clock that is behind', 'dns/unsigned', /BADTIME/, () => ({ now: () => Date.now() - 3_600_000 })],
    ['a key that may not change the zone', 'dns/refused', /REFUSED/, () => ({ key: keyOf({ ...KEY, name: 'stranger' }) })],
    ['an answer whose code was changed on the way', 'dns/unsigned', /not signed by the key/, () => ({ exchange: tampered(3) })],
    ['nobody at that port', 'dns/unreachable', /ECONNREFUSED/, () => ({ primary: { host: '127.0.0.1', port: 9 } })],
    ['an answer of another server', 'dns/unsigned', /not signed/, () => ({ exchange: async (_, request) => Uint8Array.of(...request.subarray(0, 2), 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0) })],
  ]; // prettier-ignore
  for (const [what, code, words, change] of refusals) {
    test(`${what}: refused with a reason, and nothing is changed`, async () => {
      const outcome = await provider(change()).setTexts(NAME, [PROOF]);
      assert.ok(!outcome.ok);
      assert.equal(outcome.code, code);
      assert.match(outcome.reason, words);
      assert.ok(!outcome.reason.includes(KEY.secret));
      assert.deepEqual(await primary.texts(NAME), []);
    });
  }

  test('a name outside of the zone, or that is none, is refused', async () => {
    for (const name of ['_acme-challenge.web.example.org', 'a b.example.com', `${'x'.repeat(64)}.example.com`]) {
      const outcome = await provider().setTexts(name, [PROOF]);
      assert.equal(!outcome.ok && outcome.code, 'dns/refused', name);
    }
  });
});

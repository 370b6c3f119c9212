// Keys that don't open the door: what a person reads from `tailscale up` says what is wrong with the key.

import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from './client.ts';
import { skip } from './machine.ts';
import { OWNER, Tailnet } from './tailnet.ts';

describe('keys that are refused', { skip, timeout: 90_000 }, () => {
  let tailnet: Tailnet;
  let stranger: Client;

  before(async () => {
    tailnet = await Tailnet.start();
    stranger = await tailnet.client('stranger');
  });
  afterEach((t) => tailnet.note(t));
  after(async () => tailnet?.stop());

  const refusalOf = async (key: string): Promise<string> => {
    const { exitCode, text } = await stranger.say(...tailnet.up(stranger, key));
    assert.notEqual(exitCode, 0, `tailscale up took the key: ${text}`);
    assert.notEqual((await stranger.status()).BackendState, 'Running');
    return text;
  };

  const usedKey = async (): Promise<string> => {
    const key = await tailnet.server.createKey({ user: OWNER });
    const [first] = (await tailnet.joined(['first'], 'clear', key)) as [Client];
    assert.equal((await first.status()).BackendState, 'Running');
    return key;
  };
  const expiredKey = async (): Promise<string> => {
    const key = await tailnet.server.createKey({ user: OWNER, reusable: true, expires: '1s' });
    await sleep(1_100);
    return key;
  };
  const withOtherEnd = (key: string): string => key.slice(0, -1) + (key.endsWith('a') ? 'b' : 'a');

  const cases: { name: string; key: () => Promise<string>; says: RegExp }[] = [
    { name: 'used up', key: usedKey, says: /already (?:been )?used/ },
    { name: 'expired', key: expiredKey, says: /expired/ },
    { name: 'wrong by one letter', key: async () => withOtherEnd(tailnet.server.authKey), says: /not valid/ },
    { name: 'unknown', key: async () => 'tpkey-auth-nosuchkey-0123456789abcdefghijklmn', says: /not valid/ },
    { name: 'no key at all', key: async () => 'open sesame', says: /not valid/ },
  ];

  for (const { name, key, says } of cases) {
    test(name, async (t) => {
      const text = await refusalOf(await key());
      t.diagnostic(text);
      assert.match(text, says);
    });
  }

  test('and after all that a good key still opens', async () => {
    await stranger.tell(...tailnet.up(stranger));
    assert.equal((await stranger.status()).BackendState, 'Running');
  });
});

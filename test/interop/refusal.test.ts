// Keys that don't open the door: what a person reads from `tailscale up` says what is wrong with the key.

import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from './client.ts';
import { skip } from './machine.ts';
import { OWNER, Tailnet } from './tailnet.ts';
import { eventually } from './task.ts';

describe('keys that are refused', { skip, timeout: 90_000 }, () => {
  let tailnet: Tailnet;

  before(async () => {
    tailnet = await Tailnet.start();
  });
  afterEach((t) => tailnet.note(t));
  after(async () => tailnet?.stop());

  const refusalOf = async (key: string, stranger: Client): Promise<string> => {
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
    { name: 'used up', key: usedKey, says: /made for one use and has been used/ },
    { name: 'expired', key: expiredKey, says: /expired on \d{4}-\d\d-\d\d/ },
    { name: 'wrong by one letter', key: async () => withOtherEnd(tailnet.server.authKey), says: /is not right; copy/ },
    {
      name: 'unknown',
      key: async () => 'tpkey-auth-nosuchkey-0123456789abcdefghijklmn',
      says: /knows no such auth key/,
    },
    { name: 'no key at all', key: async () => 'open sesame', says: /not an auth key of this server/ },
  ];

  for (const [i, { name, key, says }] of cases.entries()) {
    test(`${name}, and after it a good key still opens`, async (t) => {
      const stranger = await tailnet.client(`stranger-${i + 1}`);
      const text = await refusalOf(await key(), stranger);
      t.diagnostic(text);
      assert.match(text, says);
      // A client may show the last refusal once more while it takes up the new key.
      await eventually('a good key opens', 5_000, async () => stranger.tell(...tailnet.up(stranger)));
    });
  }
});

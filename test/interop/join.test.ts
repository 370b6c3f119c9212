// Two real clients join the example tailnet by the line that the server prints, and see and reach each other, directly and
// through our relay.

import assert from 'node:assert/strict';
import path from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import type { Client } from './client.ts';
import { skip } from './machine.ts';
import { seeEachOther, Tailnet } from './tailnet.ts';

const EXAMPLE = path.join(import.meta.dirname, '../../tailnet.example');

const TITLE: Record<'clear' | 'relayed', string> = {
  clear: 'two clients',
  relayed: 'two clients with no direct path (TS_DEBUG_ALWAYS_USE_DERP)',
};
const PONG: Record<'clear' | 'relayed', RegExp> = {
  clear: /^pong from beta \(100\.[\d.]+\) via 127\.0\.0\.1:\d+ in /m,
  relayed: /^pong from beta \(100\.[\d.]+\) via DERP\([^)]+\) in /m,
};

for (const weather of ['clear', 'relayed'] as const) {
  describe(TITLE[weather], { skip, timeout: 90_000 }, () => {
    let tailnet: Tailnet;
    let alpha: Client;
    let beta: Client;

    before(async () => {
      tailnet = await Tailnet.start({ files: EXAMPLE });
      [alpha, beta] = await Promise.all([tailnet.client('alpha', weather), tailnet.client('beta', weather)]);
    });
    afterEach((t) => tailnet.note(t));
    after(async () => tailnet?.stop());

    test('join with the key that the server printed', async () => {
      await Promise.all([alpha, beta].map(async (client) => client.tell(...tailnet.up(client))));
      for (const client of [alpha, beta]) assert.equal((await client.status()).BackendState, 'Running');
    });

    test('`tailscale status` of each lists the other', async (t) => {
      t.diagnostic(`after ${Math.round(await seeEachOther([alpha, beta]))} ms`);
      assert.match(await alpha.tell('status'), new RegExp(`^${await beta.address()}\\s+beta\\s`, 'm'));
      assert.match(await beta.tell('status'), new RegExp(`^${await alpha.address()}\\s+alpha\\s`, 'm'));
    });

    test('`tailscale ping` answers', async (t) => {
      const text = await alpha.tell('ping', '--c', '3', `--until-direct=${weather === 'clear'}`, 'beta');
      t.diagnostic(text.split('\n').at(-1) ?? '');
      assert.match(text, PONG[weather]);
      if (weather === 'relayed') assert.doesNotMatch(text, /via \d/);
    });

    test('a TCP echo works both ways', async () => {
      assert.equal(await alpha.echoFrom(beta), 'beta: hello from alpha');
      assert.equal(await beta.echoFrom(alpha), 'alpha: hello from beta');
    });
  });
}

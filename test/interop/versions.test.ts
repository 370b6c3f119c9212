// Three releases of the client in one tailnet, with two years between the oldest and the newest: they join, see and reach
// each other directly and through our relay, and a policy cuts and restores what it should for all of them.

import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import type { NodeDetails, PingAnswer } from '../../src/http/answers.ts';
import { olderPrograms, skipOlder } from './older.ts';
import type { Client } from './client.ts';
import { isOwnMachine, skip } from './machine.ts';
import { addNetwork } from './place.ts';
import { OWNER, seeEachOther, Tailnet } from './tailnet.ts';
import { eventually } from './task.ts';

const WITHIN_MS = 1_000;
const FILES = {
  'tailnet.json5': `{
    name: 'example.com',
    baseDomain: 'tail.example.com',
    clients: { latest: '1.102.3', secureFrom: '1.84.0' },
  }\n`,
};
const NOBODY_BUT_PING = `{ grants: [{ src: ['*'], dst: ['*'], ip: ['icmp:*'] }] }\n`;
const PATH = { clear: /via [\d.]+:\d+ in/, relayed: /via DERP\([^)]+\) in/ } as const;

if (isOwnMachine && skipOlder === false) addNetwork();

/** The relay alone takes as long again; only long runs do it. */
const isShort = process.env['TAILPLANE_LONG'] === undefined;

/** Each with each, in both directions. */
const pairsOf = (clients: readonly Client[]): readonly (readonly [Client, Client])[] =>
  clients.flatMap((one) => clients.filter((other) => other !== one).map((other) => [one, other] as const));

for (const weather of ['clear', 'relayed'] as const) {
  const title = weather === 'clear' ? 'three releases in one tailnet' : 'three releases through the relay alone';
  describe(title, { skip: skip || skipOlder || (weather === 'relayed' && isShort), timeout: 120_000 }, () => {
    let tailnet: Tailnet;
    let clients: Client[];
    let newest: Client;

    before(async () => {
      tailnet = await Tailnet.start({ files: FILES, certified: true });
      clients = await Promise.all([
        tailnet.client('v1-80', weather, undefined, olderPrograms('1.80')),
        tailnet.client('v1-90', weather, undefined, olderPrograms('1.90')),
        tailnet.client('newest', weather),
      ]);
      newest = clients[2] as Client;
    });
    afterEach((t) => tailnet.note(t));
    after(async () => tailnet?.stop());

    test('join, and the server knows which release each is', async (t) => {
      const start = performance.now();
      await Promise.all(clients.map(async (client) => client.tell(...tailnet.up(client))));
      const nodes = (await tailnet.server.admin('nodes', 'list')) as { name: string; version: string }[];
      const versions = new Map(nodes.map(({ name, version }) => [name, version]));
      assert.match(versions.get('v1-80') ?? '', /^1\.80\.3/);
      assert.match(versions.get('v1-90') ?? '', /^1\.90\.9/);
      assert.match(versions.get('newest') ?? '', /^1\.102\./);
      t.diagnostic(`joined after ${Math.round(performance.now() - start)} ms`);
    });

    test('the older ones say that there is an update, the oldest that it is urgent', async () => {
      const hints = await Promise.all(clients.map(async (client) => (await client.status()).ClientVersion));
      const update = { LatestVersion: '1.102.3' };
      assert.deepEqual(hints, [{ ...update, UrgentSecurityUpdate: true }, update, null]);
    });

    test('see each other in `tailscale status`', async (t) => {
      t.diagnostic(`after ${Math.round(await seeEachOther(clients))} ms`);
      for (const [one, other] of pairsOf(clients)) {
        assert.match(await one.tell('status'), new RegExp(`^${await other.address()}\\s+${other.name}\\s`, 'm'));
      }
    });

    test('ping each other', async (t) => {
      for (const [one, other] of pairsOf(clients)) {
        const wish = weather === 'clear' ? ['--c', '5', '--until-direct'] : ['--c', '1', '--until-direct=false'];
        const text = await one.tell('ping', ...wish, other.name);
        assert.match(text, PATH[weather]);
        t.diagnostic(`${one.name} to ${other.name}: ${text.split('\n').at(-1) ?? ''}`);
      }
    });

    test('answer the server, and say how they reach each other', async () => {
      for (const [one, other] of [
        [0, 2],
        [1, 0],
        [2, 1],
      ].map((pair) => pair.map((i) => clients[i] as Client))) {
        const args = ['nodes', 'ping', (one as Client).name, '--to', (other as Client).name];
        const answer = (await tailnet.server.admin(...args)) as PingAnswer;
        assert.deepEqual(answer.steps.map(({ what }) => what), ['stream', 'call', 'disco', 'TSMP', 'ICMP']); // prettier-ignore
        const disco = answer.steps.find(({ what }) => what === 'disco');
        assert.equal(disco?.path, weather === 'clear' ? 'direct' : 'relay');
      }
    });

    test('say what is wrong with them: the oldest by itself, the others when they are asked', async (t) => {
      const health = async ({ name }: Client): Promise<readonly string[]> =>
        ((await tailnet.server.admin('nodes', 'show', name)) as NodeDetails).health.map(({ warning }) => warning);
      const [oldest, older] = clients as [Client, Client];
      for (const [client, warning] of [
        [oldest, 'security-update-available'],
        [older, 'update-available'],
      ] as const) {
        await eventually(`${client.name} complains`, 5_000, async () => (await health(client)).includes(warning));
        t.diagnostic(`${client.name}: ${(await health(client)).join(', ')}`);
      }
    });

    test('answer each other by TCP', async () => {
      for (const [one, other] of pairsOf(clients)) {
        const { value } = await eventually('an answer', 20_000, async () => one.echoFrom(other, 7_000));
        assert.equal(value, `${other.name}: hello from ${one.name}`);
      }
    });

    test('a policy cuts and restores what all of them may reach', async (t) => {
      const edited = performance.now();
      const before = tailnet.edit('policy.json5', NOBODY_BUT_PING);
      const answers = async (): Promise<boolean[]> =>
        Promise.all(
          pairsOf(clients).map(async ([one, other]) =>
            one.echoFrom(other, 150).then(
              () => true,
              () => false,
            ),
          ),
        );
      const { value: cutMs } = await eventually('every path is cut', WITHIN_MS, async () => {
        const tried = performance.now();
        return (await answers()).every((answered) => !answered) && tried - edited;
      });
      tailnet.edit('policy.json5', before);
      // Loss on the way to a relay is repaired by TCP only after a second.
      const restored = await eventually('every path is open', weather === 'clear' ? WITHIN_MS : 5_000, async () =>
        (await answers()).every(Boolean),
      );
      t.diagnostic(`cut after ${Math.round(cutMs)} ms, restored after ${Math.round(restored.afterMs)} ms`);
    });

    test('a client that comes, is renamed and goes is seen by all', async (t) => {
      const guest = await tailnet.client('guest', weather);
      const key = await tailnet.server.createKey({ user: OWNER, ephemeral: true });
      await guest.tell(...tailnet.up(guest, key));
      const seenMs = await seeEachOther([...clients, guest], WITHIN_MS);
      await guest.tell('set', '--hostname', 'visitor');
      const renamed = await eventually('all see its other name', 5_000, async () =>
        (await Promise.all(clients.map(async (client) => client.peer('visitor')))).every(Boolean),
      );
      await guest.tell('logout');
      const gone = await eventually('all forget it', WITHIN_MS, async () =>
        (await Promise.all(clients.map(async (client) => client.peer('visitor')))).every((peer) => !peer),
      );
      t.diagnostic(
        `seen after ${Math.round(seenMs)} ms, renamed after ${Math.round(renamed.afterMs)} ms, ` +
          `gone after ${Math.round(gone.afterMs)} ms`,
      );
    });

    test('keep each other while the server restarts', async () => {
      await tailnet.server.stop();
      await tailnet.server.startAgain();
      await seeEachOther(clients, 20_000);
      for (const one of clients.filter((client) => client !== newest)) {
        const { value } = await eventually('an answer', 20_000, async () => one.echoFrom(newest, 7_000));
        assert.equal(value, `newest: hello from ${one.name}`);
      }
    });
  });
}

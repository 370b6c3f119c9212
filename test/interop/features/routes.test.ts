// Networks behind a machine: subnet routers and exit nodes, from a client that has a network device and no route of its own.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { after, afterEach, before, describe, test } from 'node:test';
import type { Client } from '../client.ts';
import { skip } from '../machine.ts';
import { addAddress, NEAR, openPlace } from '../place.ts';
import type { Place } from '../place.ts';
import { seeEachOther, Tailnet } from '../tailnet.ts';
import { eventually } from '../task.ts';

const OFFICE = '192.168.10.5';
const LAB = '10.20.0.5';
const INTERNET = '203.0.113.7';
const PORT = 8000;
const SILENCE_MS = 15_000;
const ROUTES = '192.168.10.0/24,10.20.1.0/24,10.20.0.0/24';

const FILES = {
  'policy.json5': `{
    tagOwners: { 'tag:router': ['alice@example.com'] },
    grants: [{ src: ['*'], dst: ['*'], ip: ['*'] }],
    autoApprovers: { routes: { '10.20.0.0/16': ['tag:router'] } },
  }`,
  'routes.json5': `{ routes: [{ node: { tag: 'tag:router' }, subnets: ['192.168.10.0/24'], exitNode: true }] }`,
};

describe('routes', { skip, timeout: 180_000 }, () => {
  let place: Place;
  let tailnet: Tailnet;
  let visitor: Client;
  const routers: Client[] = [];
  const site = http.createServer((request, response) => response.end(`${request.socket.localAddress}`));

  const fetchFrom = async (address: string, limitMs = 1_000): Promise<string> =>
    place.run(limitMs + 1_000, 'curl', '-s', '--max-time', String(limitMs / 1000), `http://${address}:${PORT}/`);
  const reach = async (address: string, limitMs: number): Promise<number> => {
    const what = `the visitor reaches ${address}`;
    return (await eventually(what, limitMs, async () => (await fetchFrom(address)) === address)).afterMs;
  };
  const lose = async (address: string, limitMs: number): Promise<void> => {
    const fails = async (): Promise<boolean> => fetchFrom(address).then(() => false, () => true); // prettier-ignore
    await eventually(`the visitor no longer reaches ${address}`, limitMs, fails);
  };
  /** The router through which the visitor would go to the office. */
  const primary = async (): Promise<string | undefined> => {
    for (const { name } of routers) {
      if ((await visitor.peer(name))?.PrimaryRoutes?.includes('192.168.10.0/24')) return name;
    }
    return undefined;
  };

  const addRouter = async (name: string): Promise<Client> => {
    const router = await tailnet.client(name);
    const key = await tailnet.server.createKey({ tag: 'tag:router' });
    await router.tell(...tailnet.up(router, key), `--advertise-routes=${ROUTES}`, '--advertise-exit-node');
    routers.push(router);
    return router;
  };

  before(async () => {
    place = openPlace();
    for (const address of [OFFICE, LAB, INTERNET]) addAddress(address);
    await once(site.listen(PORT, '0.0.0.0'), 'listening');
    tailnet = await Tailnet.start({ files: FILES, host: NEAR });
    visitor = await tailnet.client('visitor', 'clear', place);
    await visitor.tell(...tailnet.up(visitor), '--accept-routes', '--netfilter-mode=off');
    await seeEachOther([visitor, await addRouter('gate-1')]);
  });
  afterEach((t) => tailnet.note(t));
  after(async () => {
    await tailnet?.stop();
    site.close();
    site.closeAllConnections();
  });

  test('a subnet of routes.json5 and one of autoApprovers are reached from a node without a route of its own', async (t) => {
    t.diagnostic(`${OFFICE} after ${Math.round(await reach(OFFICE, 10_000))} ms`);
    t.diagnostic(`${LAB} after ${Math.round(await reach(LAB, 5_000))} ms`);
    await assert.rejects(fetchFrom(INTERNET), 'what nobody routes stays out of reach');
  });

  test('a route that is withdrawn is gone, and comes back when it is advertised again', async (t) => {
    const [gate] = routers as [Client];
    await gate.tell('set', '--advertise-routes=10.20.0.0/24');
    await lose(OFFICE, 5_000);
    await gate.tell('set', `--advertise-routes=${ROUTES}`);
    t.diagnostic(`back after ${Math.round(await reach(OFFICE, 5_000))} ms`);
  });

  test('an approval that is taken back closes the way, and opens it again', async (t) => {
    const approved = tailnet.edit('routes.json5', '{ routes: [] }');
    await lose(OFFICE, 5_000);
    assert.equal(await fetchFrom(LAB), LAB);
    tailnet.edit('routes.json5', approved);
    t.diagnostic(`back after ${Math.round(await reach(OFFICE, 5_000))} ms`);
  });

  test('an exit node is offered, used, and left', async (t) => {
    assert.match(await visitor.tell('exit-node', 'list'), /gate-1/);
    await visitor.tell('set', '--exit-node=gate-1');
    t.diagnostic(`${INTERNET} after ${Math.round(await reach(INTERNET, 10_000))} ms`);
    await visitor.tell('set', '--exit-node=');
    await lose(INTERNET, 5_000);
  });

  test('of two routers, traffic goes on at once when the first ends', async (t) => {
    const second = await addRouter('gate-2');
    await seeEachOther([visitor, second]);
    assert.equal(await primary(), 'gate-1', 'the newcomer waits');
    const start = performance.now();
    await (routers[0] as Client).stop();
    await eventually('gate-2 carries the office', 2_000, async () => (await primary()) === 'gate-2');
    const seen = performance.now() - start;
    await reach(OFFICE, 5_000);
    t.diagnostic(`seen after ${Math.round(seen)} ms, reached after ${Math.round(performance.now() - start)} ms`);
  });

  test('of two routers, traffic goes on when the first falls silent, and stays when it is back', async (t) => {
    const third = await addRouter('gate-3');
    await seeEachOther([visitor, third]);
    assert.equal(await primary(), 'gate-2');
    await reach(OFFICE, 5_000);
    const silent = routers[1] as Client;
    const start = performance.now();
    silent.task.signal('SIGSTOP');
    try {
      await eventually('gate-3 carries the office', SILENCE_MS, async () => (await primary()) === 'gate-3');
      await reach(OFFICE, SILENCE_MS);
      const afterMs = performance.now() - start;
      t.diagnostic(`resumed after ${Math.round(afterMs)} ms`);
      assert.ok(afterMs < SILENCE_MS, `traffic resumed after ${Math.round(afterMs)} ms`);
    } finally {
      silent.task.signal('SIGCONT');
    }
    const answers = (): boolean => tailnet.server.task.log.includes('router answers again');
    await eventually('the server hears of gate-2 again', 10_000, answers);
    await eventually('the visitor hears of it', 5_000, async () => (await visitor.peer('gate-2'))?.Online);
    assert.equal(await primary(), 'gate-3', 'no flapping back');
    assert.equal(await fetchFrom(OFFICE), OFFICE);
  });
});

// Machines that carry traffic for others, in a little world: two sites with routers, a home behind NAT, and us between them.
// Both sites have the same addresses behind them and answer with their name, so what answers tells which way was taken.

import assert from 'node:assert/strict';
import dgram from 'node:dgram';
import { once } from 'node:events';
import { execFile } from 'node:child_process';
import { after, afterEach, before, describe, test } from 'node:test';
import type { EditAnswer } from '../../../src/server/source-operations.ts';
import type { RouteAnswer } from '../../../src/http/answers.ts';
import type { Client } from '../client.ts';
import { skip } from '../machine.ts';
import { addAddress, cut, lacksNft, NEAR, openHome, openPlace } from '../place.ts';
import type { Home, Place } from '../place.ts';
import { seeEachOther, Tailnet } from '../tailnet.ts';
import { eventually } from '../task.ts';
import type { Task } from '../task.ts';

const PORT = 8000;
const SITE = `require('node:http').createServer((_, answer) => answer.end(process.argv[1])).listen(${PORT}, '::')`;
const CRM = '198.51.100.20';
/** Behind both sites. */
const BEHIND = ['10.20.1.5', '10.20.2.5', '10.30.0.5', '172.20.0.5', '192.168.10.5', '203.0.113.7', CRM];

/** As the client writes them: site 7 and site 8 have the same 192.168.10.0/24. */
const VIA = (site: number): string => `fd7a:115c:a1e0:b1a:0:${site}:c0a8:a00/120`;
const viaAddress = (site: number): string => `fd7a:115c:a1e0:b1a:0:${site}:c0a8:a05`;
const ROUTES = {
  left: ['10.20.0.0/16', '10.30.0.0/24', '172.20.0.0/24', VIA(7)],
  right: ['10.20.1.0/24', '10.30.0.0/24', '172.20.0.0/24', VIA(8)],
};
type Side = keyof typeof ROUTES;
const advertise = (routes: readonly string[]): string => `--advertise-routes=${routes.join(',')}`;

const RELAYING = `{ src: ['tag:left', 'tag:right'], dst: ['tag:relay'], app: { 'tailscale.com/cap/relay': [] } },`;
const policy = (relaying: boolean): string => `{
  tagOwners: { 'tag:left': [], 'tag:right': [], 'tag:relay': [], 'tag:site': [] },
  grants: [
    { src: ['*'], dst: ['autogroup:member', 'autogroup:tagged', 'autogroup:internet'], ip: ['*'] },
    { src: ['*'], dst: ['10.0.0.0/8', 'fd7a:115c:a1e0:b1a::/64'], ip: ['*'] },
    { src: ['alice@example.com'], dst: ['172.20.0.0/24'], ip: ['*'], via: ['tag:left'] },
    { src: ['bob@example.com'], dst: ['172.20.0.0/24'], ip: ['*'], via: ['tag:right'] },
    ${relaying ? RELAYING : ''}
  ],
  nodeAttrs: [{
    target: ['*'],
    app: { 'tailscale.com/app-connectors': [{ name: 'crm', connectors: ['tag:right'], domains: ['crm.example.net'] }] },
  }],
  autoApprovers: { exitNode: ['tag:site'], routes: { '198.51.100.0/24': ['tag:right'] } },
}`;

const standing = (leftPriority?: number): string => `{ nodes: [
  { node: { name: 'left', tag: 'tag:left' }, tags: ['tag:left', 'tag:site'],
    location: { country: 'Finland', countryCode: 'FI', city: 'Helsinki', cityCode: 'HEL'${leftPriority === undefined ? '' : `, priority: ${leftPriority}`} } },
  { node: { name: 'right', tag: 'tag:right' }, tags: ['tag:right', 'tag:site'],
    location: { country: 'Portugal', countryCode: 'PT', city: 'Lisbon', cityCode: 'LIS'${leftPriority === undefined ? '' : ', priority: 20'} } },
] }`;

const approved = (side: Side): string =>
  `{ node: { name: '${side}', tag: 'tag:${side}' }, subnets: ${JSON.stringify(ROUTES[side])} }`;
const FILES = {
  'policy.json5': policy(false),
  'nodes.json5': standing(10),
  'routes.json5': `{ routes: [${approved('left')}, ${approved('right')}] }`,
  'dns.json5': `{ magicDNS: true, overrideLocalDNS: true, nameservers: ['${NEAR}'] }`,
};

/** A name server that knows one name, and says who asked. */
const startNames = async (asked: string[]): Promise<dgram.Socket> => {
  const socket = dgram.createSocket('udp4');
  socket.on('message', (query, from) => {
    const end = query.indexOf(0, 12) + 5;
    const name = query
      .subarray(12, end - 4)
      .toString('latin1')
      .replaceAll(/[^a-z]/g, '.');
    const known = name === '.crm.example.net.' && query.readUInt16BE(end - 4) === 1;
    if (known) asked.push(from.address);
    const header = Buffer.from([
      query[0] as number,
      query[1] as number,
      0x81,
      0x80,
      0,
      1,
      0,
      known ? 1 : 0,
      0,
      0,
      0,
      0,
    ]);
    const record = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, ...CRM.split('.').map(Number)];
    socket.send(
      Buffer.concat([header, query.subarray(12, end), Buffer.from(known ? record : [])]),
      from.port,
      from.address,
    );
  });
  await once(socket.bind(53, NEAR), 'listening');
  return socket;
};

const isLong = process.env['TAILPLANE_LONG'] !== undefined;
const LONG = 'clients take ten seconds to come back; part of npm run test:long';
const missing = skip === false ? lacksNft() : undefined;
if (missing !== undefined) console.log(`Skipped: routes, relays and connectors through NAT. ${missing}.`);

describe('machines that carry traffic', { skip: skip || missing || false, timeout: 180_000 }, () => {
  let tailnet: Tailnet;
  let home: Home;
  /** Alice's, at home. */
  let visitor: Client;
  /** Bob's, beside the server. */
  let guest: Client;
  let relay: Client;
  const routers = {} as Record<Side, Client>;
  const sites: Task[] = [];
  const asked: string[] = [];
  let names: dgram.Socket;

  const fetchFrom = async (place: Place, host: string): Promise<string> =>
    place.run(3_000, 'curl', '-s', '--max-time', '2', `http://${host}:${PORT}/`);
  /** Waits until that side answers the visitor. */
  const answers = async (side: Side, host: string, limitMs = 10_000): Promise<number> => {
    const what = `${side} answers at ${host}`;
    return (await eventually(what, limitMs, async () => {
      const answer = await fetchFrom(home.place, host);
      if (answer !== side) throw new Error(`${answer} answers`);
      return true;
    })).afterMs; // prettier-ignore
  };
  /** The same for the guest, who has no network device. */
  const answerToGuest = async (host: string): Promise<string> =>
    new Promise((resolve, reject) => {
      const args = ['-s', '--max-time', '2', '--socks5', guest.socks, `http://${host}:${PORT}/`];
      execFile('curl', args, (error, stdout) => (error ? reject(error) : resolve(stdout)));
    });

  const addRouter = async (side: Side, number: number): Promise<void> => {
    const place = openPlace(side, { number, wide: true });
    for (const address of BEHIND) addAddress(address, side);
    sites.push(tailnet.task(`site-${side}`, [...place.command, process.execPath, '-e', SITE, side]));
    const client = await tailnet.client(side, 'clear', place);
    const key = await tailnet.server.createKey({ tag: `tag:${side}` });
    const more = side === 'right' ? ['--advertise-connector'] : [];
    await client.tell(
      ...tailnet.up(client, key),
      advertise(ROUTES[side]),
      '--advertise-exit-node',
      '--netfilter-mode=off',
      ...more,
    );
    routers[side] = client;
  };

  before(async () => {
    home = openHome('home', 0);
    names = await startNames(asked);
    tailnet = await Tailnet.start({ files: FILES, host: NEAR });
    const addVisitor = async (): Promise<void> => {
      visitor = await tailnet.client('visitor', 'clear', home.place);
      await visitor.tell(...tailnet.up(visitor), '--accept-routes', '--netfilter-mode=off');
    };
    const addGuest = async (): Promise<void> => {
      guest = await tailnet.client('guest');
      const key = await tailnet.server.createKey({ user: 'bob@example.com' });
      await guest.tell(...tailnet.up(guest, key), '--accept-routes');
    };
    const addRelay = async (): Promise<void> => {
      relay = await tailnet.client('relay');
      const key = await tailnet.server.createKey({ tag: 'tag:relay' });
      await relay.tell(...tailnet.up(relay, key));
      await relay.tell('set', '--relay-server-port=0');
    };
    await Promise.all([addRouter('left', 1), addRouter('right', 2), addVisitor(), addGuest(), addRelay()]);
    cut('left', 'right');
    await seeEachOther([visitor, guest, relay, routers.left, routers.right]);
  });
  afterEach((t) => tailnet.note(t));
  after(async () => {
    await tailnet?.stop();
    await Promise.all(sites.map(async (site) => site.stop()));
    names?.close();
  });

  test('a subnet is reached from behind NAT', async (t) => {
    t.diagnostic(`after ${Math.round(await answers('left', '10.20.2.5'))} ms`);
    assert.match(await visitor.tell('ping', '-c', '20', 'left'), /pong from left .* via 10\.200\.1\.2:/);
    const seen = (await routers.left.peer('visitor'))?.CurAddr ?? '';
    assert.ok(seen.startsWith(`${home.outside}:`), `the router sees ${seen}`);
    assert.ok(home.translated() > 0);
  });

  test('two sites that cannot reach each other go through a peer relay, once the policy says so', async (t) => {
    const ping = async (): Promise<string> =>
      (await routers.left.say('ping', '-c', '1', '--timeout', '1s', 'right')).text;
    const without = await ping();
    assert.match(without, /via DERP/);
    assert.doesNotMatch(without, /peer-relay|via 10\./);
    tailnet.edit('policy.json5', policy(true));
    const { afterMs } = await eventually('the sites go through the relay', 20_000, async () =>
      /via peer-relay\(/.test(await ping()),
    );
    t.diagnostic(`after ${Math.round(afterMs)} ms`);
    const [, address] = /via peer-relay\(([\d.]+):\d+:vni:\d+\)/.exec(await ping()) ?? [];
    assert.match(address ?? '', /^10\.200\.\d\.1$/, 'an address of the machine with the relay');
  });

  test('of overlapping subnets the longer wins; withdrawn, the shorter has it, until it is back', async (t) => {
    await answers('left', '10.20.2.5');
    await answers('right', '10.20.1.5');
    await routers.right.tell('set', advertise(ROUTES.right.slice(1)));
    t.diagnostic(`the shorter one after ${Math.round(await answers('left', '10.20.1.5'))} ms`);
    await routers.right.tell('set', advertise(ROUTES.right));
    t.diagnostic(`the longer one after ${Math.round(await answers('right', '10.20.1.5'))} ms`);
  });

  test('of two routers for one subnet the other takes over when one withdraws, and keeps it', async (t) => {
    const [first, second] = (await fetchFrom(home.place, '10.30.0.5')) === 'left' ? (['left', 'right'] as const) : (['right', 'left'] as const); // prettier-ignore
    await routers[first].tell('set', advertise(ROUTES[first].filter((route) => route !== '10.30.0.0/24')));
    t.diagnostic(`after ${Math.round(await answers(second, '10.30.0.5'))} ms`);
    await routers[first].tell('set', advertise(ROUTES[first]));
    const list = async (): Promise<string[]> =>
      ((await tailnet.server.admin('routes', 'list')) as RouteAnswer[])
        .filter(({ route }) => route === '10.30.0.0/24')
        .map(({ node, state }) => `${node} ${state}`);
    await eventually('the first is back', 5_000, async () => (await list()).length === 2);
    assert.deepEqual(await list(), [`${second} serving`, `${first} standing by`]);
    assert.equal(await fetchFrom(home.place, '10.30.0.5'), second, 'no flapping back');
  });

  test('a restart of the server leaves a subnet with its router', { skip: isLong ? false : LONG }, async (t) => {
    const carrier = async (): Promise<Side | undefined> => {
      for (const side of ['left', 'right'] as const) {
        if ((await visitor.peer(side))?.PrimaryRoutes?.includes('10.30.0.0/24')) return side;
      }
      return undefined;
    };
    const before = await carrier();
    const seen = new Set<string>();
    await tailnet.server.stop();
    await tailnet.server.startAgain();
    const { afterMs } = await eventually('everybody is back', 60_000, async () => {
      seen.add(`${await carrier()}`);
      const sessions = (await tailnet.server.admin('debug', 'sessions')) as unknown[];
      return sessions.length === 5;
    });
    await eventually('the visitor has its map', 5_000, async () => (await visitor.peer('relay'))?.Online === true);
    seen.add(`${await carrier()}`);
    assert.deepEqual([...seen], [before]);
    t.diagnostic(`everybody is back after ${Math.round(afterMs)} ms`);
  });

  test('an approval is taken back and given again by command, as an edit of the file', async () => {
    const edit = async (what: string): Promise<string> =>
      ((await tailnet.server.admin('routes', what, 'left', '10.20.0.0/16', '--commit')) as EditAnswer).diff;
    assert.match(await edit('withdraw'), /^-.*10\.20\.0\.0\/16/m);
    const closed = async (): Promise<boolean> => fetchFrom(home.place, '10.20.2.5').then(() => false, () => true); // prettier-ignore
    await eventually('the way is closed', 5_000, closed);
    assert.equal(await fetchFrom(home.place, '10.20.1.5'), 'right', 'others stay');
    assert.match(await edit('approve'), /^\+.*10\.20\.0\.0\/16/m);
    await answers('left', '10.20.2.5');
  });

  test('the policy steers two people to one subnet through different routers', async () => {
    await answers('left', '172.20.0.5');
    await eventually('right answers the guest', 10_000, async () => (await answerToGuest('172.20.0.5')) === 'right');
    assert.deepEqual((await visitor.peer('left'))?.PrimaryRoutes?.includes('172.20.0.0/24'), true);
    assert.deepEqual((await guest.peer('right'))?.PrimaryRoutes?.includes('172.20.0.0/24'), true);
  });

  test('4via6: two sites with the same addresses are told apart, by number and by name', async () => {
    assert.equal(await visitor.tell('debug', 'via', '7', '192.168.10.0/24'), VIA(7));
    await answers('left', `[${viaAddress(7)}]`);
    await answers('right', `[${viaAddress(8)}]`);
    await answers('left', '192-168-10-5-via-7');
    await answers('right', '192-168-10-5-via-8');
    await assert.rejects(fetchFrom(home.place, '192.168.10.5'), 'the address alone leads nowhere');
  });

  test('exit nodes are listed where they stand, suggested by priority, and chosen by themselves', async (t) => {
    const list = await visitor.tell('exit-node', 'list');
    assert.match(list, /left\.\S+ +Finland +Helsinki/);
    assert.match(list, /right\.\S+ +Portugal +Lisbon/);
    assert.doesNotMatch(await visitor.tell('exit-node', 'list', '--filter=Finland'), /right/);
    const steers = async (): Promise<boolean> => 'traffic-steering' in ((await visitor.status()).Self.CapMap ?? {});
    assert.ok(await steers());
    assert.match(await visitor.tell('exit-node', 'suggest'), /Suggested exit node: right\./);
    await visitor.tell('set', '--exit-node=auto:any');
    t.diagnostic(`used after ${Math.round(await answers('right', '203.0.113.7'))} ms`);
    // A client stays with the one that it chose as long as that is there.
    tailnet.edit('nodes.json5', standing(30));
    const { afterMs } = await eventually('left is suggested', 5_000, async () =>
      /Suggested exit node: left\./.test(await visitor.tell('exit-node', 'suggest')),
    );
    t.diagnostic(`another is suggested after ${Math.round(afterMs)} ms`);
    assert.equal(await fetchFrom(home.place, '203.0.113.7'), 'right');
    await visitor.tell('set', '--exit-node=');
    await visitor.tell('set', '--exit-node=auto:any');
    await answers('left', '203.0.113.7');
    await visitor.tell('set', '--exit-node=');
    // Without priorities it is the nearest, and here they are all equally near.
    tailnet.edit('nodes.json5', standing());
    await eventually('priorities no longer count', 5_000, async () => !(await steers()));
    assert.match(await visitor.tell('exit-node', 'suggest'), /Suggested exit node: (?:left|right)\./);
  });

  test('names of an application are asked of its connector, and what it finds goes through it', async (t) => {
    t.diagnostic(`after ${Math.round(await answers('right', 'crm.example.net'))} ms`);
    assert.deepEqual([...new Set(asked)], ['10.200.2.2'], 'only the connector asks the name server');
    const right = (await visitor.peer('right'))?.PrimaryRoutes ?? [];
    assert.ok(right.includes(`${CRM}/32`), `the visitor goes to ${right.join(', ')} through right`);
    assert.match(
      await visitor.tell('dns', 'status'),
      /crm\.example\.net\.?\s+-> http:\/\/100\.64\.0\.\d+:\d+\/dns-query/,
    );
    const own = await routers.right.tell('dns', 'status');
    assert.doesNotMatch(own, /dns-query/, 'a connector asks nobody else for what it is to find');
  });
});

// Real clients across two relay regions, each a relay that runs alone and asks the control server whom it may let in: pairs talk
// through them, a region that is added is known at once, and when one dies its nodes move.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';

import type { Client } from './client.ts';
import { skip } from './machine.ts';
import { seeEachOther, Tailnet } from './tailnet.ts';
import { eventually, Task } from './task.ts';

const CHECKOUT = path.join(import.meta.dirname, '../..');
/** A client notices within seconds; the machine may be busy. */
const MOVE_MS = 10_000;
const isShort = process.env['TAILPLANE_LONG'] === undefined;

/** What `tailplane derp --json` prints. */
interface Printed {
  readonly url: string;
  readonly stunPort: number;
  readonly certName: string;
}

describe('two regions', { skip, timeout: 120_000 }, () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tailplane-regions-'));
  const relays = new Map<string, Task>();
  let tailnet: Tailnet;
  let alpha: Client;
  let beta: Client;

  /** Starts a relay, and gives its region as it stands in derp.json5. */
  const startRegion = async (id: number, code: string): Promise<object> => {
    const task = new Task({
      command: [
        process.execPath,
        ...'src/cli/tailplane.js derp --json --listen 127.0.0.1:0'.split(' '),
        `--data=${path.join(folder, code)}`,
        `--verify-url=${tailnet.server.url}/verify`,
      ],
      cwd: CHECKOUT,
      logFile: path.join(folder, `${code}.log`),
    });
    relays.set(code, task);
    const { value } = await eventually('the relay starts', 20_000, () => JSON.parse(task.log) as Printed);
    const node = {
      name: `${id}a`,
      hostName: '127.0.0.1',
      certName: value.certName,
      ipv4: '127.0.0.1',
      ipv6: 'none',
      derpPort: Number(new URL(value.url).port),
      stunPort: value.stunPort,
    };
    return { id, code, name: code, nodes: [node] };
  };

  const serve = (embedded: boolean, regions: readonly object[]): void => {
    tailnet.edit('derp.json5', JSON.stringify({ embedded, regions }));
  };
  let regions: readonly object[];

  before(async () => {
    tailnet = await Tailnet.start({ files: { 'derp.json5': '{ embedded: true }\n' } });
    regions = [await startRegion(900, 'hel'), await startRegion(901, 'tur')];
    serve(false, regions);
    await eventually('the server has both regions', 10_000, () => tailnet.server.task.log.includes('serves now'));
    // UDP for STUN, but not to each other: home regions are measured as always, and packets go through relays.
    const joined = await tailnet.joined(['alpha', 'beta'], 'indirect');
    [alpha, beta] = [joined[0] as Client, joined[1] as Client];
    await seeEachOther([alpha, beta], 30_000);
  });
  afterEach((t) => tailnet.note(t));
  after(async () => {
    await Promise.all([...relays.values()].map((task) => task.stop()));
    await tailnet?.stop();
    fs.rmSync(folder, { recursive: true, force: true });
  });

  const home = async (client: Client): Promise<string> => (await client.status()).Self.Relay;
  const pingBeta = async (): Promise<string> => alpha.tell('ping', '--c', '3', '--until-direct=false', 'beta');

  test('`tailscale netcheck` shows both, with an answer over UDP', async (t) => {
    const text = await alpha.tell('netcheck');
    t.diagnostic(text.replaceAll(/\n\s+/g, ' '));
    assert.match(text, /\* UDP: true/);
    for (const code of relays.keys()) assert.match(text, new RegExp(`- ${code}: [\\d.]+(?:ms|µs)`));
  });

  test('a pair talks through the relay of its peer', async (t) => {
    t.diagnostic(`alpha is at home in ${await home(alpha)}, beta in ${await home(beta)}`);
    assert.match(await pingBeta(), new RegExp(`via DERP\\(${await home(beta)}\\)`));
    assert.equal(await alpha.echoFrom(beta), 'beta: hello from alpha');
    assert.equal(await beta.echoFrom(alpha), 'alpha: hello from beta');
  });

  test('a region that is added reaches clients that are connected', async () => {
    serve(true, regions);
    await eventually('netcheck shows it', 10_000, async () => /- tailplane: /.test(await alpha.tell('netcheck')));
  });

  test(
    'a region that is taken off the map loses its nodes, though they heard from it just before',
    { skip: isShort },
    async (t) => {
      const gone = await home(beta);
      // Traffic until the last moment: a client keeps a home from which it heard in the last 8 s.
      await pingBeta();
      serve(
        true,
        regions.filter((region) => (region as { code: string }).code !== gone),
      );
      const { afterMs } = await eventually('beta left it', MOVE_MS, async () => ![gone, ''].includes(await home(beta)));
      t.diagnostic(`beta is at home in ${await home(beta)} after ${Math.round(afterMs)} ms`);
      serve(true, regions);
      await eventually('netcheck shows it again', 10_000, async () =>
        new RegExp(`- ${gone}: [\\d.]+`).test(await alpha.tell('netcheck')),
      );
    },
  );

  test('when a relay dies, its nodes move within 10 s, and pairs talk again', async (t) => {
    const dead = await home(beta);
    relays.get(dead)?.signal('SIGKILL');
    for (const client of [alpha, beta]) {
      const { afterMs } = await eventually(
        `${client.name} left ${dead}`,
        MOVE_MS,
        async () => (await home(client)) !== dead,
      );
      t.diagnostic(`${client.name} is at home in ${await home(client)} after ${Math.round(afterMs)} ms`);
    }
    const { afterMs } = await eventually('alpha reaches beta', MOVE_MS, async () =>
      (await pingBeta()).includes(`via DERP(${await home(beta)})`),
    );
    t.diagnostic(`they talk after ${Math.round(afterMs)} ms more`);
    assert.equal(await alpha.echoFrom(beta), 'beta: hello from alpha');
  });
});

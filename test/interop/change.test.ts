// What happens to others reaches a client at once: nodes that come and go, a new policy, a server that restarts.

import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import type { Client } from './client.ts';
import { skip } from './machine.ts';
import { OWNER, seeEachOther, Tailnet } from './tailnet.ts';
import { eventually } from './task.ts';

const WITHIN_MS = 1_000;
const NOBODY_BUT_PING = `{ grants: [{ src: ['*'], dst: ['*'], ip: ['icmp:*'] }] }\n`;

describe('a tailnet that changes', { skip, timeout: 120_000 }, () => {
  let tailnet: Tailnet;
  let alpha: Client;
  let beta: Client;

  before(async () => {
    tailnet = await Tailnet.start();
    [alpha, beta] = (await tailnet.joined(['alpha', 'beta'])) as [Client, Client];
    await seeEachOther([alpha, beta]);
  });
  afterEach((t) => tailnet.note(t));
  after(async () => tailnet?.stop());

  test('a third client that joins and leaves is seen by the others within a second', async (t) => {
    const gamma = await tailnet.client('gamma');
    const key = await tailnet.server.createKey({ user: OWNER, ephemeral: true });

    await gamma.tell(...tailnet.up(gamma, key));
    const added = await seeEachOther([alpha, beta, gamma], WITHIN_MS);
    assert.equal(await gamma.echoFrom(alpha), 'alpha: hello from gamma');

    await gamma.tell('logout');
    const gone = async (client: Client) => (await client.peer('gamma')) === undefined;
    const removed = await eventually(
      'the others forget gamma',
      WITHIN_MS,
      async () => (await gone(alpha)) && (await gone(beta)),
    );
    t.diagnostic(`seen after ${Math.round(added)} ms, gone after ${Math.round(removed.afterMs)} ms`);
  });

  test('a node that the operator deletes is gone for the others within a second', async (t) => {
    const delta = await tailnet.client('delta');
    await delta.tell(...tailnet.up(delta));
    await seeEachOther([alpha, delta]);

    await tailnet.server.admin('nodes', 'delete', 'delta');
    const { afterMs } = await eventually('alpha forgets delta', WITHIN_MS, async () => !(await alpha.peer('delta')));
    t.diagnostic(`gone after ${Math.round(afterMs)} ms`);
  });

  test('an edit of policy.json5 closes the TCP path, and another opens it', async (t) => {
    assert.equal(await alpha.echoFrom(beta), 'beta: hello from alpha');

    const edited = performance.now();
    const before = tailnet.edit('policy.json5', NOBODY_BUT_PING);
    const { value: closedMs } = await eventually('the path is closed', WITHIN_MS, async () => {
      const tried = performance.now();
      const answered = await alpha.echoFrom(beta, 100).catch(() => undefined);
      return answered === undefined && tried - edited;
    });
    await assert.rejects(alpha.echoFrom(beta, 1_500), 'closed for good, not just slow');

    tailnet.edit('policy.json5', before);
    const open = await eventually('the path is open', WITHIN_MS, async () => alpha.echoFrom(beta, 100));
    t.diagnostic(`closed after ${Math.round(closedMs)} ms, open after ${Math.round(open.afterMs)} ms`);
  });

  test('a policy with a mistake is refused, with its place, and changes nothing', async () => {
    const from = tailnet.server.task.log.length;
    const before = tailnet.edit('policy.json5', '{ grants: [{ src: ["*"], dst: ["*" \n');
    await eventually('the server says where the mistake is', WITHIN_MS, () =>
      tailnet.server.task.log.slice(from).includes('--> policy.json5:2:1'),
    );
    assert.equal(await alpha.echoFrom(beta), 'beta: hello from alpha');
    tailnet.edit('policy.json5', before);
  });

  test('clients keep each other while the server restarts', async (t) => {
    const talk = await alpha.talkTo(beta);
    assert.equal(await talk.say('before', 5_000), 'beta: before');

    const drainMs = await tailnet.server.stop();
    assert.ok(drainMs < 2_000, `the server took ${Math.round(drainMs)} ms to end`);
    assert.equal(await talk.say('meanwhile', 5_000), 'beta: meanwhile');

    const start = performance.now();
    await tailnet.server.startAgain();
    const startMs = performance.now() - start;
    await seeEachOther([alpha, beta], 20_000);
    assert.equal(await talk.say('after', 5_000), 'beta: after');
    talk.close();
    assert.equal(await beta.echoFrom(alpha), 'alpha: hello from beta');

    const online = await eventually('the server counts both as online', 30_000, async () => {
      const nodes = (await tailnet.server.admin('nodes', 'list')) as { name: string; online: boolean }[];
      const names = new Set(nodes.filter(({ online }) => online).map(({ name }) => name));
      return names.has('alpha') && names.has('beta');
    });
    t.diagnostic(
      `ended in ${Math.round(drainMs)} ms, ready in ${Math.round(startMs)} ms, ` +
        `both connected ${Math.round(online.afterMs)} ms later`,
    );
  });
});

describe('clients that reach each other through the relay alone', { skip, timeout: 120_000 }, () => {
  let tailnet: Tailnet;
  let alpha: Client;
  let beta: Client;

  before(async () => {
    tailnet = await Tailnet.start();
    [alpha, beta] = (await tailnet.joined(['alpha', 'beta'], 'relayed')) as [Client, Client];
    await seeEachOther([alpha, beta]);
    // A packet that comes before the other's connection to the relay is lost, and a client sends it again after five seconds.
    await eventually('alpha reaches beta', 15_000, async () => alpha.echoFrom(beta, 7_000));
  });
  afterEach((t) => tailnet.note(t));
  after(async () => tailnet?.stop());

  test('go on with an open connection after the server, and its relay, restarted', async (t) => {
    const talk = await alpha.talkTo(beta);
    assert.equal(await talk.say('before', 5_000), 'beta: before');
    await tailnet.server.stop();
    await tailnet.server.startAgain();
    const start = performance.now();
    assert.equal(await talk.say('after', 20_000), 'beta: after');
    t.diagnostic(`answered ${Math.round(performance.now() - start)} ms after the server was ready`);
    talk.close();
  });
});

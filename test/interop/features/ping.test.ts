// What an administrator is told of a machine: whether it answers, how it reaches another one, what it complains of, and which
// update it waits for.

import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import type { NodeDetails, PingAnswer } from '../../../src/http/answers.ts';
import type { Client } from '../client.ts';
import { skip } from '../machine.ts';
import { seeEachOther, Tailnet } from '../tailnet.ts';
import { eventually } from '../task.ts';

const tailnetFile = (latest: string): string =>
  `{ name: 'example.com', baseDomain: 'tail.example.com', clients: { latest: '${latest}' } }\n`;
const COMPLAINT = 'nosnat-with-advertised-exit-node';
const BAD_IDEA = ['--advertise-exit-node', '--snat-subnet-routes=false'];
const GOOD_IDEA = ['--advertise-exit-node=false', '--snat-subnet-routes=true'];
const NOBODY = '{ grants: [] }\n';

describe('a machine that is asked', { skip, timeout: 120_000 }, () => {
  let tailnet: Tailnet;
  let alpha: Client;
  let beta: Client;

  const ping = async (...args: string[]): Promise<PingAnswer> =>
    (await tailnet.server.admin('nodes', 'ping', ...args)) as PingAnswer;
  /** The answer of a ping that exits with 1. */
  const failing = async (...args: string[]): Promise<PingAnswer> => {
    const said = await ping(...args).then(
      () => assert.fail('it succeeded'),
      (error: Error) => error.message,
    );
    return JSON.parse(said.slice(said.indexOf('{'))) as PingAnswer;
  };
  const stepOf = (answer: PingAnswer, what: string) => answer.steps.find((step) => step.what === what);
  const show = async (name: string): Promise<NodeDetails> =>
    (await tailnet.server.admin('nodes', 'show', name)) as NodeDetails;

  before(async () => {
    tailnet = await Tailnet.start({
      files: { 'tailnet.json5': tailnetFile('1.102.3') },
    });
    [alpha, beta] = (await tailnet.joined(['alpha', 'beta'])) as [Client, Client];
    await seeEachOther([alpha, beta]);
  });
  afterEach((t) => tailnet.note(t));
  after(async () => tailnet?.stop());

  test('answers over its stream and runs a call', async (t) => {
    const answer = await ping('alpha');
    assert.deepEqual(
      answer.steps.map(({ what, ok }) => [what, ok]),
      [
        ['stream', true],
        ['call', true],
      ],
    );
    assert.equal(answer.from, '127.0.0.1');
    assert.match(answer.version, /^1\.102\.3/);
    t.diagnostic(answer.steps.map(({ what, roundTripMs }) => `${what} ${roundTripMs} ms`).join(', '));
  });

  test('reaches another one: by which path, and through WireGuard and the filter', async (t) => {
    await eventually('alpha has a direct path', 10_000, async () =>
      (await alpha.tell('ping', '--c', '3', 'beta')).includes('via 127.0.0.1'),
    );
    const answer = await ping('alpha', '--to', 'beta');
    assert.ok(answer.ok);
    const disco = stepOf(answer, 'disco');
    assert.deepEqual([disco?.path, disco?.via?.startsWith('127.0.0.1:')], ['direct', true]);
    t.diagnostic(answer.steps.map(({ what, roundTripMs }) => `${what} ${roundTripMs?.toFixed(1)} ms`).join(', '));
  });

  test('is hidden from another one by the policy, which is said at once', async () => {
    const before = tailnet.edit('policy.json5', NOBODY);
    await eventually('alpha forgets beta', 2_000, async () => !(await alpha.peer('beta')));
    const answer = await failing('alpha', '--to', 'beta');
    assert.deepEqual([stepOf(answer, 'stream')?.ok, stepOf(answer, 'disco')?.ok], [true, false]);
    assert.match(stepOf(answer, 'disco')?.problem ?? '', /policy does not show/);
    tailnet.edit('policy.json5', before);
    await seeEachOther([alpha, beta]);
  });

  test('is reached but for a ping, which the policy drops', async (t) => {
    // Beta may talk to alpha; so alpha knows of it, and beta lets nothing in.
    const grant = { src: [await beta.address()], dst: [await alpha.address()], ip: ['*'] };
    const before = tailnet.edit('policy.json5', JSON.stringify({ grants: [grant] }));
    await eventually('beta lets nothing in', 2_000, async () =>
      alpha.echoFrom(beta, 150).then(
        () => false,
        () => true,
      ),
    );
    const start = performance.now();
    const answer = await failing('alpha', '--to', 'beta');
    t.diagnostic(`said after ${Math.round(performance.now() - start)} ms`);
    assert.deepEqual([stepOf(answer, 'disco')?.ok, stepOf(answer, 'ICMP')?.ok], [true, false]);
    assert.match(stepOf(answer, 'ICMP')?.problem ?? '', /policy or the other machine/);
    tailnet.edit('policy.json5', before);
  });

  test('runs an older release than tailnet.json5 asks for, which `nodes show` and the client tell', async (t) => {
    assert.equal((await show('alpha')).update, null);
    tailnet.edit('tailnet.json5', tailnetFile('1.104.0'));
    const { value } = await eventually('the server knows the newer release', 2_000, async () => (await show('alpha')).update); // prettier-ignore
    assert.deepEqual(value, { release: '1.104.0', urgent: false });
    const hinted = await eventually('alpha says so', 2_000, async () =>
      ((await alpha.status()).Health ?? []).some((text) => text.includes('Tailscale 1.104.0 is available')),
    );
    t.diagnostic(`alpha says so ${Math.round(hinted.afterMs)} ms later`);
    tailnet.edit('tailnet.json5', tailnetFile('1.102.3'));
    await eventually('alpha is content', 2_000, async () => ((await alpha.status()).Health ?? []).every((text) => !text.includes('1.104.0'))); // prettier-ignore
  });

  test('complains, which `nodes show` tells, and one line of the log for each change', async (t) => {
    const lines = (what: string): number =>
      tailnet.server.task.log.split('\n').filter((line) => line.includes(what)).length;
    const complaint = async () => (await show('alpha')).health.find(({ warning }) => warning === COMPLAINT);
    assert.equal(await complaint(), undefined);
    await alpha.tell('set', ...BAD_IDEA);
    const { value } = await eventually('alpha complains', 10_000, complaint);
    t.diagnostic(value.text);
    const told = lines('client health');
    assert.equal(told, 1);
    await complaint();
    assert.equal(lines('client health'), told, 'told once');
    await alpha.tell('set', ...GOOD_IDEA);
    await eventually('alpha is well', 10_000, async () => (await complaint()) === undefined);
    assert.equal(lines('client health restored'), 1);
  });

  test('that is gone is not connected, with when it was last seen', async () => {
    await beta.tell('down');
    const answer = await eventually('beta is gone', 20_000, async () => {
      const found = await failing('beta');
      return found.from === null ? found : undefined;
    });
    assert.match(stepOf(answer.value, 'stream')?.problem ?? '', /not connected/);
    assert.ok(answer.value.lastSeen);
  });
});

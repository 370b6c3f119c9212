// Taildrive: a folder that one machine shares, read and written by another through the WebDAV server inside of its client, as
// far as a grant of the policy goes. The one that reads has a network device: its file manager would ask there.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import type { Client } from '../client.ts';
import { without } from '../installed.ts';
import { skip } from '../machine.ts';
import { NEAR, openPlace } from '../place.ts';
import type { Place } from '../place.ts';
import { seeEachOther, Tailnet } from '../tailnet.ts';
import { eventually } from '../task.ts';

const DOCS = 'http://100.100.100.100:8080/example.com/box/docs';
const SECRET = 'http://100.100.100.100:8080/example.com/box/secret';

/** `access` to the share `docs`, or no grant at all. */
const policy = (access: 'rw' | 'ro' | undefined, attr = ['drive:share', 'drive:access']): string =>
  JSON.stringify({
    grants: [
      { src: ['*'], dst: ['*'], ip: ['*'] },
      ...(access === undefined
        ? []
        : [{ src: ['autogroup:member'], dst: ['autogroup:member'], app: { 'tailscale.com/cap/drive': [{ shares: ['docs'], access }] } }]), // prettier-ignore
    ],
    nodeAttrs: [{ target: ['*'], attr }],
  });

describe('Taildrive', { skip: skip || without('curl', 'curl', 'Taildrive'), timeout: 90_000 }, () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tailplane-drive-'));
  let place: Place;
  let tailnet: Tailnet;
  let desk: Client;
  let box: Client;

  /** Status and body of a request to the WebDAV server of `desk`. */
  const ask = async (...args: readonly string[]): Promise<{ status: number; body: string }> => {
    const said = await place.run(
      10_000,
      'curl',
      '--silent',
      '--max-time',
      '8',
      '--write-out',
      '\n%{http_code}',
      ...args,
    );
    const at = said.lastIndexOf('\n');
    return { status: Number(said.slice(at + 1)), body: said.slice(0, at) };
  };
  const write = async (url: string, text: string): Promise<number> =>
    (await ask('--request', 'PUT', '--data-binary', text, url)).status;

  before(async () => {
    fs.mkdirSync(path.join(folder, 'docs'));
    fs.mkdirSync(path.join(folder, 'secret'));
    fs.writeFileSync(path.join(folder, 'docs', 'plan.txt'), 'the plan');
    fs.writeFileSync(path.join(folder, 'secret', 'diary.txt'), 'not for you');
    place = openPlace();
    tailnet = await Tailnet.start({ files: { 'policy.json5': policy('rw') }, host: NEAR });
    desk = await tailnet.client('desk', 'clear', place);
    await desk.tell(...tailnet.up(desk), '--netfilter-mode=off');
    [box] = (await tailnet.joined(['box'])) as [Client];
    await seeEachOther([desk, box]);
    await box.tell('drive', 'share', 'docs', path.join(folder, 'docs'));
    await box.tell('drive', 'share', 'secret', path.join(folder, 'secret'));
  });
  afterEach((t) => tailnet.note(t));
  after(async () => {
    // What serves a share is a process of its own, which would outlive its client for a while.
    for (const share of ['docs', 'secret']) await box?.say('drive', 'unshare', share);
    await tailnet?.stop();
    fs.rmSync(folder, { recursive: true, force: true });
  });

  test('files of a share are read and written where the grant says so', async (t) => {
    const { afterMs } = await eventually('the share is there', 15_000, async () => {
      assert.deepEqual(await ask(`${DOCS}/plan.txt`), { status: 200, body: 'the plan' });
      return true;
    });
    t.diagnostic(`after ${Math.round(afterMs)} ms`);
    assert.equal(await write(`${DOCS}/answer.txt`, 'agreed'), 201);
    assert.equal(fs.readFileSync(path.join(folder, 'docs', 'answer.txt'), 'utf8'), 'agreed');
    const list = await ask('--request', 'PROPFIND', '--header', 'Depth: 1', `${DOCS}/`);
    assert.equal(list.status, 207);
    assert.match(list.body, /answer\.txt/);
  });

  test('a share that no grant names is not there', async () => {
    const { status, body } = await ask(`${SECRET}/diary.txt`);
    assert.notEqual(status, 200);
    assert.doesNotMatch(body, /not for you/);
  });

  test('a grant to read refuses to write, as soon as it is pushed', async (t) => {
    tailnet.edit('policy.json5', policy('ro'));
    const { afterMs } = await eventually('writes are refused', 5_000, async () => {
      assert.equal(await write(`${DOCS}/late.txt`, 'too late'), 403);
      return true;
    });
    t.diagnostic(`after ${Math.round(afterMs)} ms`);
    assert.deepEqual(await ask(`${DOCS}/plan.txt`), { status: 200, body: 'the plan' });
    assert.notEqual((await ask('--request', 'DELETE', `${DOCS}/plan.txt`)).status, 204);
    assert.ok(fs.existsSync(path.join(folder, 'docs', 'plan.txt')));
  });

  test('without the grant there is nothing', async (t) => {
    tailnet.edit('policy.json5', policy(undefined));
    const { afterMs } = await eventually('the share is gone', 5_000, async () => {
      assert.notEqual((await ask(`${DOCS}/plan.txt`)).status, 200);
      return true;
    });
    t.diagnostic(`after ${Math.round(afterMs)} ms`);
  });

  test('without the attribute a machine can neither share nor look', async () => {
    tailnet.edit('policy.json5', policy('rw', ['magicdns-aaaa']));
    await eventually('sharing is off', 5_000, async () => {
      const { exitCode, text } = await box.say('drive', 'share', 'more', folder);
      return exitCode !== 0 && /not enabled|sharing/i.test(text);
    });
    // Nobody listens at that port any more.
    await assert.rejects(ask(`${DOCS}/plan.txt`));
  });
});

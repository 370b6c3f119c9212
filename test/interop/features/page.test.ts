// The page that `tailscale up` names when it has no key, in a real browser: what it tells and to whom, by keyboard and without
// script, light, dark and narrow; a wrong credential is refused, a right one lets the machine in; the same for a shell.
// TAILPLANE_PICTURES names a folder for pictures of every state.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { createToken } from '../../../src/identity/token.ts';
import { Browser, withoutBrowser } from '../browser.ts';
import type { Look } from '../browser.ts';
import type { Client } from '../client.ts';
import { skip } from '../machine.ts';
import { addAddress } from '../place.ts';
import { Shell } from '../shell.ts';
import { MEMBER, OWNER, seeEachOther, Tailnet } from '../tailnet.ts';
import { eventually } from '../task.ts';

/** Without TLS and not loopback, so what browsers do for safe origins alone doesn't help; private, so clients take it without. */
const HOST = '10.99.0.1';
const WIDE: Look = { width: 1280, height: 900, scheme: 'light' };
const LOOKS: Readonly<Record<string, Look>> = {
  light: WIDE,
  dark: { ...WIDE, scheme: 'dark' },
  narrow: { width: 360, height: 740, scheme: 'light' },
  'narrow-dark': { width: 360, height: 740, scheme: 'dark' },
};
const OTHER = 'carol@example.com';
const FILES = {
  'users.json5': `{ users: [{ login: '${OWNER}', role: 'owner' }, { login: '${MEMBER}' }, { login: '${OTHER}', name: 'Carol Castle' }] }\n`,
  'policy.json5': `{
    grants: [{ src: ['*'], dst: ['*'], ip: ['*'] }],
    ssh: [{ action: 'check', src: ['autogroup:member'], dst: ['autogroup:self'], users: ['root'] }],
  }\n`,
};
const pictures = process.env['TAILPLANE_PICTURES'];

/** In the page: the lowest contrast of any text against what is behind it, and the widest thing. */
const MEASURE = `(() => {
  const parts = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((c) => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = parts(getComputedStyle(at).backgroundColor);
      if (color[3] !== 0) return color;
    }
    return [255, 255, 255];
  };
  let least = { ratio: 99, text: '' };
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim() !== '');
    if (!own && element.tagName !== 'INPUT') continue;
    if (element.checkVisibility && !element.checkVisibility()) continue;
    const [a, b] = [light(parts(getComputedStyle(element).color)), light(behind(element))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < least.ratio) least = { ratio, text: element.innerText };
  }
  return { least, overflows: document.documentElement.scrollWidth > document.documentElement.clientWidth,
    lang: document.documentElement.lang, scripts: document.scripts.length, scheme: getComputedStyle(document.body).color };
})()`;

interface Measured {
  readonly least: { readonly ratio: number; readonly text: string };
  readonly overflows: boolean;
  readonly lang: string;
  readonly scripts: number;
}

describe('pages in a browser', { skip: skip || withoutBrowser(), timeout: 120_000 }, () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tailplane-page-'));
  let tailnet: Tailnet;
  let browser: Browser;
  const credentials: Record<string, string> = {};

  /** Makes a credential, and gives it as keys.json5 has it. */
  const declare = (owner: string): object => {
    const { text, id, sha256 } = createToken('api', randomBytes);
    credentials[owner] = text.reveal();
    return { id, hash: `sha256:${sha256}`, owner, scopes: ['logins', 'shells'] };
  };
  const stateOf = async (client: Client): Promise<string> => (await client.status()).BackendState;
  const begin = async (
    name: string,
    ...flags: string[]
  ): Promise<{ client: Client; url: string; said: Promise<string> }> => {
    const client = await tailnet.client(name);
    const all = ['--login-server', tailnet.server.url, '--hostname', name, '--timeout', '60s', ...flags];
    const said = client.say('up', ...all).then(({ text }) => text);
    const { value } = await eventually(
      `${name} has a URL`,
      10_000,
      async () => (await client.status()).AuthURL || undefined,
    );
    return { client, url: value, said };
  };
  /** Looks at the page as it stands in every light, and takes pictures if they are wanted. */
  const inspect = async (name: string): Promise<void> => {
    for (const [kind, look] of Object.entries(LOOKS)) {
      await browser.look(look);
      const { least, overflows, lang, scripts } = await browser.read<Measured>(MEASURE);
      assert.ok(least.ratio >= 4.5, `${name}, ${kind}: «${least.text}» has a contrast of ${least.ratio.toFixed(2)}`);
      assert.deepEqual([overflows, lang, scripts], [false, 'en', 0], `${name}, ${kind}`);
      if (pictures !== undefined) await browser.picture(path.join(pictures, `${name}-${kind}.png`));
    }
    await browser.look(WIDE);
    const roles = await browser.roles();
    for (const landmark of ['banner', 'main', 'contentinfo'])
      assert.equal(roles.filter(({ role }) => role === landmark).length, 1, `${name}: ${landmark}`);
    assert.deepEqual(
      roles.filter(({ role, name: label }) => /^(?:textbox|button|link|combobox)$/.test(role) && label === ''),
      [],
      `${name}: everything that can be used has a name`,
    );
  };
  const show = async (credential: string): Promise<void> => {
    await browser.tabTo('credential');
    await browser.type(credential);
    await browser.submit();
  };

  before(async () => {
    addAddress(HOST);
    const declared = [MEMBER, OTHER].map(declare);
    const keys = JSON.stringify({ apiCredentials: declared });
    [tailnet, browser] = await Promise.all([
      Tailnet.start({ host: HOST, files: { ...FILES, 'keys.json5': keys } }),
      Browser.start(path.join(folder, 'browser.log')),
    ]);
    const made = await tailnet.server.admin('credentials', 'create', '--user', OWNER, '--commit');
    credentials[OWNER] = (made as { key: string }).key;
    await eventually('the credentials count', 5_000, async () => ((await tailnet.server.admin('credentials', 'list')) as unknown[]).length === 3); // prettier-ignore
    // What follows is without script, from the first page to the last.
    await browser.allowScript(false);
  });
  afterEach((t) => tailnet.note(t));
  after(async () => {
    await browser?.stop();
    await tailnet?.stop();
    fs.rmSync(folder, { recursive: true, force: true });
  });

  test('a machine without a key is let in by an administrator, who says whose it is', async (t) => {
    const { client, url, said } = await begin('kiosk');
    await browser.open(url);
    assert.equal(await browser.read('document.title'), 'A machine wants to join example.com');
    const text = await browser.text();
    for (const part of ['kiosk', 'linux', '1.102.3', HOST, 'tailplane auth approve'])
      assert.ok(text.includes(part), part);
    const roles = await browser.roles();
    assert.ok(roles.some(({ role, name }) => role === 'heading' && name === 'A machine wants to join example.com'));
    assert.ok(roles.some(({ role, name }) => role === 'textbox' && name === 'Your credential'));
    await inspect('waiting');

    await browser.open(url);
    assert.deepEqual(await browser.tabTo('credential'), [], 'the field comes first');
    await browser.type(`${credentials[OWNER]}x`);
    await browser.submit();
    assert.match(await browser.text(), /This credential is not known here/);
    assert.ok((await browser.roles()).some(({ role }) => role === 'alert'));
    assert.equal(await browser.read('document.querySelector("#credential").value'), '');
    await inspect('refused');
    assert.equal(await stateOf(client), 'NeedsLogin');

    await show(credentials[OWNER] as string);
    assert.match(await browser.text(), /You are alice@example\.com \(owner\)/);
    assert.equal(await browser.read('location.href'), url, 'nothing in the address');
    assert.equal(await browser.read('document.cookie'), '', 'no script could read the cookie');
    await inspect('offer');
    // A reload asks again and sends nothing anew.
    await browser.open(url);
    assert.deepEqual(await browser.tabTo('person'), []);
    await browser.press('ArrowDown');
    assert.equal(await browser.read('document.querySelector("#person").value'), MEMBER);
    assert.deepEqual(await browser.tabTo('Let it in'), []);
    const decided = performance.now();
    await browser.submit();
    assert.match(await browser.text(), /Done\s+kiosk is part of the network now/);
    await eventually('kiosk runs', 10_000, async () => (await stateOf(client)) === 'Running');
    t.diagnostic(`runs ${Math.round(performance.now() - decided)} ms after the key was pressed`);
    await said;
    await inspect('done');
    const nodes = (await tailnet.server.admin('nodes', 'list')) as { name: string; user: string }[];
    assert.deepEqual(nodes.map(({ name, user }) => [name, user]), [['kiosk', MEMBER]]); // prettier-ignore

    const { log } = tailnet.server.task;
    for (const secret of Object.values(credentials)) assert.ok(!log.includes(secret.split('-').at(-1) as string), 'no secret in the log'); // prettier-ignore
    assert.match(log, /decided on a page/);
  });

  test('a member lets in a machine of their own; the link is over for a stranger', async () => {
    const { client, url, said } = await begin('pad');
    await browser.open(url);
    await show(credentials[MEMBER] as string);
    assert.match(await browser.text(), /You are bob@example\.com \(member\)/);
    assert.equal(await browser.read('document.querySelector("#person")'), null, 'no list of people');
    assert.deepEqual(await browser.tabTo('Let it in'), []);
    await browser.submit();
    await said;
    assert.equal(await stateOf(client), 'Running');

    await browser.open(`${tailnet.server.url}/register/${'a'.repeat(32)}`);
    assert.match(await browser.text(), /This link is over/);
    await inspect('over');
  });

  test('a machine is turned away', async () => {
    const { client, url, said } = await begin('stranger');
    await browser.open(url);
    await show(credentials[OWNER] as string);
    await browser.tabTo('Turn it away');
    await browser.submit();
    assert.match(await browser.text(), /Refused\s+stranger was turned away/);
    await said;
    assert.equal(await stateOf(client), 'NeedsLogin');
    await inspect('turned-away');
    await browser.open(tailnet.server.url);
    await inspect('front');
  });

  test('a shell is confirmed by the person whose machine opens it, and by no other member', async (t) => {
    const key = await tailnet.server.createKey({ user: MEMBER, reusable: true });
    const [laptop, box] = (await tailnet.joined(['laptop', 'box'], 'clear', key)) as [Client, Client];
    await box.tell('set', '--ssh');
    await seeEachOther([laptop, box]);
    const { value: shell } = await eventually('the shell asks for a confirmation', 15_000, async () => {
      const open = await Shell.open(laptop, box);
      await open.says('/ssh/check/', 5_000);
      return open;
    });
    const url = /http\S+\/ssh\/check\/\S+/.exec(shell.text)?.[0] as string;
    await browser.open(url);
    const text = await browser.text();
    for (const part of ['Is this you?', 'laptop.tail.example.com', 'box.tail.example.com', 'root', MEMBER]) assert.ok(text.includes(part), part); // prettier-ignore
    await show(credentials[OTHER] as string);
    assert.match(await browser.text(), /This is not yours to decide/);
    await show(credentials[MEMBER] as string);
    await inspect('shell');
    await browser.tabTo('It is me');
    const decided = performance.now();
    await browser.submit();
    assert.match(await browser.text(), /Done\s+The shell opens now/);
    assert.match((await shell.ended).text, /hello from root/);
    t.diagnostic(`open ${Math.round(performance.now() - decided)} ms after the key was pressed`);
  });
});

// The relay map that the server fetches: whatever its publisher does, clients keep the last good one.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { openPublicMap } from '../../src/server/public-map.ts';

const NOW_MS = 1_760_000_000_000;
const DAY_MS = 24 * 60 * 60_000;

const mapOf = (...ids: number[]): string =>
  JSON.stringify({
    Regions: Object.fromEntries(ids.map((id) => [id, { RegionID: id, RegionCode: `r${id}`, RegionName: 'R', NotKnownYet: 1, Nodes: [{ Name: `${id}a`, RegionID: id, HostName: 'derp.example.com' }] }])),
  }); // prettier-ignore

const until = async (what: string, isSo: () => boolean): Promise<void> => {
  for (let tries = 0; !isSo(); tries++) {
    assert.ok(tries < 500, what);
    await sleep(10);
  }
};

/** A publisher that answers what it is told, and a server's side of it. */
const stage = async (t: TestContext) => {
  const publisher = { answer: (response: http.ServerResponse): void => void response.end(mapOf(1, 2)), asked: 0 };
  const server = http.createServer((_, response) => {
    publisher.asked++;
    publisher.answer(response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const dataFolder = fs.mkdtempSync(path.join(os.tmpdir(), 'public-map-'));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/derpmap`;
  t.after(() => {
    server.closeAllConnections();
    server.close();
    fs.rmSync(dataFolder, { recursive: true });
  });
  const open = (nowMs = NOW_MS) => {
    const offered: string[] = [];
    const reasons: unknown[] = [];
    const map = openPublicMap({
      dataFolder,
      now: () => nowMs,
      onRegions: (regions) => offered.push(regions.map(({ code }) => code).join(' ')),
      note: (_, event, { reason }) => reasons.push(reason ?? event),
      retryMs: [1, 20],
    });
    t.after(() => map.close());
    map.follow(url);
    return { map, offered, reasons };
  };
  return { publisher, open, url };
};

test('a map is fetched once, kept over a restart for a day, and gone when nothing names it any more', async (t) => {
  const { publisher, open } = await stage(t);
  const first = open();
  await until('the map is offered', () => first.offered.length > 0);
  first.map.close();
  const second = open(NOW_MS + DAY_MS / 2);
  assert.deepEqual(second.offered, ['r1 r2'], 'from disk, at once');
  await sleep(50);
  assert.equal(publisher.asked, 1);
  second.map.follow('http://127.0.0.1:1/another');
  assert.deepEqual(second.offered, ['r1 r2', '']);
  second.map.close();

  publisher.answer = (response) => void response.end(mapOf(1, 3));
  const third = open(NOW_MS + 2 * DAY_MS);
  await until('the new map is offered', () => third.offered.length === 2);
  assert.deepEqual(third.offered, ['r1 r2', 'r1 r3']);
  third.map.follow(undefined);
  assert.equal(third.offered.at(-1), '');
});

const REFUSED: readonly [string, (response: http.ServerResponse) => void, RegExp][] = [
  ['an error', (response) => void response.writeHead(429, { 'retry-after': '5' }).end(), /HTTP 429/],
  ['a page', (response) => void response.end('<html>'), /no relay map/],
  ['a map without servers', (response) => void response.end(mapOf(1).replace(/"Nodes":\[.*\]/, '"Nodes":[]')), /no relay map: `Nodes` is empty/], // prettier-ignore
  ['another place', (response) => void response.writeHead(302, { location: '/elsewhere' }).end(), /fetch failed/],
  ['too much', (response) => void response.end(`${' '.repeat(1 << 20)}${mapOf(1)}`), /more than 1048576 bytes/],
  ['half of it', (response) => void response.writeHead(200, { 'content-length': '500' }).write('{', () => response.destroy()), /terminated/], // prettier-ignore
];

for (const [what, answer, reason] of REFUSED) {
  test(`a publisher that answers with ${what} is asked again later, and the last good map stays`, async (t) => {
    const { publisher, open } = await stage(t);
    const before = open();
    await until('the first map is offered', () => before.offered.length > 0);
    before.map.close();
    publisher.answer = answer;
    const { offered, reasons } = open(NOW_MS + 2 * DAY_MS);
    await until('two tries fail', () => reasons.length >= 2);
    assert.match(String(reasons[0]), reason);
    assert.deepEqual(offered, ['r1 r2']);
    publisher.answer = (response) => void response.end(mapOf(4));
    await until('the next good map is taken', () => offered.at(-1) === 'r4');
  });
}

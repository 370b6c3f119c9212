// The order of routers on disk: what is written is read, soon after a change and at the stop; anything else is no order.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import type { Prefix } from '../../src/base/address.ts';
import type { NodeId } from '../../src/base/ids.ts';
import type { RouterOrder } from '../../src/netmap/life.ts';
import { openRouterOrder, readRouterOrder } from '../../src/server/router-order.ts';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tailplane-routers-'));
after(() => fs.rmSync(folder, { recursive: true }));
const file = path.join(folder, 'routers.json');

test('the order of routers is kept on disk', () => {
  assert.deepEqual(readRouterOrder(folder), new Map());
  const order: RouterOrder = new Map([
    [
      7 as NodeId,
      new Map([
        ['10.0.0.0/8' as Prefix, 3],
        ['fd00::/64' as Prefix, 5],
      ]),
    ],
    [8 as NodeId, new Map([['10.0.0.0/8' as Prefix, 4]])],
  ]);
  const faults: unknown[] = [];
  const kept = openRouterOrder(
    folder,
    () => order,
    (fault) => faults.push(fault),
  );
  kept.close();
  assert.equal(fs.existsSync(file), false, 'nothing was pending');
  kept.touch();
  kept.touch();
  kept.close();
  assert.deepEqual(readRouterOrder(folder), order);
  assert.equal(fs.statSync(file).mode & 0o777, 0o600);

  const odd = '{"7":{"10.0.0.0/8":3,"10.0.0.1/8":4,"fd00::/64":-1,"fd01::/64":"5"},"8":{}}';
  fs.writeFileSync(file, odd);
  assert.deepEqual(
    readRouterOrder(folder),
    new Map([
      [7, new Map([['10.0.0.0/8', 3]])],
      [8, new Map()],
    ]),
  );
  for (const damaged of ['', '{', '[1]', '{"x":{}}', '{"-1":{}}', '{"7":null}', 'null']) {
    fs.writeFileSync(file, damaged);
    assert.deepEqual(readRouterOrder(folder), new Map(), damaged);
  }

  const nowhere = openRouterOrder(
    path.join(file, 'below'),
    () => order,
    (fault) => faults.push(fault),
  );
  nowhere.touch();
  nowhere.close();
  assert.equal(faults.length, 1);
});

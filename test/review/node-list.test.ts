// The list of machines for reviews: what policy looks at and nothing secret, so that it may lie in a repository or a CI cache.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { parseAddress, parsePrefix, type Address, type Prefix } from '../../src/base/address.ts';
import { parseNodeId, stableIdOf, type Login, type Tag } from '../../src/base/ids.ts';
import { formatNodeList, parseNodeList } from '../../src/review/node-list.ts';
import type { RegisteredNode } from '../../src/snapshot/resolve.ts';

const id = parseNodeId(7);
const ROUTE = parsePrefix('10.20.0.0/16') as Prefix;

/** As the registry has it, with everything that a client sends and a server keeps. */
const node: RegisteredNode & Readonly<Record<string, unknown>> = {
  id,
  stableId: stableIdOf(id),
  name: 'router',
  login: null as Login | null,
  tags: ['tag:router'] as readonly string[] as readonly Tag[],
  addresses: ['100.64.0.7', 'fd7a:115c:a1e0::7'].map((text) => parseAddress(text) as Address),
  hostinfo: {
    OS: 'linux',
    OSVersion: '6.1',
    IPNVersion: '1.102.3-t0123456',
    RoutableIPs: [ROUTE],
    Hostname: 'secret-hostname',
    BackendLogID: 'secret-log-id',
    PushDeviceToken: 'secret-push-token',
    sshHostKeys: ['ssh-ed25519 secret-host-key'],
  },
  attributes: { 'custom:tier': { value: 'prod' } },
  approvedRoutes: [ROUTE],
  createdMs: Date.parse('2026-01-02T03:04:05Z'),
  authorized: true,
  machineKey: 'mkey:secret',
  nodeKey: 'nodekey:secret',
  discoKey: 'discokey:secret',
  endpoints: ['203.0.113.9:41641'],
  authKey: 'tskey-auth-secret',
};

const list = formatNodeList([node]);
const text = JSON.stringify(list);

test('nothing secret is in it, and no way to the machine', () => {
  assert.doesNotMatch(text, /secret|key|203\.0\.113\.9/i);
});

test('it has the form of its schema, and reads as what it was', () => {
  const schema = path.join(import.meta.dirname, '../../schemas/node-list.schema.json');
  const validate = new Ajv2020({ allErrors: true, strict: false, validateFormats: false }).compile(
    JSON.parse(fs.readFileSync(schema, 'utf8')) as object,
  );
  assert.ok(validate(JSON.parse(text)), JSON.stringify(validate.errors));
  const read = parseNodeList(text);
  assert.ok(read.ok);
  assert.deepEqual(formatNodeList(read.value), list);
});

// What clients are sent: bytes of frames against the vectors, and the rules on absence.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { zstdDecompressSync } from 'node:zlib';
import { formatHex, utf8 } from '../../src/base/bytes.ts';
import type { NodeId } from '../../src/base/ids.ts';
import { NEWEST_VERSION, releaseOf, understandsIncrementalPeers } from '../../src/wire/capability.ts';
import { encodeMessage, encodeRawFrame, KEEP_ALIVE } from '../../src/wire/framing.ts';
import { formatNode, formatPeerChange } from '../../src/wire/node.ts';
import type { Node } from '../../src/wire/node.ts';

test('the keep-alive is the constant that clients compare by', () => {
  assert.equal(formatHex(KEEP_ALIVE), '1b00000028b52ffd20129100007b224b656570416c697665223a747275657d');
});

test('a raw frame of any size decodes to its content', () => {
  for (const size of [0, 1, 255, 256, 257, 65535, 65791, 65792, 131072, 131073, 300_000]) {
    const content = new Uint8Array(size).map((_, i) => i % 251);
    assert.deepEqual(new Uint8Array(zstdDecompressSync(encodeRawFrame(content))), content, `${size} bytes`);
  }
});

test('a message counts the bytes of its frames, least significant byte first', () => {
  const frame = encodeRawFrame(utf8('{}'));
  const message = encodeMessage(frame, frame);
  assert.deepEqual([...message.subarray(0, 4)], [2 * frame.length, 0, 0, 0]);
});

const NODE: Node = {
  ID: 1,
  StableID: 'n1TP',
  Name: 'web.tail.example.com.',
  User: 7,
  Key: `nodekey:${'ab'.repeat(32)}`,
  Addresses: ['100.64.0.1/32'],
  AllowedIPs: [],
  Endpoints: [],
  HomeDERP: 0,
  Hostinfo: {},
  createdMs: 0,
  Cap: 0,
  Tags: [],
  PrimaryRoutes: [],
  Online: false,
  MachineAuthorized: false,
  CapMap: {},
  Expired: false,
} as unknown as Node;

test('a node leaves out what is zero, and keeps lists that mean something when they are empty', () => {
  assert.deepEqual(JSON.parse(formatNode(NODE)), {
    ID: 1,
    StableID: 'n1TP',
    Name: 'web.tail.example.com.',
    User: 7,
    Key: `nodekey:${'ab'.repeat(32)}`,
    Addresses: ['100.64.0.1/32'],
    AllowedIPs: [],
    Endpoints: [],
    Hostinfo: {},
    Created: '1970-01-01T00:00:00.000Z',
    Online: false,
  });
});

test('a home region is written for old clients too', () => {
  const node = JSON.parse(formatNode({ ...NODE, HomeDERP: 999, Online: true, lastSeenMs: 1000, keyExpiryMs: 2000 })) as Record<string, unknown>; // prettier-ignore
  assert.equal(node['DERP'], '127.3.3.40:999');
  assert.equal(node['HomeDERP'], 999);
  assert.equal(node['LastSeen'], '1970-01-01T00:00:01.000Z');
  assert.equal(node['KeyExpiry'], '1970-01-01T00:00:02.000Z');
});

test('a patch has what changed and nothing else; null ends an expiry, an empty list clears', () => {
  const NodeID = 5 as NodeId;
  assert.equal(formatPeerChange({ NodeID, Endpoints: [] }), '{"NodeID":5,"Endpoints":[]}');
  assert.equal(formatPeerChange({ NodeID, Online: false, lastSeenMs: 0 }), '{"NodeID":5,"Online":false,"LastSeen":"1970-01-01T00:00:00.000Z"}'); // prettier-ignore
  assert.equal(formatPeerChange({ NodeID, keyExpiryMs: null }), '{"NodeID":5,"KeyExpiry":"0001-01-01T00:00:00Z"}');
});

test('versions belong to releases', () => {
  assert.equal(releaseOf(NEWEST_VERSION), '1.102');
  assert.equal(releaseOf(124), '1.86');
  assert.equal(releaseOf(90), undefined);
  assert.equal(understandsIncrementalPeers(138), false);
  assert.equal(understandsIncrementalPeers(141), true);
});

// Requests as clients write them: what is taken over, what counts as absent, and what is refused.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { utf8 } from '../../src/base/bytes.ts';
import {
  decodeAuditLogRequest,
  decodeFeatureRequest,
  decodeHealthChangeRequest,
  decodeRecordingFailure,
  decodeSetDeviceAttributesRequest,
  decodeSetDnsRequest,
  decodeTokenRequest,
} from '../../src/wire/errand.ts';
import { decodeHostinfo, homeRegionOf, peerHostinfoOf } from '../../src/wire/hostinfo.ts';
import { decodeMapRequest } from '../../src/wire/map.ts';
import { MAX_MESSAGE_BYTES, parseAddrPort, parseTime } from '../../src/wire/reading.ts';
import { decodeRegisterRequest } from '../../src/wire/register.ts';

const KEY = `nodekey:${'ab'.repeat(32)}`;
const ZERO_KEY = `nodekey:${'00'.repeat(32)}`;
const ZERO_NL = `nlpub:${'00'.repeat(32)}`;

const encode = (value: unknown): Uint8Array => utf8(JSON.stringify(value));

test('a registration as v1.102 writes it: zero keys, the zero time and empty texts are absent', () => {
  const decoded = decodeRegisterRequest(
    encode({
      Version: 142,
      NodeKey: KEY,
      OldNodeKey: ZERO_KEY,
      NLKey: ZERO_NL,
      Auth: { AuthKey: 'tpkey-auth-1-secret' },
      Expiry: '0001-01-01T00:00:00Z',
      Followup: '',
      Hostinfo: { OS: 'linux', Hostname: 'web', NetInfo: { PreferredDERP: 5 } },
      NodeKeySignature: null,
      SomethingNew: { a: 1 },
    }),
  );
  assert.deepEqual(decoded, {
    ok: true,
    value: {
      Version: 142,
      NodeKey: KEY,
      Ephemeral: false,
      authKey: 'tpkey-auth-1-secret',
      Hostinfo: { OS: 'linux', Hostname: 'web', NetInfo: { PreferredDERP: 5 } },
    },
  });
});

test('a logout carries a time in the past, with any zone', () => {
  for (const Expiry of ['1970-01-01T00:02:03Z', '1970-01-01T08:02:03+08:00', '1970-01-01T00:02:03.000000001Z']) {
    const decoded = decodeRegisterRequest(encode({ Version: 142, NodeKey: KEY, Expiry }));
    assert.equal(decoded.ok && decoded.value.expiryMs, 123_000, Expiry);
  }
});

test('a map request: endpoints with a zone and malformed ones are dropped, the rest keeps its order', () => {
  const decoded = decodeMapRequest(
    encode({
      Version: 142,
      Compress: 'zstd',
      KeepAlive: true,
      NodeKey: KEY.toUpperCase().replace('NODEKEY', 'nodekey'),
      DiscoKey: `discokey:${'cd'.repeat(32)}`,
      Stream: true,
      Hostinfo: null,
      Endpoints: ['192.0.2.1:41641', '[fe80::1%eth0]:41641', '[2001:DB8::1]:41641', 'nonsense', 7, '192.0.2.1:99999'],
      EndpointTypes: [1, 1, 2],
      TKAHead: '',
    }),
  );
  assert.deepEqual(decoded, {
    ok: true,
    value: {
      Version: 142,
      Compress: 'zstd',
      KeepAlive: true,
      NodeKey: KEY,
      DiscoKey: `discokey:${'cd'.repeat(32)}`,
      Stream: true,
      OmitPeers: false,
      ReadOnly: false,
      Endpoints: ['192.0.2.1:41641', '[2001:db8::1]:41641'],
    },
  });
});

test('what names no node, is no object or is too large is refused with a constant answer', () => {
  const deep = `{"NodeKey":"${KEY}","Hostinfo":${'['.repeat(40)}${']'.repeat(40)}}`;
  const cases: [string, Uint8Array, string][] = [
    ['no key', encode({ Version: 142 }), 'wire/malformed'],
    ['a zero key', encode({ Version: 142, NodeKey: ZERO_KEY }), 'wire/malformed'],
    ['another kind of key', encode({ NodeKey: KEY.replace('node', 'disco') }), 'wire/malformed'],
    ['a list', encode([KEY]), 'wire/malformed'],
    ['nothing', new Uint8Array(0), 'wire/malformed'],
    ['not UTF-8', Uint8Array.of(0x7b, 0xff, 0x7d), 'wire/malformed'],
    ['too deep', utf8(deep), 'wire/malformed'],
    ['too large', new Uint8Array(MAX_MESSAGE_BYTES + 1).fill(0x20), 'wire/too-large'],
  ];
  for (const [name, bytes, code] of cases) {
    for (const decode of [decodeRegisterRequest, decodeMapRequest]) {
      const decoded = decode(bytes);
      assert.equal(decoded.ok, false, name);
      assert.equal(!decoded.ok && decoded.code, code, name);
    }
  }
});

test('no bytes make a decoder throw', () => {
  const decoders = [
    decodeRegisterRequest,
    decodeMapRequest,
    decodeSetDnsRequest,
    decodeTokenRequest,
    decodeFeatureRequest,
    decodeAuditLogRequest,
    decodeSetDeviceAttributesRequest,
    decodeHealthChangeRequest,
    decodeRecordingFailure,
  ];
  const field = fc.constantFrom('Version', 'Auth', 'Hostinfo', 'Endpoints', 'Expiry', 'Update', 'Name', '__proto__');
  const document = fc.dictionary(field, fc.jsonValue()).map((fields) => encode({ NodeKey: KEY, ...fields }));
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), document), (bytes) => {
      for (const decode of decoders) assert.equal(typeof decode(bytes).ok, 'boolean');
    }),
    { numRuns: 300 },
  );
});

test('Hostinfo is kept as received, known fields of another type aside', () => {
  assert.deepEqual(
    decodeHostinfo({
      OS: 'linux',
      Hostname: 7,
      ShieldsUp: 'yes',
      RoutableIPs: ['10.0.0.1/8', 'x', '::/0'],
      RequestTags: ['tag:web', 'web'],
      Services: [{ Proto: 'peerapi4', Port: 1234 }, { Proto: 'tcp', Port: -1 }, 'x'],
      Location: { City: 'Oslo', Latitude: 'north' },
      FutureField: { a: [1, null] },
      Cloud: null,
    }),
    {
      OS: 'linux',
      RoutableIPs: ['10.0.0.0/8', '::/0'],
      RequestTags: ['tag:web'],
      Services: [{ Proto: 'peerapi4', Port: 1234 }],
      Location: { City: 'Oslo' },
      FutureField: { a: [1, null] },
    },
  );
  assert.equal(decodeHostinfo({ Junk: 'x'.repeat(70_000) }), undefined);
  assert.equal(decodeHostinfo('linux'), undefined);
});

test('decoding Hostinfo again changes nothing, so that a stored one reads as it was', () => {
  fc.assert(
    fc.property(
      fc.dictionary(fc.constantFrom('OS', 'RoutableIPs', 'Services', 'NetInfo', 'X'), fc.jsonValue()),
      (value) => {
        const once = decodeHostinfo(value);
        assert.deepEqual(decodeHostinfo(once), once);
      },
    ),
    { numRuns: 200 },
  );
});

test('the home region is a positive number or unknown', () => {
  const home = (PreferredDERP: unknown): number => homeRegionOf(decodeHostinfo({ NetInfo: { PreferredDERP } }));
  assert.deepEqual([5, 0, -1, 'x', 1.5, 70_000].map(home), [5, 0, 0, 0, 0, 0]);
  assert.equal(homeRegionOf(undefined), 0);
});

test('peers are shown few fields, and no secrets of the device', () => {
  const shown = peerHostinfoOf(
    decodeHostinfo({
      OS: 'iOS',
      OSVersion: '19.1',
      Hostname: 'phone',
      BackendLogID: 'log',
      PushDeviceToken: 'token',
      NetInfo: { PreferredDERP: 1 },
      Services: [
        { Proto: 'peerapi4', Port: 1, Description: 'x' },
        { Proto: 'tcp', Port: 22 },
      ],
      sshHostKeys: ['ssh-ed25519 AAAA'],
      RoutableIPs: ['10.0.0.0/8'],
      AppConnector: false,
    }),
  );
  assert.deepEqual(shown, {
    OS: 'iOS',
    Hostname: 'phone',
    Services: [{ Proto: 'peerapi4', Port: 1 }],
    sshHostKeys: ['ssh-ed25519 AAAA'],
  });
});

test('addresses with ports and times in every form that Go writes', () => {
  assert.equal(parseAddrPort('[::ffff:192.0.2.1]:80'), '192.0.2.1:80');
  assert.equal(parseAddrPort('192.0.2.1'), undefined);
  assert.equal(parseTime('0001-01-01T00:00:00Z'), undefined);
  assert.equal(parseTime(''), undefined);
  assert.equal(parseTime('2026-01-01 00:00:00Z'), undefined);
  assert.equal(parseTime('2026-01-01T00:00:00.123456789Z'), Date.UTC(2026, 0, 1, 0, 0, 0, 123));
});

test('posture attributes keep null, which unsets, and drop what is no plain value', () => {
  const decoded = decodeSetDeviceAttributesRequest(
    encode({ NodeKey: KEY, Update: { 'custom:a': 'x', 'custom:b': null, 'custom:c': [1], 'custom:d': 3 } }),
  );
  assert.deepEqual(decoded.ok && [...decoded.value.Update], [
    ['custom:a', 'x'],
    ['custom:b', null],
    ['custom:d', 3],
  ]);
});

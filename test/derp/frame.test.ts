// Frames: the vectors of two other implementations, and the law that how bytes are cut into chunks never matters.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { formatHex, parseHex } from '../../src/base/bytes.ts';
import {
  createFrameReader,
  encodeForwardHead,
  encodeFrame,
  encodeHealth,
  encodePeerGone,
  encodePeerPresent,
  encodePong,
  encodeRestarting,
  encodeServerKey,
  FRAME,
  GONE,
  HEADER_BYTES,
  KEEP_ALIVE,
  KEY_BYTES,
  looksLikeDisco,
  NEXT,
  PAUSE,
  PAYLOAD_BYTES,
  STOP,
  turnForwardedIntoReceived,
  turnIntoReceived,
} from '../../src/derp/frame.ts';

const bytes = (hex: string): Uint8Array => parseHex(hex.replaceAll(' ', '')) as Uint8Array;

const CLIENT = '493e82fc74464a59268817623d2053c5eb8e2cc4a988b4fee179ec6b010d531d';
const SERVER = '605a725d2a4adfeeb1a29e17edd621c1b7593ee8cdbc44ac6c4ab6e2f805d23c';

const FRAMES: readonly [name: string, frame: Uint8Array, hex: string][] = [
  ['ServerKey', encodeServerKey(bytes(SERVER)), `01 00000028 44455250f09f9491 ${SERVER}`],
  ['KeepAlive', KEEP_ALIVE, '06 00000000'],
  ['PeerGone', encodePeerGone(bytes(CLIENT), GONE.notHere), `08 00000021 ${CLIENT} 01`],
  [
    'PeerPresent',
    encodePeerPresent(bytes(CLIENT), bytes('00000000000000000000ffffcb007105'), 41641, 9),
    `09 00000033 ${CLIENT} 00000000000000000000ffffcb007105 a2a9 09`,
  ],
  ['Pong', encodePong(bytes('0102030405060708')), '13 00000008 0102030405060708'],
  ['Health', encodeHealth('é'), '14 00000002 c3a9'],
  ['Restarting', encodeRestarting(1_000, 65_536), '15 00000008 000003e8 00010000'],
  ['head of ForwardPacket', encodeForwardHead(bytes(CLIENT), bytes(SERVER), 256), `0a 00000140 ${CLIENT} ${SERVER}`],
];

for (const [name, frame, hex] of FRAMES) {
  test(`${name} is encoded as on the wire`, () => assert.equal(formatHex(frame), hex.replaceAll(' ', '')));
}

test('a packet becomes what its receiver gets without being moved', () => {
  const sent = Buffer.from(encodeFrame(FRAME.sendPacket, bytes(SERVER), bytes('c0ffee')));
  turnIntoReceived(sent, 0, bytes(CLIENT));
  assert.equal(formatHex(sent), `0500000023${CLIENT}c0ffee`);

  const forwarded = Buffer.from(encodeFrame(FRAME.forwardPacket, bytes(CLIENT), bytes(SERVER), bytes('c0ffee')));
  const start = turnForwardedIntoReceived(forwarded, 0, forwarded.length);
  assert.equal(formatHex(forwarded.subarray(start)), `0500000023${CLIENT}c0ffee`);
});

test('path discovery is told by its first bytes and its least size', () => {
  const disco = Buffer.concat([bytes('5453f09f92ac'), Buffer.alloc(56)]);
  assert.equal(looksLikeDisco(disco, 0, disco.length), true);
  assert.equal(looksLikeDisco(disco, 0, disco.length - 1), false);
  disco[5] = 0;
  assert.equal(looksLikeDisco(disco, 0, disco.length), false);
});

const KNOWN_TYPES = Object.keys(PAYLOAD_BYTES).map(Number);

const anyFrame = fc.constantFrom(...KNOWN_TYPES, 0x42).chain((type) => {
  const { least, most } = PAYLOAD_BYTES[type] ?? { least: 0, most: 300 };
  return fc
    .uint8Array({ minLength: least, maxLength: Math.min(most, least + 300) })
    .map((payload) => encodeFrame(type, payload));
});

/** Reads a stream cut at the given places; after each frame that `pauses` names, the reader pauses and is resumed later. */
const readCut = (stream: Buffer, cuts: readonly number[], pauses: (count: number) => boolean): string[] => {
  const seen: string[] = [];
  const reader = createFrameReader((type, chunk, at, end) => {
    assert.equal(type, chunk[at]);
    seen.push(formatHex(chunk.subarray(at, end)));
    return pauses(seen.length) ? PAUSE : NEXT;
  });
  const places = [0, ...cuts.map((cut) => cut % (stream.length + 1)).toSorted((a, b) => a - b), stream.length];
  for (let i = 1; i < places.length; i++) {
    assert.equal(reader.read(Buffer.from(stream.subarray(places[i - 1], places[i]))), true);
    if (i % 3 === 0) while (reader.isPaused()) assert.equal(reader.resume(), true);
  }
  while (reader.isPaused()) assert.equal(reader.resume(), true);
  return seen;
};

test('frames are the same however the stream is cut, and unknown types are skipped', () => {
  fc.assert(
    fc.property(
      fc.array(anyFrame, { maxLength: 12 }),
      fc.array(fc.nat(), { maxLength: 40 }),
      fc.integer({ min: 2, max: 5 }),
      (frames, cuts, every) => {
        const expected = frames.filter((frame) => PAYLOAD_BYTES[frame[0] as number]).map(formatHex);
        const stream = Buffer.concat(frames);
        assert.deepEqual(
          readCut(stream, cuts, () => false),
          expected,
        );
        assert.deepEqual(
          readCut(stream, cuts, (count) => count % every === 0),
          expected,
        );
      },
    ),
    { numRuns: 300 },
  );
});

test('a frame too large, too small or too strange ends the reading before its payload comes', () => {
  const header = (type: number, length: number): Buffer => {
    const frame = Buffer.alloc(HEADER_BYTES);
    frame[0] = type;
    frame.writeUInt32BE(length, 1);
    return frame;
  };
  const wrong: [type: number, length: number][] = [
    [FRAME.sendPacket, KEY_BYTES - 1],
    [FRAME.sendPacket, KEY_BYTES + 65_537],
    [FRAME.forwardPacket, 2 * KEY_BYTES + 65_537],
    [FRAME.notePreferred, 2],
    [FRAME.watchConns, 1],
    [FRAME.ping, 7],
    [FRAME.ping, 1001],
    [FRAME.clientInfo, 20_000],
    [0x7f, 1 << 21],
    [0x7f, 0xffffffff],
  ];
  for (const [type, length] of wrong) {
    const whole = createFrameReader(() => NEXT);
    assert.equal(whole.read(header(type, length)), false, `type ${type}, ${length} bytes`);
    const cut = createFrameReader(() => NEXT);
    assert.equal(cut.read(header(type, length).subarray(0, 2)), true);
    assert.equal(cut.read(header(type, length).subarray(2)), false);
  }
});

test('no bytes make the reader throw, and it holds no more than came', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 10 }), (chunks) => {
      const reader = createFrameReader((type) => (type === FRAME.closePeer ? STOP : NEXT));
      for (const chunk of chunks) if (!reader.read(Buffer.from(chunk))) break;
    }),
    { numRuns: 500 },
  );
  const reader = createFrameReader(() => NEXT);
  const before = process.memoryUsage().arrayBuffers;
  const announced = Buffer.from(encodeFrame(FRAME.sendPacket, new Uint8Array(KEY_BYTES)));
  announced.writeUInt32BE(KEY_BYTES + 65_536, 1);
  reader.read(announced);
  assert.ok(process.memoryUsage().arrayBuffers - before < 8_192, 'an announcement alone reserves nothing');
});

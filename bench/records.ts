// What one handshake and one record cost, in the native backend and in the reference. The figures of
// docs/decisions/0004-record-path.md come from here.

import { randomBytes } from 'node:crypto';
import { performance } from 'node:perf_hooks';

import type { Crypto } from '../src/keys/crypto.ts';
import { nobleCrypto } from '../src/keys/noble.ts';
import { nativeCrypto } from '../src/keys/native.ts';
import { makeKeyPair } from '../src/keys/pair.ts';
import { initiate, respond } from '../src/noise/handshake.ts';
import { recordDecoder, recordEncoder } from '../src/noise/record.ts';

/** Microseconds of one run, as the best of five rounds. */
const microseconds = (rounds: number, run: () => void): number => {
  let best = Infinity;
  for (let round = 0; round < 5; round++) {
    const startMs = performance.now();
    for (let i = 0; i < rounds; i++) run();
    best = Math.min(best, (performance.now() - startMs) / rounds);
  }
  return best * 1000;
};

const handshakeCost = (crypto: Crypto): number => {
  const server = makeKeyPair(crypto, randomBytes(32));
  const machine = makeKeyPair(crypto, randomBytes(32));
  const { message } = initiate(crypto, machine, makeKeyPair(crypto, randomBytes(32)), server.publicKey, 142);
  return microseconds(50, () => {
    if (!respond(crypto, server, makeKeyPair(crypto, randomBytes(32)), message)) throw new Error('no handshake');
  });
};

const writeCost = (crypto: Crypto, sizeBytes: number): number => {
  const encode = recordEncoder(crypto, randomBytes(32));
  const part = new Uint8Array(sizeBytes);
  return microseconds(Math.ceil(400_000 / (sizeBytes + 4000)), () => void encode([part]));
};

const readCost = (crypto: Crypto, sizeBytes: number): number => {
  const key = randomBytes(32);
  const encode = recordEncoder(crypto, key);
  const rounds = Math.ceil(400_000 / (sizeBytes + 4000));
  const wires = Array.from({ length: 5 * rounds }, () => encode([new Uint8Array(sizeBytes)]));
  const decoder = recordDecoder(crypto, key);
  let next = 0;
  return microseconds(rounds, () => {
    if (!decoder.push(wires[next++] as Uint8Array, () => {})) throw new Error('not the next record');
  });
};

const row = (name: string, cost: (crypto: Crypto) => number): Record<string, string> => {
  const native = cost(nativeCrypto);
  const noble = cost(nobleCrypto);
  return {
    what: name,
    'native µs': native.toFixed(1),
    'noble µs': noble.toFixed(1),
    ratio: (noble / native).toFixed(1),
  };
};

console.table([
  row('answer a handshake', handshakeCost),
  row('write 40 bytes', (crypto) => writeCost(crypto, 40)),
  row('write 300 bytes', (crypto) => writeCost(crypto, 300)),
  row('write one full record', (crypto) => writeCost(crypto, 4077)),
  row('write 128 KiB', (crypto) => writeCost(crypto, 128 << 10)),
  row('read 300 bytes', (crypto) => readCost(crypto, 300)),
  row('read one full record', (crypto) => readCost(crypto, 4077)),
  row('read 128 KiB', (crypto) => readCost(crypto, 128 << 10)),
]);

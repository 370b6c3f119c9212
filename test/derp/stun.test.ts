// STUN: the vectors of section 15.5 of the protocol notes, and a server on both families.

import assert from 'node:assert/strict';
import dgram from 'node:dgram';
import { once } from 'node:events';
import { test } from 'node:test';

import { parseAddressBits, type AddressBits } from '../../src/base/address.ts';
import { startStunServer } from '../../src/derp/stun-server.ts';
import { encodeStunResponse, isStunRequest } from '../../src/derp/stun.ts';

const REQUEST = Buffer.from('000100142112a442000102030405060708090a0b802200087461696c6e6f6465802800048aabad90', 'hex');

test('requests of clients are known, others are not', () => {
  assert.equal(isStunRequest(REQUEST), true);
  for (let at = 0; at < REQUEST.length; at++) {
    const changed = Buffer.from(REQUEST);
    changed[at] = (changed[at] as number) ^ 1;
    assert.equal(isStunRequest(changed), false, `byte ${at}`);
  }
  assert.equal(isStunRequest(REQUEST.subarray(0, 39)), false);
  assert.equal(isStunRequest(Buffer.concat([REQUEST, Buffer.alloc(1)])), false);
});

test('responses hold the address under the mask', () => {
  const responses = {
    '203.0.113.5': '0101000c2112a442000102030405060708090a0b00200008000183bbea12d547',
    '2001:db8::5': '010100182112a442000102030405060708090a0b00200014000283bb0113a9fa000102030405060708090a0e',
  };
  for (const [address, hex] of Object.entries(responses)) {
    const response = encodeStunResponse(REQUEST, parseAddressBits(address) as AddressBits, 41_641);
    assert.equal(response.toString('hex'), hex);
  }
});

for (const [host, family, size] of [
  ['127.0.0.1', 'udp4', 32],
  ['::1', 'udp6', 44],
] as const) {
  test(`the server answers over ${family}, and says nothing to strangers`, async () => {
    const server = await startStunServer({ host: '::', port: 0 });
    const client = dgram.createSocket(family);
    client.bind(0, host);
    await once(client, 'listening');
    client.send(Buffer.from('not STUN'), server.port, host);
    client.send(REQUEST, server.port, host);
    const [response] = (await once(client, 'message')) as [Buffer];
    assert.equal(response.length, size);
    assert.equal(response.readUInt16BE(26) ^ 0x2112, client.address().port);
    assert.deepEqual(server.stats(), { answered: 1, refused: 1, limited: 0 });
    client.close();
    await server.close();
  });
}

test('one address gets no more than its share', async () => {
  const server = await startStunServer({ host: '127.0.0.1', port: 0 });
  const client = dgram.createSocket('udp4');
  client.bind(0, '127.0.0.1');
  await once(client, 'listening');
  for (let i = 0; i < 1_500; i++) {
    client.send(REQUEST, server.port, '127.0.0.1');
    if (i % 50 === 0) await new Promise(setImmediate);
  }
  const deadline = Date.now() + 2_000;
  while (server.stats().limited === 0 && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 20));
  const { answered, limited } = server.stats();
  assert.ok(limited > 0, `${limited} limited`);
  assert.ok(answered <= 1_400, `${answered} answered`);
  client.close();
  await server.close();
});

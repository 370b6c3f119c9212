// The handshake and its records against vectors made with the client's own implementation at capability version 142.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { formatBase64, formatHex, parseHex, utf8, utf8Text } from '../../src/base/bytes.ts';
import { nobleCrypto } from '../../src/keys/noble.ts';
import { nativeCrypto } from '../../src/keys/native.ts';
import { makeKeyPair } from '../../src/keys/pair.ts';
import { encodeHandshakeError, initiate, initiationVersion, respond } from '../../src/noise/handshake.ts';
import { recordDecoder, recordEncoder } from '../../src/noise/record.ts';

const hex = (text: string): Uint8Array => parseHex(text)!;
const pair = (first: number) =>
  makeKeyPair(
    nativeCrypto,
    Uint8Array.from({ length: 32 }, (_, i) => first + i),
  );

const server = pair(0x00);
const machine = pair(0x20);
const clientEphemeral = pair(0x40);
const serverEphemeral = pair(0x60);

for (const [name, crypto] of Object.entries({ noble: nobleCrypto, native: nativeCrypto })) {
  test(`${name}: the handshake of version 142, byte for byte`, () => {
    const client = initiate(crypto, machine, clientEphemeral, server.publicKey, 142);
    assert.equal(
      formatHex(client.message),
      '008e01006079a631eede1bf9c98f12032cdeadd0e7a079398fc786b88cc846ec89af85a51a5a5d3ec50c63b0e0156101cf138f46d05427ed87f592c2009bab26f178d726e3543fa46ed03f0e1f961bc8955eddef05c2fdeb0340bb12dc81a308bdf5f6b7d5',
    );
    assert.equal(
      formatBase64(client.message),
      'AI4BAGB5pjHu3hv5yY8SAyzerdDnoHk5j8eGuIzIRuyJr4WlGlpdPsUMY7DgFWEBzxOPRtBUJ+2H9ZLCAJurJvF41ybjVD+kbtA/Dh+WG8iVXt3vBcL96wNAuxLcgaMIvfX2t9U=',
    );
    const accepted = respond(crypto, server, serverEphemeral, client.message)!;
    assert.equal(
      formatHex(accepted.response),
      '020030675dd574ed7789310b3d2e7681f3790b466c773b1521fecf36577958371ea52fb8d8a47c6aa7366024cfa7d5d580e1de',
    );
    assert.equal(accepted.version, 142);
    assert.deepEqual(new Uint8Array(accepted.machineKey), machine.publicKey);

    const transport = client.finish(accepted.response)!;
    for (const side of [transport, accepted]) {
      assert.equal(formatHex(side.handshakeHash), '00fbd05e2aa5d669bebfc163158d0e49ad52fd7faf70ee7ee8fffd31744bdeb7');
      assert.equal(formatHex(side.clientKey), '8b2f6bbba15ce6d607c316355f2d3c93f62dcbe39b04eb873b5b2e2812dc71b6');
      assert.equal(formatHex(side.serverKey), 'e8f7da7193cd2dd7834427bc5de410cc7fa42ea2bddb06906a91b23daf60a99b');
    }

    const fromServer = recordEncoder(crypto, accepted.serverKey);
    assert.equal(formatHex(fromServer([utf8('hello')])), '0400154c9a443517233988ec8832549456cd83ba42fcf8de');
    assert.equal(formatHex(fromServer([utf8('world')])), '040015c6fb26fa44e18c248a49b7819aff381fad7b53007f');
    const texts: string[] = [];
    const take = (plaintext: Uint8Array): void => void texts.push(utf8Text(plaintext));
    assert.ok(
      recordDecoder(crypto, accepted.clientKey).push(hex('0400134dc6d7b71796195c24bdb02115a5f06e30b921'), take),
    );
    assert.deepEqual(texts, ['PRI']);
  });
}

test('a prologue of another version is not accepted', () => {
  const { message } = initiate(nativeCrypto, machine, clientEphemeral, server.publicKey, 142);
  message[1] = 143;
  assert.equal(initiationVersion(message), 143);
  assert.equal(respond(nativeCrypto, server, serverEphemeral, message), undefined);
});

test('a handshake for another server is not accepted', () => {
  const { message } = initiate(nativeCrypto, machine, clientEphemeral, pair(0x80).publicKey, 142);
  assert.equal(respond(nativeCrypto, server, serverEphemeral, message), undefined);
});

test('an ephemeral key of low order is not accepted', () => {
  const { message } = initiate(nativeCrypto, machine, clientEphemeral, server.publicKey, 142);
  message.fill(0, 5, 37);
  assert.equal(respond(nativeCrypto, server, serverEphemeral, message), undefined);
});

test('an error frame is type, length and text', () => {
  assert.equal(formatHex(encodeHandshakeError('no')), '0300026e6f');
});

test('law: no byte sequence is a handshake or throws, also not one changed bit of a true one', () => {
  const { message, finish } = initiate(nativeCrypto, machine, clientEphemeral, server.publicKey, 142);
  const { response } = respond(nativeCrypto, server, serverEphemeral, message)!;
  const changed = (bytes: Uint8Array, bit: number): Uint8Array => {
    const copy = Uint8Array.from(bytes);
    copy[(bit >> 3) % copy.length]! ^= 1 << (bit & 7);
    return copy;
  };
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 150 }), fc.nat(), (noise, bit) => {
      assert.equal(respond(nativeCrypto, server, serverEphemeral, noise), undefined);
      assert.equal(finish(noise), undefined);
      // The top bit of an X25519 public key doesn't count (RFC 7748 section 5), but the hash covers it.
      assert.equal(respond(nativeCrypto, server, serverEphemeral, changed(message, bit)), undefined);
      assert.equal(finish(changed(response, bit)), undefined);
    }),
    { numRuns: 300 },
  );
});

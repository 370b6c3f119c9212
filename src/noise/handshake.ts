// The Noise handshake of the control protocol, pattern IK of the Noise Protocol Framework (revision 34, section 7.5), as bytes
// in and bytes out. The server is the responder; the initiator is here for tests and tools. What differs from the framework:
// our own headers, and a prologue that carries the client's capability version (Tailscale's control/controlbase/
// handshake.go, messages.go).

import { concatBytes, utf8 } from '../base/bytes.ts';
import { AEAD_NONCE_BYTES, AEAD_TAG_BYTES, KEY_BYTES, NO_BYTES, type Crypto } from '../keys/crypto.ts';
import type { KeyPair } from '../keys/pair.ts';

export const INITIATION_BYTES = 101;
export const RESPONSE_BYTES = 51;

const TYPE_INITIATION = 1;
const TYPE_RESPONSE = 2;
const TYPE_ERROR = 3;
const INITIATION_HEAD_BYTES = 5;
const HEAD_BYTES = 3;

const PROTOCOL = utf8('Noise_IK_25519_ChaChaPoly_BLAKE2s');
/** Each handshake key encrypts one message, so the counter never leaves zero. */
const FIRST_NONCE = new Uint8Array(AEAD_NONCE_BYTES);

/** What both sides hold when the handshake is done. */
export interface Transport {
  /** Key of the records from client to server. */
  readonly clientKey: Uint8Array;
  /** Key of the records from server to client. */
  readonly serverKey: Uint8Array;
  /** Equal on both sides exactly if they had the same handshake. */
  readonly handshakeHash: Uint8Array;
}

export interface Accepted extends Transport {
  /** The client's static key: who it is, proven. 32 bytes. */
  readonly machineKey: Uint8Array;
  /** The client's capability version. */
  readonly version: number;
  /** 51 bytes to send back. */
  readonly response: Uint8Array;
}

/** Hash `h` and chaining key `ck` of section 5.2, as a value: every step gives the next. */
interface Symmetric {
  readonly h: Uint8Array;
  readonly ck: Uint8Array;
}

const mixHash = (crypto: Crypto, state: Symmetric, data: Uint8Array): Symmetric => ({
  ck: state.ck,
  h: crypto.hash(state.h, data),
});

/** MixKey: the state with a new chaining key, and the key for the one encryption that follows. */
const mixKey = (crypto: Crypto, state: Symmetric, shared: Uint8Array): readonly [Symmetric, Uint8Array] => {
  const [ck, key] = crypto.hkdf(state.ck, shared);
  return [{ ck, h: state.h }, key];
};

/** The state before the first message: name, prologue, and the server's static key, which the client knows. */
const begin = (crypto: Crypto, version: number, serverPublic: Uint8Array): Symmetric => {
  const name = crypto.hash(PROTOCOL, NO_BYTES);
  const prologue = utf8(`Tailscale Control Protocol v${version}`);
  return mixHash(crypto, mixHash(crypto, { h: name, ck: name }, prologue), serverPublic);
};

const split = (crypto: Crypto, state: Symmetric): Transport => {
  const [clientKey, serverKey] = crypto.hkdf(state.ck, NO_BYTES);
  return { clientKey, serverKey, handshakeHash: state.h };
};

const seal = (crypto: Crypto, key: Uint8Array, plaintext: Uint8Array, state: Symmetric): Uint8Array => {
  const out = new Uint8Array(plaintext.length + AEAD_TAG_BYTES);
  crypto.seal(key, FIRST_NONCE, plaintext, state.h, out);
  return out;
};

/** The capability version in an initiation's header; undefined if these bytes can't be an initiation. */
export const initiationVersion = (message: Uint8Array): number | undefined => {
  if (message.length !== INITIATION_BYTES || message[2] !== TYPE_INITIATION) return undefined;
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  return view.getUint16(3) === INITIATION_BYTES - INITIATION_HEAD_BYTES ? view.getUint16(0) : undefined;
};

/**
 * Answers an initiation. Undefined if it is malformed, was not made for this server's key, or carries keys of low order: the
 * peer is told the same constant in each case. `ephemeral` is a key pair made for this one handshake.
 */
export const respond = (
  crypto: Crypto,
  server: KeyPair,
  ephemeral: KeyPair,
  message: Uint8Array,
): Accepted | undefined => {
  const version = initiationVersion(message);
  if (version === undefined) return undefined;
  const clientEphemeral = message.subarray(5, 5 + KEY_BYTES);
  const sealedStatic = message.subarray(37, 37 + KEY_BYTES + AEAD_TAG_BYTES);
  const sealedPayload = message.subarray(85, 85 + AEAD_TAG_BYTES);
  const staticKey = server.privateKey.reveal();
  const ephemeralKey = ephemeral.privateKey.reveal();

  let state = begin(crypto, version, server.publicKey);
  let key: Uint8Array;

  // -> e, es, s, ss
  state = mixHash(crypto, state, clientEphemeral);
  const es = crypto.sharedSecret(staticKey, clientEphemeral);
  if (!es) return undefined;
  [state, key] = mixKey(crypto, state, es);
  const machineKey = crypto.open(key, FIRST_NONCE, sealedStatic, state.h);
  if (!machineKey) return undefined;
  state = mixHash(crypto, state, sealedStatic);
  const ss = crypto.sharedSecret(staticKey, machineKey);
  if (!ss) return undefined;
  [state, key] = mixKey(crypto, state, ss);
  if (!crypto.open(key, FIRST_NONCE, sealedPayload, state.h)) return undefined;
  state = mixHash(crypto, state, sealedPayload);

  // <- e, ee, se
  state = mixHash(crypto, state, ephemeral.publicKey);
  const ee = crypto.sharedSecret(ephemeralKey, clientEphemeral);
  if (!ee) return undefined;
  [state] = mixKey(crypto, state, ee);
  const se = crypto.sharedSecret(ephemeralKey, machineKey);
  if (!se) return undefined;
  [state, key] = mixKey(crypto, state, se);
  const tag = seal(crypto, key, NO_BYTES, state);
  state = mixHash(crypto, state, tag);

  const head = Uint8Array.of(TYPE_RESPONSE, 0, RESPONSE_BYTES - HEAD_BYTES);
  return { ...split(crypto, state), machineKey, version, response: concatBytes(head, ephemeral.publicKey, tag) };
};

/** A client between its two messages. */
export interface Initiation {
  /** 101 bytes to send. */
  readonly message: Uint8Array;
  /** Takes the 51 bytes of the response; undefined if they are not the answer to this initiation. */
  readonly finish: (response: Uint8Array) => Transport | undefined;
}

/** Begins a handshake as a client of capability version `version`. Throws on a server key of low order. */
export const initiate = (
  crypto: Crypto,
  machine: KeyPair,
  ephemeral: KeyPair,
  serverPublic: Uint8Array,
  version: number,
): Initiation => {
  const machineKey = machine.privateKey.reveal();
  const ephemeralKey = ephemeral.privateKey.reveal();
  const es = crypto.sharedSecret(ephemeralKey, serverPublic);
  const ss = crypto.sharedSecret(machineKey, serverPublic);
  if (!es || !ss) throw new RangeError('the server key is not usable');

  let state = begin(crypto, version, serverPublic);
  let key: Uint8Array;
  state = mixHash(crypto, state, ephemeral.publicKey);
  [state, key] = mixKey(crypto, state, es);
  const sealedStatic = seal(crypto, key, machine.publicKey, state);
  state = mixHash(crypto, state, sealedStatic);
  [state, key] = mixKey(crypto, state, ss);
  const sealedPayload = seal(crypto, key, NO_BYTES, state);
  const sent = mixHash(crypto, state, sealedPayload);

  const head = Uint8Array.of(version >> 8, version & 255, TYPE_INITIATION, 0, INITIATION_BYTES - INITIATION_HEAD_BYTES);
  return {
    message: concatBytes(head, ephemeral.publicKey, sealedStatic, sealedPayload),
    finish: (response) => {
      const rightHead =
        response[0] === TYPE_RESPONSE && response[1] === 0 && response[2] === RESPONSE_BYTES - HEAD_BYTES;
      if (response.length !== RESPONSE_BYTES || !rightHead) return undefined;
      const serverEphemeral = response.subarray(HEAD_BYTES, HEAD_BYTES + KEY_BYTES);
      const tag = response.subarray(HEAD_BYTES + KEY_BYTES);
      const ee = crypto.sharedSecret(ephemeralKey, serverEphemeral);
      const se = crypto.sharedSecret(machineKey, serverEphemeral);
      if (!ee || !se) return undefined;
      const [afterEe] = mixKey(crypto, mixHash(crypto, sent, serverEphemeral), ee);
      const [afterSe, key] = mixKey(crypto, afterEe, se);
      if (!crypto.open(key, FIRST_NONCE, tag, afterSe.h)) return undefined;
      return split(crypto, mixHash(crypto, afterSe, tag));
    },
  };
};

/** What a server says instead of a response, unencrypted: type 3, length, text. Keep the text a short constant. */
export const encodeHandshakeError = (text: string): Uint8Array => {
  const body = utf8(text);
  if (body.length > 0xffff) throw new RangeError('an error frame has at most 65535 bytes of text');
  return concatBytes(Uint8Array.of(TYPE_ERROR, body.length >> 8, body.length & 255), body);
};

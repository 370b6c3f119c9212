// How a client proves its node key to a relay (Tailscale's derp/derpserver, accept): the relay shows its key, the client
// answers with its own and a box that only the holder of its private key could have sealed, the relay answers with a box.

import { concatBytes, equalBytes, formatHex, parseHex, utf8, utf8Text } from '../base/bytes.ts';
import { BOX_NONCE_BYTES, boxKey, openBox, sealBox, type BoxKey } from '../keys/box.ts';
import type { Crypto } from '../keys/crypto.ts';
import { KEY_BYTES, PROTOCOL_VERSION } from './frame.ts';

/** What a client says of itself, as JSON in its box. */
export interface ClientInfo {
  readonly version: number;
  readonly canAckPings: boolean;
  readonly isProber: boolean;
  readonly meshKey?: Uint8Array;
}

export interface ProvenClient {
  readonly publicKey: Uint8Array;
  readonly info: ClientInfo;
  /** Seals what goes back to this client. */
  readonly shared: BoxKey;
}

const parseInfo = (text: string): ClientInfo | undefined => {
  const value: unknown = JSON.parse(text);
  if (typeof value !== 'object' || value === null) return undefined;
  const info = value as Record<string, unknown>;
  const meshKey = typeof info['meshKey'] === 'string' ? parseHex(info['meshKey']) : undefined;
  return {
    version: typeof info['version'] === 'number' ? info['version'] : 0,
    canAckPings: info['CanAckPings'] === true,
    isProber: info['IsProber'] === true,
    ...(meshKey?.length === KEY_BYTES ? { meshKey } : {}),
  };
};

/** Opens the payload of a ClientInfo frame: 32 bytes of key, then nonce and box. Undefined unless the key is proven. */
export const openClientInfo = (
  crypto: Crypto,
  privateKey: Uint8Array,
  payload: Uint8Array,
): ProvenClient | undefined => {
  const publicKey = Uint8Array.from(payload.subarray(0, KEY_BYTES));
  const shared = boxKey(crypto, privateKey, publicKey);
  const text = shared && openBox(shared, payload.subarray(KEY_BYTES));
  if (!text) return undefined;
  try {
    const info = parseInfo(utf8Text(text));
    return info && { publicKey, info, shared };
  } catch {
    return undefined;
  }
};

/** The payload of a ServerInfo frame. */
export const sealServerInfo = (shared: BoxKey, nonce: Uint8Array): Uint8Array => {
  if (nonce.length !== BOX_NONCE_BYTES) throw new RangeError(`a nonce has ${BOX_NONCE_BYTES} bytes`);
  return sealBox(shared, nonce, utf8(JSON.stringify({ version: PROTOCOL_VERSION })));
};

/** The payload of a ClientInfo frame, for a relay that is the client of another. */
export const sealClientInfo = (
  crypto: Crypto,
  { privateKey, publicKey }: { readonly privateKey: Uint8Array; readonly publicKey: Uint8Array },
  serverKey: Uint8Array,
  meshKey: Uint8Array,
  nonce: Uint8Array,
): Uint8Array | undefined => {
  const shared = boxKey(crypto, privateKey, serverKey);
  const info = { version: PROTOCOL_VERSION, CanAckPings: true, meshKey: formatHex(meshKey) };
  return shared && concatBytes(publicKey, sealBox(shared, nonce, utf8(JSON.stringify(info))));
};

export const holdsMeshKey = (info: ClientInfo, meshKey: Uint8Array | undefined): boolean =>
  meshKey !== undefined && info.meshKey !== undefined && equalBytes(info.meshKey, meshKey);

// GET /key: the one request that rests on the certificate of TLS. The client takes the server's Noise key from it and keeps
// it for as long as it runs (controlclient/direct.go, loadServerPubKeys).

import { formatMachineKey } from '../keys/text.ts';
import type { Control } from './ports.ts';

const TEXT = 'text/plain; charset=utf-8';

/**
 * The key's answer is the same for every client, also for those that are too old: they hear that over Noise, where it is
 * shown. Clients use a legacy key to know whether they asked before; giving them the same key twice spares them a request
 * before each login.
 */
export const keyAnswerOf = (publicKey: Uint8Array): Control['keyAnswer'] => {
  const key = formatMachineKey(publicKey);
  const body = `${JSON.stringify({ publicKey: key, legacyPublicKey: key })}\n`;
  return (version) =>
    version !== undefined && /^\d{1,6}$/.test(version)
      ? { status: 200, type: 'application/json', body }
      : { status: 400, type: TEXT, body: 'the capability version is missing: /key?v=N\n' };
};

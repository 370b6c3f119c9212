// Admission over HTTP as stock relays ask for it (derper --verify-client-url): `{"NodePublic","Source"}` is answered with
// `{"Allow"}`. Here are the answer, for the control server, and the question, for a relay that runs alone.

import { utf8Text } from '../base/bytes.ts';
import { parseNodeKey, type NodeKey } from '../keys/text.ts';

export type Admit = (nodeKey: NodeKey, remoteAddress: string) => boolean | Promise<boolean>;

/** Much more than relays send. */
export const VERIFY_LIMIT_BYTES = 4 << 10;
const ASK_MS = 5_000;

const fieldsOf = (body: Uint8Array): Record<string, unknown> => {
  try {
    const value: unknown = JSON.parse(utf8Text(body));
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
};

/** The JSON to answer, with status 200; what cannot be read is not allowed. */
export const verifyAnswer = async (body: Uint8Array, admit: Admit): Promise<string> => {
  const { NodePublic: keyText, Source: source } = body.length <= VERIFY_LIMIT_BYTES ? fieldsOf(body) : {};
  const nodeKey = typeof keyText === 'string' ? parseNodeKey(keyText) : undefined;
  const allowed = nodeKey !== undefined && (await admit(nodeKey, typeof source === 'string' ? source : ''));
  return JSON.stringify({ Allow: allowed });
};

/** Asks the control server at `url`. Whatever is not a clear yes is a no: a relay open to all would be worse than one that is closed. */
export const verifyAt =
  (url: string): Admit =>
  async (nodeKey, remoteAddress) => {
    try {
      const response = await fetch(url, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ NodePublic: nodeKey, Source: remoteAddress }),
        redirect: 'error',
        signal: AbortSignal.timeout(ASK_MS),
      });
      if (response.status !== 200) return false;
      return fieldsOf(new Uint8Array(await response.arrayBuffer()))['Allow'] === true;
    } catch {
      return false;
    }
  };

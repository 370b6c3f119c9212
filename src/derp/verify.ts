// Admission over HTTP, as stock relays ask for it (derper --verify-client-url): `POST {"NodePublic","Source"}` is answered
// `{"Allow":bool}`. Here are the answering side, for the control server, and the asking side, for a relay that runs alone.

import type { NodeKey } from '../keys/text.ts';

/** The largest request body that stock relays send is some 120 bytes. */
export const VERIFY_LIMIT_BYTES = 4 << 10;

/** The JSON to answer, always with status 200; what cannot be read is not allowed. */
export const verifyAnswer = async (
  _body: Uint8Array,
  _admit: (nodeKey: NodeKey, remoteAddress: string) => boolean | Promise<boolean>,
): Promise<string> => {
  throw new Error('not here yet');
};

// The receivers that tailnet.json5 names for messages about revisions. Their secrets are sealed for this server and are
// opened here, at the moment of use; one that was sealed for another server is told about and left out.

import type { Diagnostic } from '../base/diagnostic.ts';
import type { Secret } from '../base/secret.ts';
import type { Happening, Receiver } from '../config/tailnet.ts';
import type { Crypto } from '../keys/crypto.ts';
import type { KeyPair } from '../keys/pair.ts';
import { openSecret } from '../keys/sealed.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';

export interface Receivers {
  /** Whom to tell about this, each with the key that signs the message. */
  readonly of: (
    snapshot: Snapshot,
    kind: Happening,
  ) => readonly { readonly url: string; readonly secret: Secret<string> }[];
  /** One finding for each secret that can't be opened here. */
  readonly problemsOf: (snapshot: Snapshot) => readonly Diagnostic[];
}

export const receiversBy = (crypto: Crypto, key: KeyPair): Receivers => {
  const open = ({ secret }: Receiver): Secret<string> | undefined => openSecret(crypto, key, secret);
  return {
    of: ({ tailnet }, kind) =>
      tailnet.notify
        .filter(({ on }) => on?.includes(kind) ?? true)
        .flatMap((receiver) => {
          const secret = open(receiver);
          return secret ? [{ url: receiver.url, secret }] : [];
        }),
    problemsOf: ({ tailnet }) =>
      tailnet.notify
        .filter((receiver) => !open(receiver))
        .map(({ at }) => ({
          code: 'server/sealed-for-another',
          severity: 'error',
          message: 'This server cannot open the value: it was sealed for another server, or is damaged.',
          span: at,
          help: 'Nobody is told by this entry. `tailplane seal` on this server makes one that it can open.',
        })),
  };
};

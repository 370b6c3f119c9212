// POST /machine/register: tailcfg.RegisterRequest and RegisterResponse. Every refusal is a 200 with `Error`; only a client
// that is too old or too eager gets another status.

import { parseBase64, utf8 } from '../base/bytes.ts';
import { accept, refuse } from '../base/outcome.ts';
import type { Outcome } from '../base/outcome.ts';
import { parseNlKey, parseNodeKey } from '../keys/text.ts';
import type { NlKey, NodeKey } from '../keys/text.ts';
import type { CapabilityVersion } from './capability.ts';
import { decodeHostinfo } from './hostinfo.ts';
import type { Hostinfo } from './hostinfo.ts';
import { decodeObject, parseTime, readFlag, readInteger, readObject, readParsed, readText } from './reading.ts';
import type { Login, User } from './user.ts';

export interface RegisterRequest {
  readonly Version: CapabilityVersion;
  readonly NodeKey: NodeKey;
  /** The key before the last rotation; sent for a long time after it. */
  readonly OldNodeKey?: NodeKey;
  readonly NLKey?: NlKey;
  /** A pre-auth key; a secret. */
  readonly authKey?: string;
  /** Milliseconds. In the past: the client logs out. Absent: no wish. */
  readonly expiryMs?: number;
  /** The AuthURL that the client was given: it waits until the person has finished there. */
  readonly Followup?: string;
  readonly Hostinfo?: Hostinfo;
  readonly Ephemeral: boolean;
  /** Tailnet Lock's signature of NodeKey. */
  readonly NodeKeySignature?: Uint8Array;
  /** The tailnet that a managed device prefers; `required:` in front refuses all others. */
  readonly Tailnet?: string;
}

const MAX_SIGNATURE_TEXT = 16 * 1024;

export const decodeRegisterRequest = (bytes: Uint8Array): Outcome<RegisterRequest> => {
  const decoded = decodeObject(bytes);
  if (!decoded.ok) return decoded;
  const from = decoded.value;
  const nodeKey = readParsed(from, 'NodeKey', parseNodeKey);
  if (nodeKey === undefined) return refuse('wire/malformed', 'The request has no valid NodeKey.');
  const oldNodeKey = readParsed(from, 'OldNodeKey', parseNodeKey);
  const nlKey = readParsed(from, 'NLKey', parseNlKey);
  const auth = readObject(from, 'Auth');
  const authKey = auth && readText(auth, 'AuthKey', 512);
  const expiryMs = readParsed(from, 'Expiry', parseTime);
  const followup = readText(from, 'Followup', 2048);
  const hostinfo = decodeHostinfo(from['Hostinfo']);
  const signatureText = readText(from, 'NodeKeySignature', MAX_SIGNATURE_TEXT);
  const signature = signatureText === undefined ? undefined : parseBase64(signatureText);
  const tailnet = readText(from, 'Tailnet', 512);
  return accept({
    Version: readInteger(from, 'Version') ?? 0,
    NodeKey: nodeKey,
    Ephemeral: readFlag(from, 'Ephemeral'),
    ...(oldNodeKey !== undefined && { OldNodeKey: oldNodeKey }),
    ...(nlKey !== undefined && { NLKey: nlKey }),
    ...(authKey !== undefined && { authKey }),
    ...(expiryMs !== undefined && { expiryMs }),
    ...(followup !== undefined && { Followup: followup }),
    ...(hostinfo !== undefined && { Hostinfo: hostinfo }),
    ...(signature !== undefined && { NodeKeySignature: signature }),
    ...(tailnet !== undefined && { Tailnet: tailnet }),
  });
};

export interface RegisterResponse {
  readonly User?: User;
  readonly Login?: Login;
  /** The client makes a new node key and asks again at once. */
  readonly NodeKeyExpired?: boolean;
  readonly MachineAuthorized?: boolean;
  /** Where the person logs in. Absent: done. */
  readonly AuthURL?: string;
  /** Shown to the person as it is. The client asks again with growing pauses. */
  readonly Error?: string;
}

export const encodeRegisterResponse = (response: RegisterResponse): Uint8Array => utf8(JSON.stringify(response));

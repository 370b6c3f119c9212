// What can happen to the registry. An event says what was asked for, with its clock and its random numbers; decide.ts
// says what follows from it. Whether the asker may ask is settled before: identity and control know that, not this room.

import type { Prefix } from '../base/address.ts';
import type { Login, NodeId, Tag } from '../base/ids.ts';
import type { IpSet } from '../base/ipset.ts';
import type { DiscoKey, MachineKey, NlKey, NodeKey } from '../keys/text.ts';
import type { HostinfoJson, KeyId, KeyRecord, LoginId, LoginRecord, NodeAttribute } from './record.ts';

/** What the tailnet says about new names and addresses. */
export interface Assignment {
  /** Where addresses come from, at most one prefix of each family; an absent family is not handed out. */
  readonly prefixes: readonly Prefix[];
  /** Addresses that nodes.json5 gives to some node; Tailscale's own reserved ranges are always left out. */
  readonly reservedAddresses: IpSet;
  /** Labels that belong to something else than whoever asks for them first, in lower case. */
  readonly reservedNames: ReadonlySet<string>;
}

/** A machine joins, comes back, or changes its node key. */
export interface RegisterEvent {
  readonly kind: 'register';
  readonly nowMs: number;
  readonly machineKey: MachineKey;
  readonly nodeKey: NodeKey;
  /** The key that the client says it had before; ignored where it doesn't belong to the same machine. */
  readonly oldNodeKey: NodeKey | null;
  readonly nlKey: NlKey | null;
  readonly keySignature: string | null;
  readonly discoKey: DiscoKey | null;
  /** The owner; null exactly when `tags` is not empty. */
  readonly login: Login | null;
  /** Logins that the owner had before: a node under one of these is theirs. */
  readonly formerLogins?: readonly Login[];
  readonly tags: readonly Tag[];
  /** Hostinfo.Hostname is where the MagicDNS label comes from. */
  readonly hostinfo: HostinfoJson;
  readonly capver: number;
  readonly expiresMs: number | null;
  readonly ephemeral: boolean;
  readonly authorized: boolean;
  /** The pre-auth key that lets it in. A key that is not reusable is spent by the first node, once. */
  readonly key: { readonly id: KeyId; readonly reusable: boolean } | null;
  /** The login that lets it in; it becomes approved by `decidedBy` in the same step. */
  readonly loginId: LoginId | null;
  readonly decidedBy: string | null;
  readonly assignment: Assignment;
}

interface NodeEvent<Kind extends string> {
  readonly kind: Kind;
  readonly id: NodeId;
}

export type RegistryEvent =
  | RegisterEvent
  /** Sets the end of the node key; a logout sets it to now. */
  | (NodeEvent<'set-expiry'> & { readonly expiresMs: number | null })
  | (NodeEvent<'remove'> & { readonly cause: RemovalCause })
  | (NodeEvent<'authorize'> & { readonly authorized: boolean })
  /** An administrator names a node; null goes back to the host name. A name that is taken is refused. */
  | (NodeEvent<'rename'> & { readonly name: string | null; readonly assignment: Assignment })
  /** The client's host name changed: the label follows unless an administrator gave one. */
  | (NodeEvent<'follow-hostname'> & { readonly assignment: Assignment })
  /** A reserved name is needed elsewhere: the node takes its host name with a number. */
  | (NodeEvent<'yield-name'> & { readonly assignment: Assignment })
  /** The tailnet's prefixes or fixed addresses changed: new addresses where the old ones don't fit any more. */
  | (NodeEvent<'readdress'> & { readonly assignment: Assignment })
  | (NodeEvent<'set-tags'> & { readonly tags: readonly Tag[] })
  | (NodeEvent<'approve-routes'> & { readonly routes: readonly Prefix[] })
  /** Sets and, by null, unsets attributes; others stay. */
  | (NodeEvent<'set-attributes'> & { readonly attributes: Readonly<Record<string, NodeAttribute | null>> })
  | (NodeEvent<'set-key-signature'> & { readonly keySignature: string | null })
  | { readonly kind: 'create-key'; readonly key: KeyRecord }
  | { readonly kind: 'revoke-key'; readonly id: KeyId; readonly nowMs: number }
  /** Forgets a key and its uses. */
  | { readonly kind: 'delete-key'; readonly id: KeyId }
  | { readonly kind: 'begin-login'; readonly login: LoginRecord }
  | { readonly kind: 'deny-login'; readonly id: LoginId; readonly decidedBy: string; readonly nowMs: number }
  /** Forgets logins whose time is long over. */
  | { readonly kind: 'sweep'; readonly nowMs: number };

export type RemovalCause = 'logout' | 'inactive' | 'administrator';

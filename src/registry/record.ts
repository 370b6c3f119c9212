// What the registry remembers: nodes, pre-auth keys made at run time, uses of keys, and logins in progress. Records are
// never changed in place: a change replaces the record, so that a reader may keep one for as long as it likes.

import type { Address, Prefix } from '../base/address.ts';
import type { Json } from '../base/canonical.ts';
import type { Brand, Login, NodeId, StableId, Tag } from '../base/ids.ts';
import type { DiscoKey, MachineKey, NlKey, NodeKey } from '../keys/text.ts';

/** The part of a key between its prefix and its secret: 1 to 32 letters and digits. */
export type KeyId = Brand<string, 'KeyId'>;

export const parseKeyId = (text: string): KeyId | undefined =>
  /^[A-Za-z0-9]{1,32}$/.test(text) ? (text as KeyId) : undefined;

/** An unguessable name of a login in progress, the last part of its URL: 16 to 64 letters and digits. */
export type LoginId = Brand<string, 'LoginId'>;

export const parseLoginId = (text: string): LoginId | undefined =>
  /^[A-Za-z0-9]{16,64}$/.test(text) ? (text as LoginId) : undefined;

/** tailcfg.Hostinfo as the client sent it; absent fields are absent. */
export type HostinfoJson = { readonly [field: string]: Json | undefined };

/** A posture attribute set at run time, such as `custom:tier`. */
export interface NodeAttribute {
  readonly value: string | number | boolean;
  readonly expiresMs: number | null;
}

/**
 * What a client says about itself over and over. It is noted in memory and written with the next snapshot of the file;
 * after a crash the client says it again.
 */
export interface Observation {
  readonly discoKey: DiscoKey | null;
  /** tailcfg.Hostinfo, replaced as a whole. */
  readonly hostinfo: HostinfoJson;
  readonly capver: number;
  /** `ip:port`, best first as the client sent them. */
  readonly endpoints: readonly string[];
  /** tailcfg.EndpointType of each endpoint, or empty. */
  readonly endpointTypes: readonly number[];
  /** DERP region, 0 while unknown. */
  readonly homeDerp: number;
  readonly lastSeenMs: number;
}

export interface NodeRecord extends Observation {
  readonly id: NodeId;
  readonly stableId: StableId;
  readonly machineKey: MachineKey;
  readonly nodeKey: NodeKey;
  /** The node key before the last rotation. */
  readonly previousNodeKey: NodeKey | null;
  readonly nlKey: NlKey | null;
  /** Tailnet Lock signature of `nodeKey`, base64. */
  readonly keySignature: string | null;
  /** The owner; null exactly when `tags` is not empty. */
  readonly login: Login | null;
  readonly tags: readonly Tag[];
  /** The MagicDNS label, unique in the tailnet. A name in nodes.json5 goes over it. */
  readonly name: string;
  /** Whether an administrator gave the name; else it follows the host name. */
  readonly renamed: boolean;
  /** IPv4 first; one of each family that the tailnet hands out. An address in nodes.json5 goes over it. */
  readonly addresses: readonly Address[];
  readonly createdMs: number;
  /** End of the node key; null means that it doesn't expire. In the past after a logout. */
  readonly expiresMs: number | null;
  readonly ephemeral: boolean;
  /** Approved by an administrator, or by a rule at registration. */
  readonly authorized: boolean;
  /** The pre-auth key that it last registered by; null after an interactive login. */
  readonly keyId: KeyId | null;
  /** Routes approved at run time, besides those of routes.json5. */
  readonly approvedRoutes: readonly Prefix[];
  readonly attributes: Readonly<Record<string, NodeAttribute>>;
}

export type NodeField = keyof NodeRecord;

/** A pre-auth key made at run time. The secret was shown once and is not here. */
export interface KeyRecord {
  readonly id: KeyId;
  /** SHA-256 of the secret's text, 64 hex digits. */
  readonly sha256: string;
  /** Whose nodes the key makes; null exactly when `tags` is not empty. */
  readonly login: Login | null;
  readonly tags: readonly Tag[];
  readonly reusable: boolean;
  readonly ephemeral: boolean;
  readonly preapproved: boolean;
  readonly createdMs: number;
  readonly expiresMs: number | null;
  readonly revokedMs: number | null;
  readonly description: string;
}

/** How often a key, declared or made at run time, has let a node in. */
export interface KeyUse {
  readonly keyId: KeyId;
  readonly count: number;
  readonly firstMs: number;
  readonly lastMs: number;
  readonly lastNode: NodeId;
}

/** An interactive login: a machine asked without a key, and waits for a person to say yes. */
export interface LoginRecord {
  readonly id: LoginId;
  readonly machineKey: MachineKey;
  readonly nodeKey: NodeKey;
  readonly oldNodeKey: NodeKey | null;
  readonly nlKey: NlKey | null;
  readonly hostinfo: HostinfoJson;
  readonly capver: number;
  readonly ephemeral: boolean;
  /** What the client asked for; null is no wish. */
  readonly requestedExpiryMs: number | null;
  /** The address that asked, for the person who decides. */
  readonly remote: string;
  readonly createdMs: number;
  /** After this it can't be approved any more. */
  readonly expiresMs: number;
  readonly state: 'pending' | 'approved' | 'denied';
  /** Who decided. */
  readonly decidedBy: string | null;
  readonly decidedMs: number | null;
  /** The node that it became. */
  readonly nodeId: NodeId | null;
}

/** Some records of each kind. */
export interface Rows {
  readonly nodes: readonly NodeRecord[];
  readonly keys: readonly KeyRecord[];
  readonly keyUses: readonly KeyUse[];
  readonly logins: readonly LoginRecord[];
}

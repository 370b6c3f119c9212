// The small requests beside registration and maps (tailcfg: SetDNSRequest, TokenRequest, QueryFeatureRequest,
// AuditLogRequest, SetDeviceAttributesRequest, HealthChangeRequest). Each names its node by key.

import type { Json } from '../base/canonical.ts';
import { accept, refuse } from '../base/outcome.ts';
import type { Outcome } from '../base/outcome.ts';
import { parseNodeKey } from '../keys/text.ts';
import type { NodeKey } from '../keys/text.ts';
import type { CapabilityVersion } from './capability.ts';
import { decodeObject, readInteger, readObject, readParsed, readText } from './reading.ts';
import type { JsonObject } from './reading.ts';

const decodeErrand = <T>(
  bytes: Uint8Array,
  read: (from: JsonObject, NodeKey: NodeKey) => T | undefined,
): Outcome<T> => {
  const decoded = decodeObject(bytes);
  if (!decoded.ok) return decoded;
  const nodeKey = readParsed(decoded.value, 'NodeKey', parseNodeKey);
  if (nodeKey === undefined) return refuse('wire/malformed', 'The request has no valid NodeKey.');
  const errand = read(decoded.value, nodeKey);
  return errand === undefined ? refuse('wire/malformed', 'The request lacks a field.') : accept(errand);
};

/** POST /machine/set-dns: a record that proves to a certificate authority who owns a name. */
export interface SetDnsRequest {
  readonly Version: CapabilityVersion;
  readonly NodeKey: NodeKey;
  /** `_acme-challenge.` and a name, without the trailing dot. */
  readonly Name: string;
  readonly Type: string;
  readonly Value: string;
}

export const decodeSetDnsRequest = (bytes: Uint8Array): Outcome<SetDnsRequest> =>
  decodeErrand(bytes, (from, NodeKey) => {
    const Name = readText(from, 'Name', 253);
    const Type = readText(from, 'Type', 16);
    const Value = readText(from, 'Value', 255);
    if (Name === undefined || Type === undefined || Value === undefined) return undefined;
    return { Version: readInteger(from, 'Version') ?? 0, NodeKey, Name, Type, Value };
  });

/** POST /machine/id-token. */
export interface TokenRequest {
  readonly CapVersion: CapabilityVersion;
  readonly NodeKey: NodeKey;
  readonly Audience: string;
}

export const decodeTokenRequest = (bytes: Uint8Array): Outcome<TokenRequest> =>
  decodeErrand(bytes, (from, NodeKey) => {
    const Audience = readText(from, 'Audience', 1024);
    return Audience === undefined ? undefined : { CapVersion: readInteger(from, 'CapVersion') ?? 0, NodeKey, Audience };
  });

/** POST /machine/feature/query: the client asks how to switch a feature on. */
export interface FeatureRequest {
  readonly NodeKey: NodeKey;
  readonly Feature: string;
}

export const decodeFeatureRequest = (bytes: Uint8Array): Outcome<FeatureRequest> =>
  decodeErrand(bytes, (from, NodeKey) => {
    const Feature = readText(from, 'Feature', 64);
    return Feature === undefined ? undefined : { NodeKey, Feature };
  });

export interface FeatureResponse {
  readonly Complete?: boolean;
  readonly Text?: string;
  readonly URL?: string;
  readonly ShouldWait?: boolean;
}

/** POST /machine/audit-log. */
export interface AuditLogRequest {
  readonly NodeKey: NodeKey;
  readonly Action: string;
  readonly Details?: string;
}

export const decodeAuditLogRequest = (bytes: Uint8Array): Outcome<AuditLogRequest> =>
  decodeErrand(bytes, (from, NodeKey) => {
    const Action = readText(from, 'Action', 64);
    const Details = readText(from, 'Details', 4096);
    return Action === undefined ? undefined : { NodeKey, Action, ...(Details !== undefined && { Details }) };
  });

/** PATCH /machine/set-device-attr: posture attributes of the device's own; null deletes. */
export interface SetDeviceAttributesRequest {
  readonly NodeKey: NodeKey;
  readonly Update: ReadonlyMap<string, string | number | boolean | null>;
}

const MAX_ATTRIBUTES = 64;

export const decodeSetDeviceAttributesRequest = (bytes: Uint8Array): Outcome<SetDeviceAttributesRequest> =>
  decodeErrand(bytes, (from, NodeKey) => {
    const update = readObject(from, 'Update');
    if (update === undefined) return undefined;
    const isPlain = (value: Json | undefined): value is string | number | boolean | null =>
      value === null || ['string', 'number', 'boolean'].includes(typeof value);
    const entries = Object.entries(update).slice(0, MAX_ATTRIBUTES);
    return { NodeKey, Update: new Map(entries.flatMap(([name, value]) => (isPlain(value) ? [[name, value]] : []))) };
  });

/** POST /machine/update-health: only clients up to v1.88 send it. */
export interface HealthChangeRequest {
  readonly NodeKey: NodeKey;
  readonly Subsys: string;
  /** Absent: healthy again. */
  readonly Error?: string;
}

export const decodeHealthChangeRequest = (bytes: Uint8Array): Outcome<HealthChangeRequest> =>
  decodeErrand(bytes, (from, NodeKey) => {
    const Subsys = readText(from, 'Subsys', 128);
    const error = readText(from, 'Error');
    return Subsys === undefined ? undefined : { NodeKey, Subsys, ...(error !== undefined && { Error: error }) };
  });

/** POST to the NotifyURL of an SSH rule: a session could not be recorded (tailcfg.SSHEventNotifyRequest). */
export interface RecordingFailure {
  readonly NodeKey: NodeKey;
  /** 1: the session was refused, 2: it was ended, 3: it goes on unrecorded. */
  readonly EventType: number;
  readonly ConnectionID: string;
  readonly SrcNode: number;
  readonly SSHUser: string;
  readonly LocalUser: string;
}

export const decodeRecordingFailure = (bytes: Uint8Array): Outcome<RecordingFailure> =>
  decodeErrand(bytes, (from, NodeKey) => {
    const EventType = readInteger(from, 'EventType');
    if (EventType === undefined) return undefined;
    return {
      NodeKey,
      EventType,
      ConnectionID: readText(from, 'ConnectionID', 100) ?? '',
      SrcNode: readInteger(from, 'SrcNode') ?? 0,
      SSHUser: readText(from, 'SSHUser', 256) ?? '',
      LocalUser: readText(from, 'LocalUser', 256) ?? '',
    };
  });

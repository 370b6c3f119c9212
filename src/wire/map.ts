// POST /machine/map: tailcfg.MapRequest as the client sends it, and the fields of tailcfg.MapResponse that Tailplane sends.
// In an answer, absent means «as before», and an empty list is something else again: see the comments at each field.

import { accept, refuse } from '../base/outcome.ts';
import type { Outcome } from '../base/outcome.ts';
import { parseDiscoKey, parseNodeKey } from '../keys/text.ts';
import type { DiscoKey, NodeKey } from '../keys/text.ts';
import type { CapabilityVersion } from './capability.ts';
import type { DerpMap } from './derp.ts';
import type { DnsConfig } from './dns.ts';
import type { FilterRule } from './filter.ts';
import { decodeHostinfo } from './hostinfo.ts';
import type { Hostinfo } from './hostinfo.ts';
import {
  decodeObject,
  parseAddrPort,
  readFlag,
  readInteger,
  readList,
  readParsed,
  readText,
  textItem,
} from './reading.ts';
import type { AddrPort } from './reading.ts';
import type { SshPolicy } from './ssh.ts';
import type { UserProfile } from './user.ts';

export interface MapRequest {
  readonly Version: CapabilityVersion;
  /** All clients can decode nothing but zstd, whatever they say here. */
  readonly Compress?: string;
  readonly KeepAlive: boolean;
  readonly NodeKey: NodeKey;
  readonly DiscoKey?: DiscoKey;
  /** True: a long poll, whose Hostinfo and Endpoints are not to be stored. */
  readonly Stream: boolean;
  readonly OmitPeers: boolean;
  readonly ReadOnly: boolean;
  readonly Hostinfo?: Hostinfo;
  /** Absent when the client sent none; in a lite update that means none at all. */
  readonly Endpoints?: readonly AddrPort[];
  readonly TKAHead?: string;
  readonly DebugFlags?: readonly string[];
}

const MAX_ENDPOINTS = 64;
const MAX_DEBUG_FLAGS = 16;

export const decodeMapRequest = (bytes: Uint8Array): Outcome<MapRequest> => {
  const decoded = decodeObject(bytes);
  if (!decoded.ok) return decoded;
  const from = decoded.value;
  const nodeKey = readParsed(from, 'NodeKey', parseNodeKey);
  if (nodeKey === undefined) return refuse('wire/malformed', 'The request has no valid NodeKey.');
  const compress = readText(from, 'Compress', 16);
  const discoKey = readParsed(from, 'DiscoKey', parseDiscoKey);
  const hostinfo = decodeHostinfo(from['Hostinfo']);
  const endpoints = readList(from, 'Endpoints', textItem(parseAddrPort), MAX_ENDPOINTS);
  const tkaHead = readText(from, 'TKAHead', 128);
  const debugFlags = readList(from, 'DebugFlags', textItem((text) => text.slice(0, 64)), MAX_DEBUG_FLAGS); // prettier-ignore
  return accept({
    Version: readInteger(from, 'Version') ?? 0,
    KeepAlive: readFlag(from, 'KeepAlive'),
    NodeKey: nodeKey,
    Stream: readFlag(from, 'Stream'),
    OmitPeers: readFlag(from, 'OmitPeers'),
    ReadOnly: readFlag(from, 'ReadOnly'),
    ...(compress !== undefined && { Compress: compress }),
    ...(discoKey !== undefined && { DiscoKey: discoKey }),
    ...(hostinfo !== undefined && { Hostinfo: hostinfo }),
    ...(endpoints !== undefined && { Endpoints: endpoints }),
    ...(tkaHead !== undefined && { TKAHead: tkaHead }),
    ...(debugFlags !== undefined && { DebugFlags: debugFlags }),
  });
};

/** tailcfg.PingRequest: asks the client to call back, also inside a keep-alive. */
export interface PingRequest {
  /** Never the same twice in one process of the client. */
  readonly URL: string;
  readonly URLIsNoise?: boolean;
  /** Absent: a HEAD request. `c2n`, or kinds of pings separated by commas. */
  readonly Types?: string;
  readonly IP?: string;
  /** Base64 of a raw HTTP request, for c2n. */
  readonly Payload?: string;
}

/** tailcfg.ClientVersion: the newest release, and whether the client has it. */
export interface ClientVersion {
  readonly RunningLatest: boolean;
  /** Not where the client runs it. */
  readonly LatestVersion?: string;
  readonly UrgentSecurityUpdate?: boolean;
}

/** A problem shown by the client; understood from version 117 on. */
export interface DisplayMessage {
  /** Without a full stop. */
  readonly Title: string;
  readonly Text: string;
  readonly Severity: 'high' | 'medium' | 'low';
  readonly ImpactsConnectivity?: boolean;
  readonly PrimaryAction?: { readonly URL: string; readonly Label: string };
}

/** The parts of an answer that are written as values; nodes, peers and patches are JSON text already. */
export interface MapParts {
  readonly KeepAlive?: true;
  readonly PingRequest?: PingRequest;
  readonly PopBrowserURL?: string;
  /** RFC 3339. */
  readonly ControlTime?: string;
  readonly DERPMap?: DerpMap;
  /** `{}` wipes the client's DNS. */
  readonly DNSConfig?: DnsConfig;
  /** Never empty: the client takes an empty one for «as before». */
  readonly Domain?: string;
  readonly CollectServices?: boolean;
  /** Chunks by name. An empty list is a chunk without rules; null deletes; `*` with null deletes all before the others are set. */
  readonly PacketFilters?: Readonly<Record<string, readonly FilterRule[] | null>>;
  /** New or changed ones only. Never empty in a delta: old clients rebuild everything for it. */
  readonly UserProfiles?: readonly UserProfile[];
  /** An empty one lets nobody in; absent in the first answer refuses every session. */
  readonly SSHPolicy?: SshPolicy;
  readonly Debug?: { readonly DisableLogTail?: boolean };
  readonly ClientVersion?: ClientVersion;
  /** Only for clients before version 131. */
  readonly DefaultAutoUpdate?: boolean;
  readonly DisplayMessages?: Readonly<Record<string, DisplayMessage | null>>;
  /** Legacy of DisplayMessages. */
  readonly Health?: readonly string[];
}

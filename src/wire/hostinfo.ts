// tailcfg.Hostinfo: what a client says about its machine. It is kept as received, unknown fields included, because it is
// stored and shown; the fields below are the ones that Tailplane reads, and they are dropped where they make no sense.

import type { Prefix } from '../base/address.ts';
import type { Json } from '../base/canonical.ts';
import { parseTag } from '../base/ids.ts';
import type { Tag } from '../base/ids.ts';
import { isObject, parseLoosePrefix, readInteger, readList, readObject, readText, textItem } from './reading.ts';
import type { JsonObject } from './reading.ts';

/** A service that runs on the machine. `peerapi4` and `peerapi6` carry the ports of PeerAPI. */
export type Service = {
  readonly Proto: string;
  readonly Port: number;
  readonly Description?: string;
};

export type Location = {
  readonly Country?: string;
  readonly CountryCode?: string;
  readonly City?: string;
  readonly CityCode?: string;
  readonly Latitude?: number;
  readonly Longitude?: number;
  readonly Priority?: number;
};

/** Plain JSON: safe to store, to compare and to read again with `decodeHostinfo`. */
export interface Hostinfo {
  readonly OS?: string;
  readonly OSVersion?: string;
  readonly Hostname?: string;
  readonly IPNVersion?: string;
  readonly Distro?: string;
  readonly DeviceModel?: string;
  readonly BackendLogID?: string;
  readonly RoutableIPs?: readonly Prefix[];
  readonly RequestTags?: readonly Tag[];
  readonly Services?: readonly Service[];
  readonly NetInfo?: JsonObject & { readonly PreferredDERP?: number };
  readonly sshHostKeys?: readonly string[];
  readonly Location?: Location;
  readonly AppConnector?: boolean | null;
  readonly ShieldsUp?: boolean;
  readonly IngressEnabled?: boolean;
  readonly WireIngress?: boolean;
  readonly ExitNodeID?: string;
  readonly ServicesHash?: string;
  readonly PeerRelay?: boolean;
  readonly [other: string]: Json | undefined;
}

const MAX_HOSTINFO_BYTES = 64 * 1024;
const MAX_ROUTES = 2000;
const MAX_TAGS = 64;
const MAX_SERVICES = 512;
const MAX_SSH_KEYS = 16;

const TEXTS = ['OS', 'OSVersion', 'Hostname', 'IPNVersion', 'Distro', 'DeviceModel', 'BackendLogID', 'ExitNodeID', 'ServicesHash']; // prettier-ignore
const FLAGS = ['ShieldsUp', 'IngressEnabled', 'WireIngress', 'PeerRelay', 'AppConnector'];

const decodeService = (value: Json): Service | undefined => {
  if (!isObject(value)) return undefined;
  const proto = readText(value, 'Proto', 32);
  const port = readInteger(value, 'Port') ?? 0;
  const description = readText(value, 'Description', 256);
  if (proto === undefined || port < 0 || port > 65535) return undefined;
  return { Proto: proto, Port: port, ...(description === undefined ? {} : { Description: description }) };
};

const decodeLocation = (from: JsonObject): Location => {
  const kept: Record<string, Json> = {};
  for (const field of ['Country', 'CountryCode', 'City', 'CityCode']) {
    const text = readText(from, field, 128);
    if (text !== undefined) kept[field] = text;
  }
  for (const field of ['Latitude', 'Longitude', 'Priority']) {
    const value = from[field];
    if (typeof value === 'number' && Number.isFinite(value)) kept[field] = value;
  }
  return kept;
};

/** Absent when it is no object or larger than 64 KiB as JSON. */
export const decodeHostinfo = (value: unknown): Hostinfo | undefined => {
  if (!isObject(value) || JSON.stringify(value).length > MAX_HOSTINFO_BYTES) return undefined;
  const kept: Record<string, Json | undefined> = {};
  for (const [field, item] of Object.entries(value)) if (field !== '__proto__' && item !== null) kept[field] = item;
  for (const field of TEXTS) if (field in kept) kept[field] = readText(value, field, 256);
  for (const field of FLAGS) if (typeof kept[field] !== 'boolean') delete kept[field];
  kept['RoutableIPs'] = readList(value, 'RoutableIPs', textItem(parseLoosePrefix), MAX_ROUTES);
  kept['RequestTags'] = readList(value, 'RequestTags', textItem(parseTag), MAX_TAGS);
  kept['Services'] = readList(value, 'Services', decodeService, MAX_SERVICES) as Json | undefined;
  kept['sshHostKeys'] = readList(value, 'sshHostKeys', textItem((text) => text), MAX_SSH_KEYS); // prettier-ignore
  kept['NetInfo'] = readObject(value, 'NetInfo');
  const location = readObject(value, 'Location');
  kept['Location'] = location && (decodeLocation(location) as Json);
  for (const field of Object.keys(kept)) if (kept[field] === undefined) delete kept[field];
  return kept as Hostinfo;
};

/** The region that the client calls home; 0 while it knows none. */
export const homeRegionOf = (hostinfo: Hostinfo | undefined): number => {
  const region = hostinfo?.NetInfo && readInteger(hostinfo.NetInfo, 'PreferredDERP');
  return region !== undefined && region > 0 && region <= 65535 ? region : 0;
};

/** Kinds of services that peers need: the ports of PeerAPI, and that the node answers DNS for those who exit through it. */
const FORWARDED_SERVICES = new Set(['peerapi4', 'peerapi6', 'peerapi-dns-proxy']);

/**
 * What peers are shown. Few and stable fields: a change of any of them makes every peer replace the whole node instead of
 * patching it. Never the network conditions, log ids or push tokens.
 */
export const peerHostinfoOf = (hostinfo: Hostinfo | undefined): Hostinfo => {
  if (hostinfo === undefined) return {};
  const { OS, Hostname, DeviceModel, Distro, AppConnector, sshHostKeys, Location, PeerRelay, ShieldsUp } = hostinfo;
  const services = hostinfo.Services?.filter((service) => FORWARDED_SERVICES.has(service.Proto));
  return {
    ...(OS !== undefined && { OS }),
    ...(Hostname !== undefined && { Hostname }),
    ...(DeviceModel !== undefined && { DeviceModel }),
    ...(Distro !== undefined && { Distro }),
    ...(ShieldsUp === true && { ShieldsUp }),
    ...(AppConnector === true && { AppConnector }),
    ...(PeerRelay === true && { PeerRelay }),
    ...(services !== undefined &&
      services.length > 0 && {
        Services: services.map(({ Proto, Port }) => ({ Proto, Port })),
      }),
    ...(sshHostKeys !== undefined && { sshHostKeys }),
    ...(Location !== undefined && { Location }),
  };
};
